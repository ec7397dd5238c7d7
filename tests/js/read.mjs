// Reads event streams as a page does. Each line of stdin is a stream in base64; the answer is a line of JSON: what the
// eventsource package made of it, as [type, data, lastEventId].
import { createInterface } from "node:readline";
import { EventSource } from "eventsource";

const TYPES = process.argv.slice(2);

function read(bytes) {
  return new Promise((resolve) => {
    const found = [];
    const headers = { "content-type": "text/event-stream" };
    const source = new EventSource("http://localhost/", { fetch: async () => new Response(bytes, { headers }) });
    for (const type of ["message", ...TYPES]) {
      source.addEventListener(type, (event) => found.push([event.type, event.data, event.lastEventId]));
    }
    source.addEventListener("error", () => {
      source.close(); // the stream has ended
      resolve(found);
    });
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await read(Buffer.from(line, "base64"))));
}
