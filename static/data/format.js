/** Numbers, times and names as a person reads them. Times are local. */

/** A share of 1, such as mAP: three digits. */
export const share = (/** @type {number|null|undefined} */ value) => value?.toFixed(3) ?? "–";

/** Any number in few characters: 0.0123, 12.3, 4,567, 1.2e-5. */
export function short(/** @type {number|null|undefined} */ value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  if (size >= 1000) return Math.round(value).toLocaleString();
  return String(Number(value.toPrecision(size >= 100 ? 4 : 3)));
}

export const count = (/** @type {number} */ value) => value.toLocaleString();

/** "1 epoch", "3 epochs". */
export const plural = (/** @type {number} */ number, /** @type {string} */ noun) =>
  `${count(number)} ${noun}${number === 1 ? "" : noun.endsWith("s") ? "es" : "s"}`;

const UNITS = ["B", "KB", "MB", "GB", "TB"];

/** Bytes with the unit that fits; powers of 1,000. */
export function bytes(/** @type {number|null|undefined} */ value) {
  if (value === null || value === undefined) return "–";
  const power = Math.min(UNITS.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${UNITS[power]}`;
}

export const percent = (/** @type {number|null|undefined} */ value) =>
  value === null || value === undefined ? "–" : `${Math.round(value * 100)} %`;

/** Seconds as 0:07, 2:03, 1:02:03, 2 d 4 h. */
export function duration(/** @type {number|null|undefined} */ seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const all = Math.max(0, Math.round(seconds));
  if (all >= 172_800) return `${Math.floor(all / 86_400)} d ${Math.floor(all / 3600) % 24} h`;
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

/** Seconds in words: "2 minutes", for texts that are read aloud. */
export function spoken(/** @type {number} */ seconds) {
  if (seconds < 90) return plural(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 5400) return plural(Math.round(seconds / 60), "minute");
  return plural(Math.round(seconds / 3600), "hour");
}

/** How long ago: "just now", "5 min ago", "3 h ago", then a date. */
export function ago(/** @type {number} */ time, now = Date.now() / 1000) {
  const seconds = now - time;
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 604_800) return `${Math.floor(seconds / 86_400)} d ago`;
  return new Date(time * 1000).toLocaleDateString();
}

/** Local date and time. */
export const moment = (/** @type {number} */ time) => new Date(time * 1000).toLocaleString();
/** Local time of day, to the minute. */
export const time = (/** @type {number} */ seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
/** Local time of day. */
export const clock = (/** @type {number} */ seconds) => new Date(seconds * 1000).toLocaleTimeString();

/** The last part of a path that says something: `/sets/coco8/data.yaml` is "coco8". */
export function dataset(/** @type {string|null|undefined} */ path) {
  const parts = (path ?? "").split(/[\\/]/).filter(Boolean);
  const names = parts.map((part) => part.replace(/\.ya?ml$/, "")).reverse();
  return names.find((name) => !["data", "dataset", ""].includes(name)) ?? names[0] ?? "–";
}

/** A model by its name: `/models/tiny.yaml` is "tiny". */
export const model = (/** @type {string|null|undefined} */ path) =>
  (path ?? "")
    .split(/[\\/]/)
    .pop()
    ?.replace(/\.(pt|yaml|yml)$/, "") || "–";

/** A word of the protocol for a person: "checking_data" is "checking data". */
export const words = (/** @type {string} */ name) => name.replaceAll("_", " ");

export const capital = (/** @type {string} */ text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** A metric without its prefix and mark: `metrics/mAP50(B)` is "mAP50". */
export const metric = (/** @type {string} */ name) =>
  name
    .replace(/^metrics\//, "")
    .replace(/\([A-Z]\)$/, "")
    .replace("accuracy_top", "top-")
    .replace(/^lr\//, "")
    .replace(/_loss$/, "");

/** What a metric's mark says: boxes, masks, keypoints. */
export const family = (/** @type {string} */ name) =>
  ({ B: "boxes", M: "masks", P: "keypoints" })[/\(([A-Z])\)$/.exec(name)?.[1] ?? ""] ?? "";

/** The metric by which each task's runs are measured, as Ultralytics has it. A pose run has boxes too: its own stands first. */
const MAIN = ["mAP50-95(P)", "mAP50-95(M)", "mAP50-95(B)", "accuracy_top1", "mIoU", "delta1"].map(
  (name) => `metrics/${name}`,
);

/** The main metric of the task that has these: keypoints before masks before boxes, or top-1. @returns {string|null} */
export function headline(/** @type {Record<string, unknown>|null|undefined} */ metrics) {
  const names = Object.keys(metrics ?? {});
  return MAIN.find((name) => names.includes(name)) ?? names.find((name) => name.startsWith("metrics/")) ?? null;
}

/** How to name a metric beside these others: with what it is of where several things are found, such as boxes and keypoints. */
export function metricAmong(/** @type {string} */ name, /** @type {Iterable<string>} */ others) {
  const isMany = new Set([...others].map(family)).size > 1;
  return isMany ? `${metric(name)}, ${family(name)}` : metric(name);
}

/** An argument's value. */
export const shown = (/** @type {unknown} */ value) =>
  value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
