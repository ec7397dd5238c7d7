import assert from "node:assert/strict";
import { test } from "node:test";
import { compareAddress, jobAddress, newAddress, parse } from "../../static/router.js";

test("nothing, or nothing that is known, is the list", () => {
  for (const hash of ["", "#", "#/", "#/nothing", "#/nothing/x"]) assert.deepEqual(parse(hash), { view: "list" }, hash);
});

test("what an address is made of comes back out of it", () => {
  for (const id of ["0af3", "a/b", "a,b#c", "ключ 1", "100%", "%2f", "?x=1&y"]) {
    assert.deepEqual(parse(jobAddress(id, "log")), { view: "job", id, tab: "log" });
    assert.deepEqual(parse(jobAddress(id)), { view: "job", id, tab: "charts" });
    assert.deepEqual(parse(newAddress(id)), { view: "new", from: id });
  }
  assert.deepEqual(parse(newAddress()), { view: "new", from: null });
  assert.deepEqual(parse(compareAddress([])), { view: "compare", ids: [] });
  const many = Array.from({ length: 5000 }, (_, i) => `job-${i}`);
  assert.deepEqual(parse(compareAddress(many)), { view: "compare", ids: many });
});

test("a stray percent sign, as a person types it, is left as it is", () => {
  assert.deepEqual(parse("#50%/log"), { view: "job", id: "50%", tab: "log" });
  assert.deepEqual(parse("#%ff"), { view: "job", id: "%ff", tab: "charts" });
});

test("commas without a job between them name none", () => {
  assert.deepEqual(parse("#/compare/,a,,b,"), { view: "compare", ids: ["a", "b"] });
});
