import assert from "node:assert/strict";
import { test } from "node:test";
import { Shown } from "../../static/ui/kept.js";

test("the first thing is news, the same again is none, and back again is", () => {
  const shown = new Shown();
  assert.deepEqual(
    [[1], [1], [2], [2], [1]].map((content) => shown.isNews(content)),
    [true, false, true, false, true],
  );
});

test("things are told apart by what they hold, not by who they are", () => {
  const shown = new Shown();
  const job = { id: "a", best: null };
  assert.ok(shown.isNews([job], "x"));
  assert.ok(!shown.isNews([{ ...job }], "x"));
  job.best = 1;
  assert.ok(shown.isNews([job], "x"));
  assert.ok(shown.isNews(["a", "bc"]) && shown.isNews(["ab", "c"]));
});

test("what was forgotten is news, and nothing at all is too", () => {
  const shown = new Shown();
  assert.ok(shown.isNews());
  assert.ok(!shown.isNews());
  shown.forget();
  assert.ok(shown.isNews());
});
