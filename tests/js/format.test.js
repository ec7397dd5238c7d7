import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  bytes,
  capital,
  dataset,
  duration,
  family,
  headline,
  metric,
  metricAmong,
  model,
  percent,
  plural,
  share,
  short,
  shown,
  spoken,
} from "../../static/data/format.js";

/** A function's answers to a table of questions. */
const holds = (made, table) => {
  for (const [given, wanted] of table) assert.equal(made(given), wanted, String(given));
};

test("what is not known is a dash", () => {
  for (const made of [share, short, bytes, percent, duration, shown, dataset, model])
    for (const nothing of [null, undefined]) assert.equal(made(nothing), "–", made.name);
  holds(short, [
    [NaN, "–"],
    [Infinity, "–"],
  ]);
});

test("numbers keep their meaning in few characters", () => {
  holds(short, [
    [0, "0"],
    [-0, "0"],
    [0.0123456, "0.0123"],
    [0.000012, "1.2e-5"],
    [999.96, "1000"],
    [12.345, "12.3"],
    [-4567, (-4567).toLocaleString()],
    [1e6, "1.0e+6"],
  ]);
  holds(share, [
    [0, "0.000"],
    [0.9996, "1.000"],
  ]);
});

test("bytes take the unit that fits, and stay in the largest", () => {
  holds(bytes, [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 KB"],
    [5_400_000, "5.4 MB"],
    [123_456_789, "123 MB"],
    [1e18, "1000000 TB"],
  ]);
});

test("durations go from seconds to days", () => {
  holds(duration, [
    [-5, "0:00"],
    [59.4, "0:59"],
    [59.5, "1:00"],
    [3723, "1:02:03"],
    [172_799, "47:59:59"],
    [172_800, "2 d 0 h"],
  ]);
  holds(spoken, [
    [0, "1 second"],
    [89, "89 seconds"],
    [90, "2 minutes"],
    [5400, "2 hours"],
  ]);
});

test("how long ago, up to each border", () => {
  const now = 1_700_000_000;
  const at = (seconds) => ago(now - seconds, now);
  holds(at, [
    [-3, "just now"],
    [9.9, "just now"],
    [10, "10 s ago"],
    [60, "1 min ago"],
    [3600, "1 h ago"],
    [86_400, "1 d ago"],
  ]);
  assert.equal(at(604_800), new Date((now - 604_800) * 1000).toLocaleDateString());
});

test("one is one, and words in s take es", () => {
  assert.equal(plural(1, "class"), "1 class");
  assert.equal(plural(0, "class"), "0 classes");
  assert.equal(plural(2, "epoch"), "2 epochs");
});

test("a dataset is named by the part of its path that says something", () => {
  holds(dataset, [
    ["/sets/coco8/data.yaml", "coco8"],
    ["coco8.yaml", "coco8"],
    ["C:\\sets\\鳥\\dataset.yml", "鳥"],
    ["/data/dataset/", "dataset"],
    ["/", "–"],
    ["", "–"],
  ]);
  holds(model, [
    ["/models/tiny.yaml", "tiny"],
    ["yolo11n.pt", "yolo11n"],
    ["modèle.pt", "modèle"],
    ["/", "–"],
  ]);
});

test("metrics lose prefix and mark, and get their family back beside others", () => {
  holds(metric, [
    ["metrics/mAP50-95(B)", "mAP50-95"],
    ["metrics/accuracy_top1", "top-1"],
    ["lr/pg0", "pg0"],
    ["box_loss", "box"],
    ["", ""],
  ]);
  assert.deepEqual(["a(M)", "a(P)", "a(X)", "a"].map(family), ["masks", "keypoints", "", ""]);
  assert.equal(metricAmong("metrics/mAP50(P)", ["metrics/mAP50(P)", "metrics/mAP50(B)"]), "mAP50, keypoints");
  assert.equal(metricAmong("metrics/mAP50(B)", ["metrics/recall(B)"]), "mAP50");
});

test("the main metric is the task's own", () => {
  const pose = { "metrics/mAP50-95(B)": 0.9, "metrics/mAP50-95(P)": 0.1 };
  assert.equal(headline(pose), "metrics/mAP50-95(P)");
  assert.equal(headline({ fitness: 1, "metrics/own": 2 }), "metrics/own");
  for (const nothing of [null, undefined, {}, { fitness: 1 }]) assert.equal(headline(nothing), null);
});

test("values are shown as JSON has them, texts as they are", () => {
  holds(shown, [
    [false, "false"],
    [0, "0"],
    ["", ""],
    ["ünï", "ünï"],
  ]);
  assert.equal(shown([1, null]), "[1,null]");
  assert.equal(shown({}), "{}");
  assert.equal(capital(""), "");
  assert.equal(capital("élan"), "Élan");
});
