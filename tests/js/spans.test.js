import assert from "node:assert/strict";
import { test } from "node:test";
import { spanX, spanY, within } from "../../static/ui/spans.js";

test("an axis is as long as its data, and a lone point stands in the middle", () => {
  assert.deepEqual(spanX([]), [0, 1]);
  assert.deepEqual(spanX([5]), [4.5, 5.5]);
  assert.deepEqual(spanX([1000], true), [970, 1030]);
  assert.deepEqual(spanX([1, 2, 9]), [1, 9]);
});

test("values have room, but none below 0 nor above 1 where there is nothing", () => {
  const [low, high] = spanY({ isShare: true }, 0.01, 0.99, false);
  assert.ok(low === 0 && high === 1);
  const [from, to] = spanY({}, -1, 1, false);
  assert.ok(from < -1 && to > 1);
  assert.deepEqual(spanY({ isShare: true }, 0, 0, false), [0, 1]);
  assert.deepEqual(spanY({}, 0, 0, false), [0, 0.5]);
});

test("the least that is spanned counts until somebody zooms", () => {
  assert.deepEqual(spanY({ range: [0, 100] }, 3, 4, false), [0, 100]);
  const [low, high] = spanY({ range: [0, 100] }, 3, 4, true);
  assert.ok(low > 2 && high < 5);
});

test("a range is no wider than the data, and all of it is no range", () => {
  assert.deepEqual(within([1, 2, 3], [1.5, 9]), [1.5, 3]);
  assert.equal(within([1, 2, 3], [-4, 9]), null);
  assert.equal(within([1, 2, 3], [7, 9]), null);
});
