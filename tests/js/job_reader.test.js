import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { JobReader } from "../../static/data/job_reader.js";

const machine = {
  cpu: 0.5,
  memory_used_bytes: 5e9,
  memory_total_bytes: 16e9,
  process_cpu: 1,
  process_memory_bytes: 1e9,
};
const gpu = { use: null, memory_used_bytes: 2e9, memory_total_bytes: 8e9 };
const where = { attempt: 1, total_epochs: 2, save_dir: "/run" };
const ended = (epoch, seq, more = {}) => ({
  ...where,
  event: "epoch_end",
  epoch,
  seq,
  time: 100 + epoch,
  metrics: { "metrics/mAP50(B)": epoch / 10 },
  train_losses: { box_loss: 1 },
  val_losses: {},
  lr: {},
  fitness: 0.5,
  images_per_second: 9,
  epoch_seconds: 1,
  machine: { ...machine, gpu: null },
  ...more,
});

/** Read a log that has these pages; what was asked for. */
async function read(pages, last) {
  const asked = [];
  globalThis.fetch = async (path) => {
    asked.push(path);
    return new Response(JSON.stringify(pages.shift()));
  };
  const jobs = new Map([["a", { job_id: "a", status: "completed", last_seq: last, progress: null }]]);
  const connection = { jobs, isListed: true, on: () => () => {} };
  const reader = await new Promise((resolve) => {
    const made = new JobReader(connection, "a", () => setImmediate(() => made.isOver && resolve(made)));
  });
  return { reader, asked };
}

afterEach(() => delete globalThis.fetch);

test("pages follow one another from the newest number, and none is taken twice", async () => {
  const pages = [
    { events: [ended(1, 1)], last_event_id: 1, last_seq: 3 },
    { events: [ended(1, 1), ended(2, 3)], last_event_id: 3, last_seq: 3 },
  ];
  const { reader, asked } = await read(pages, 3);
  assert.deepEqual(asked, ["jobs/a/events?last_event_id=0", "jobs/a/events?last_event_id=1"]);
  assert.deepEqual([reader.epochs.xs, reader.events.length, reader.cursor], [[1, 2], 2, 3]);
  assert.deepEqual(reader.epochs.get("metric:metrics/mAP50(B)"), [0.1, 0.2]);
});

test("a part of a GPU that does not tell its use has none, not 0 %", async () => {
  const told = { machine: { ...machine, gpu } };
  const { reader } = await read([{ events: [ended(1, 1, told)], last_event_id: 1, last_seq: 1 }], 1);
  assert.deepEqual(reader.machine.get("gpu"), [null]);
  assert.deepEqual([reader.machine.get("gpu_memory"), reader.machine.get("cpu")], [[2], [50]]);
});

test("a next attempt leaves a gap and its place; an unknown event changes nothing else", async () => {
  const events = [
    ended(1, 1),
    { event: "queued", attempt: 2, seq: 2, time: 200 },
    { event: "comet", attempt: 2, seq: 3, time: 201 },
    { event: "log", attempt: 2, seq: 4, time: 202, level: "info", lines: ["鳥", ""] },
  ];
  const { reader } = await read([{ events, last_event_id: 4, last_seq: 4 }], 4);
  assert.deepEqual(reader.attempts, [{ epoch: 1, attempt: 2 }]);
  assert.deepEqual(reader.machine.get("cpu"), [50, null]);
  assert.deepEqual(
    reader.log.map(({ text, level }) => [text, level]),
    [
      ["鳥", "info"],
      ["", "info"],
    ],
  );
  assert.equal(reader.events.length, 4);
});

test("a picture's newest version is the one that is shown", async () => {
  const picture = {
    ...where,
    event: "image",
    epoch: 1,
    time: 1,
    name: "a.jpg",
    kind: "curve",
    width: 4,
    height: 3,
    path: "/a",
  };
  const events = [1, 2].map((seq) => ({ ...picture, seq, url: "/jobs/a/artifacts/a.jpg" }));
  const { reader } = await read(
    [{ events: [...events, { ...picture, seq: 3, path: "/b" }], last_event_id: 3, last_seq: 3 }],
    3,
  );
  assert.deepEqual(
    [...reader.pictures.values()].map(({ url }) => url),
    ["/jobs/a/artifacts/a.jpg?v=2"],
  );
});
