import assert from "node:assert/strict";
import { test } from "node:test";
import { between, Columns, smooth, thin } from "../../static/data/series.js";

test("a row that comes late stands in its order, and others have no value there", () => {
  const columns = new Columns();
  columns.set(3, { a: 30 });
  columns.set(1, { a: 10, b: 1 });
  columns.set(2, { b: 2 });
  assert.deepEqual(columns.xs, [1, 2, 3]);
  assert.deepEqual(columns.get("a"), [10, null, 30]);
  assert.deepEqual(columns.get("b"), [1, 2, null]);
});

test("a repeated epoch makes one point, and keeps what it does not name", () => {
  const columns = new Columns();
  columns.set(1, { a: 1, b: 2 });
  columns.set(1, { a: 5, b: undefined });
  assert.deepEqual([columns.xs, columns.get("a"), columns.get("b")], [[1], [5], [null]]);
});

test("names are found by their start, the last number past the gaps", () => {
  const columns = new Columns();
  assert.deepEqual([columns.get("x"), columns.names(""), columns.last("x")], [[], [], null]);
  columns.set(1, { "val:größe": 0, "train:a": 1 });
  columns.set(2, { "train:a": null });
  assert.deepEqual(columns.names("val:"), ["val:größe"]);
  assert.equal(columns.last("train:a"), 1);
  assert.equal(columns.last("val:größe"), 0);
});

test("ten thousand rows in falling order end in rising order", () => {
  const columns = new Columns();
  for (let x = 10_000; x > 0; x -= 1) columns.set(x, { a: 2 * x });
  assert.equal(columns.xs.length, 10_000);
  assert.ok(columns.xs.every((x, row) => x === row + 1 && columns.get("a")[row] === 2 * x));
});

test("between neighbours lies a straight line, outside of them nothing", () => {
  const xs = [0, 1, 4, 5];
  assert.equal(between(xs, [0, null, 8, null], 1), 2);
  assert.equal(between(xs, [0, null, 8, null], 2), 8);
  assert.equal(between(xs, [0, null, 8, null], 3), null);
  assert.equal(between(xs, [null, 1, 8, 9], 0), null);
  assert.equal(between([], [], 0), null);
});

test("smoothing leaves gaps, constants, and everything at weight 0", () => {
  assert.deepEqual(smooth([], 0.9), []);
  assert.deepEqual(smooth([1, null, 3], 0), [1, null, 3]);
  for (const value of smooth([7, 7, 7], 0.99)) assert.ok(Math.abs(Number(value) - 7) < 1e-9);
  const [first, , third] = smooth([0, null, 1], 0.5);
  assert.equal(first, 0); // freed of bias: not pulled towards anything
  assert.ok(Math.abs(Number(third) - 2 / 3) < 1e-12);
});

test("few rows are drawn as they are", () => {
  assert.deepEqual(thin([], [], -Infinity, Infinity, 100), []);
  assert.deepEqual(thin([1, 2, 3], [[1, 2, 3]], -Infinity, Infinity, 100), [0, 1, 2]);
});

test("the rows beside a range stay, so that lines run out of the picture", () => {
  assert.deepEqual(thin([1, 2, 3, 4, 5], [[1, 2, 3, 4, 5]], 3, 3, 100), [1, 2, 3]);
  assert.deepEqual(thin([1, 2, 3], [[1, 2, 3]], 9, 10, 100), [2]);
});

test("a hundred thousand rows become few, and no peak is lost", () => {
  const size = 100_000;
  const xs = Array.from({ length: size }, (_, i) => i);
  const values = xs.map((i) => (i === 54_321 ? 1e6 : i === 12_345 ? -1e6 : i === 7 ? null : Math.sin(i)));
  const rows = thin(xs, [values], -Infinity, Infinity, 300);
  assert.ok(rows.length <= 4 * 300);
  assert.ok([0, 12_345, 54_321, size - 1].every((row) => rows.includes(row)));
  assert.deepEqual(
    rows,
    [...new Set(rows)].sort((a, b) => a - b),
  );
});
