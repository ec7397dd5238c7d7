/** What a user of the generated types writes: start a training, wait for its end, read its events. */

import type { Accepted, EventPage, Snapshot, TrainRequest } from "../../static/types.js";

async function read<T>(address: URL, init?: RequestInit): Promise<T> {
  const answer = await fetch(address, init);
  if (!answer.ok) throw new Error(await answer.text());
  return (await answer.json()) as T;
}

export async function main(url: string, data: string) {
  const body: TrainRequest = { model: "yolov8n.yaml", hyperparameters: { epochs: 2 }, fit_params: { data } };
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  const accepted = await read<Accepted>(new URL("/train", url), init);
  const job = new URL(accepted.links.self, url);
  let snapshot: Snapshot;
  do {
    await new Promise((resolve) => setTimeout(resolve, 50));
    snapshot = await read<Snapshot>(job);
  } while (snapshot.status === "queued" || snapshot.status === "running");
  const page = await read<EventPage>(new URL(`${job.pathname}/events`, url), { headers });
  const epochs: number[] = [];
  const scores: (number | null | undefined)[] = [];
  for (const event of page.events) {
    if (event.event === "epoch_end") epochs.push(event.epoch);
    if (event.event === "completed") scores.push(event.score);
  }
  console.log(JSON.stringify({ status: snapshot.status, epochs, scores }));
}
