/** A job's status, progress and name in words and bars, for the list and for the job's own page alike. */

import { h, icon, mark, write } from "./dom.js";
import { dataset, model, words } from "../data/format.js";
import { dataOf, isFinal } from "../data/types.js";

/** @typedef {import("../data/types.js").Job} Job */

/** A sign beside each status: colour is not all there is. */
const SIGNS = /** @type {const} */ ({
  queued: "clock",
  running: "play",
  completed: "check",
  failed: "alert",
  cancelled: "dash",
});

/** "yolov8n on shapes". */
export const nameOf = (/** @type {Job} */ job) =>
  dataOf(job) ? `${model(job.model)} on ${dataset(dataOf(job))}` : model(job.model);

/** What the status alone does not say: phase, reason, place in the queue. */
export function detailOf(/** @type {Job} */ job) {
  if (isFinal(job)) return ["finished", job.status, "error"].includes(job.reason ?? "") ? "" : words(job.reason ?? "");
  if (job.cancel_requested) return "cancelling";
  if (job.stop_requested) return "stopping after this epoch";
  if (job.status === "queued") {
    const why =
      job.reason === "interrupted" ? "goes on after an interruption" : job.reason === "resumed" ? "resumed" : "";
    return [job.queue_position && `number ${job.queue_position} in the queue`, why].filter(Boolean).join(", ");
  }
  return words(job.phase ?? "");
}

/** How much of a job is done, 0 to 1; null where nobody knows yet. */
export function shareOf(/** @type {Job} */ job) {
  if (job.status === "completed") return 1;
  const now = job.progress;
  if (!now?.total_epochs) return null;
  const inEpoch = now.event === "tick" && now.batches ? now.batch / now.batches : 0;
  const done = now.event === "tick" ? Math.max(0, now.epoch - 1) + inEpoch : now.epoch;
  return Math.min(1, done / now.total_epochs);
}

export class StatusPill {
  constructor() {
    this._sign = h("span", { class: "pill-sign" });
    this._text = h("span");
    this.element = h("span", { class: "pill" }, this._sign, this._text);
    this._status = "";
  }

  show(/** @type {Job} */ job, withDetail = false) {
    if (job.status !== this._status) {
      this._status = job.status;
      this._sign.replaceChildren(icon(SIGNS[job.status]));
      mark(this.element, "data-status", job.status);
    }
    const detail = withDetail && detailOf(job);
    write(this._text, detail ? `${job.status} · ${detail}` : job.status);
  }
}

/** A bar with its words. A share of null is a bar that only says that something goes on. */
export class Bar {
  constructor(/** @type {string} */ label, kind = "") {
    this._progress = h("progress", { "aria-label": label, max: 1, class: kind });
    this._left = h("span", { class: "bar-left" });
    this._right = h("span", { class: "bar-right" });
    this.element = h(
      "div",
      { class: `bar ${kind}` },
      h("div", { class: "row" }, this._left, this._right),
      this._progress,
    );
  }

  /** @param {number|null} share @param {string} left @param {string} [right] @param {string} [status] */
  show(share, left, right = "", status = "running") {
    write(this._left, left);
    write(this._right, right);
    mark(this._progress, "data-status", status);
    if (share === null) this._progress.removeAttribute("value");
    else if (this._progress.value !== share || !this._progress.hasAttribute("value")) this._progress.value = share;
  }
}
