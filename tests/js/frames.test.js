import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameReader } from "../../static/line/frames.js";

const read = (...pieces) => {
  const frames = new FrameReader();
  return pieces.flatMap((piece) => frames.push(piece));
};

test("a frame is there once its empty line is", () => {
  const frames = new FrameReader();
  assert.deepEqual(frames.push("id: 1\nevent: job\ndata: {}\n"), []);
  assert.deepEqual(frames.push("\n"), ["{}"]);
  assert.deepEqual(frames.push("\n\n"), []);
});

test("wherever a stream is cut, the same comes out", () => {
  const stream = 'retry: 1500\n\n: heartbeat\n\ndata: {"a":"é 鳥 \\n: data: "}\n\nid: 2\ndata: {"b":2}\n\n';
  const whole = read(stream);
  assert.deepEqual(whole, ['{"a":"é 鳥 \\n: data: "}', '{"b":2}']);
  for (let cut = 0; cut <= stream.length; cut += 1)
    assert.deepEqual(read(stream.slice(0, cut), stream.slice(cut)), whole, `cut at ${cut}`);
  assert.deepEqual(read(...stream), whole);
});

test("heartbeats, other fields and a frame without its end say nothing", () => {
  assert.deepEqual(read(": keep\n\n", "event: job\n\n", "database: x\n\n", "data: cut off\n"), []);
});

test("lines of one frame belong together, with any end of line and with or without the space", () => {
  assert.deepEqual(read("data: a\r\ndata:b\r\n\r\ndata\n\n"), ["a\nb", ""]);
});

test("the time to the next try is the service's, where it is a number", () => {
  const frames = new FrameReader();
  assert.equal(frames.retryMs, 2000);
  frames.push("retry: soon\nretry: \n");
  assert.equal(frames.retryMs, 2000);
  frames.push("retry: 350\n");
  assert.equal(frames.retryMs, 350);
});

test("a frame of four megabytes in pieces is one frame", () => {
  const data = "x".repeat(4_000_000);
  const frames = new FrameReader();
  const stream = `data: ${data}\n\n`;
  const found = [];
  for (let at = 0; at < stream.length; at += 65_536) found.push(...frames.push(stream.slice(at, at + 65_536)));
  assert.deepEqual(
    found.map(({ length }) => length),
    [data.length],
  );
});
