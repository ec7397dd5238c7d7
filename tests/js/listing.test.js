import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { hasWords, Listing } from "../../static/data/listing.js";

const job = (number, more = {}) => ({
  job_id: `job-${number}`,
  number,
  status: "completed",
  model: "yolo11n.pt",
  fit_params: { data: "/sets/Vögel/data.yaml" },
  ...more,
});

/** What a Connection is to a listing. */
class Known {
  jobs = new Map();
  isListed = false;
  on(_, listener) {
    this.listener = listener;
    return () => (this.listener = null);
  }
  learn(each) {
    this.jobs.set(each.job_id, each);
  }
  hear(each) {
    this.listener?.({ detail: { job: each } });
  }
}

let asked = [];
let pages = [];
let changed = () => {};
/** Do something, and wait until the listing says that it has changed. */
const change = (act) =>
  new Promise((resolve) => {
    act();
    changed = resolve;
  });
const listen = (known) => new Listing(known, () => changed());

beforeEach(() => {
  asked = [];
  globalThis.location = { href: "http://localhost/" };
  globalThis.fetch = async (path) => {
    asked.push(path);
    return new Response(JSON.stringify(pages.shift()));
  };
});
afterEach(() => mock.timers.reset());

test("a search finds words in any order and case, in id, model and dataset", () => {
  const found = (text) => hasWords(job(7), text.toLowerCase().split(/\s+/));
  for (const text of ["", "  ", "YOLO11", "vögel n.pt", "job-7 yolo", "VÖGEL"]) assert.ok(found(text), text);
  for (const text of ["job-8", "yolo vogel", "yolo x"]) assert.ok(!found(text), text);
  assert.ok(hasWords({ ...job(1), fit_params: {} }, ["yolo"]));
});

test("pages are read until there are as many jobs as are wanted", async () => {
  const known = new Known();
  const listing = listen(known);
  const all = Array.from({ length: 250 }, (_, i) => job(250 - i));
  pages = [
    { jobs: all.slice(0, 100), next: "/jobs?cursor=151", counts: { all: 250 } },
    { jobs: all.slice(100, 200), next: "/jobs?cursor=51", counts: { all: 250 } },
  ];
  await change(() => listing.ask("all", ""));
  assert.deepEqual([listing.jobs.length, listing.hasOlder, listing.counts], [100, true, { all: 250 }]);
  await change(() => listing.want(150));
  assert.deepEqual(asked, ["jobs?limit=100", "jobs?cursor=151"]);
  assert.deepEqual(
    listing.jobs.map(({ number }) => number),
    all.slice(0, 200).map(({ number }) => number),
  );
});

test("an answer to a question that nobody asks any more is dropped", async () => {
  const listing = listen(new Known());
  pages = [
    { jobs: [job(1)], next: null, counts: { all: 1 } },
    { jobs: [job(2)], next: null, counts: { failed: 1 } },
  ];
  listing.ask("all", "");
  await change(() => listing.ask("failed", "a&b "));
  assert.equal(asked[1], "jobs?limit=100&status=failed&q=a%26b");
  assert.deepEqual(listing.counts, { failed: 1 });
});

test("a job that was deleted while the line was lost is gone; what is older than was read stays", async () => {
  const known = new Known();
  for (let number = 1; number <= 103; number += 1) known.learn(job(number));
  const listing = listen(known);
  const read = Array.from({ length: 100 }, (_, i) => job(103 - i)).filter(({ number }) => number !== 50);
  pages = [
    { jobs: read.slice(0, 60), next: "/jobs?cursor=44", counts: {} },
    { jobs: [...read.slice(60), job(3)], next: "/jobs?cursor=3", counts: {} },
  ];
  await change(() => listing.ask("all", ""));
  assert.deepEqual([known.jobs.has("job-50"), known.jobs.has("job-2"), known.jobs.size], [false, true, 102]);
  assert.deepEqual([listing.jobs.length, listing.hasOlder], [100, true]);
});

test("a job that turns to another status is counted anew, once, after a pause", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const known = new Known();
  const listing = listen(known);
  pages = [{ jobs: [job(1, { status: "running" })], next: null, counts: { running: 1 } }];
  await change(() => listing.ask("all", ""));
  pages = [{ jobs: [], next: null, counts: { completed: 1 } }];
  for (let time = 0; time < 3; time += 1) known.hear(job(1));
  await change(() => mock.timers.tick(1000));
  assert.deepEqual(asked, ["jobs?limit=100", "jobs?limit=1"]);
  assert.deepEqual(listing.counts, { completed: 1 });
});
