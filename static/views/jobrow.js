/** One training in the list: what it is, how far it is, what it has brought, and why it failed. */

import { h, mark, write } from "../ui/dom.js";
import {
  ago,
  count,
  dataset,
  duration,
  headline,
  metricAmong,
  model,
  moment,
  share,
  shown,
  time,
  words,
} from "../data/format.js";
import { argumentsOf, dataOf } from "../data/types.js";
import { jobAddress } from "../router.js";
import { Bar, detailOf, shareOf, StatusPill } from "../ui/status.js";

/** @typedef {import("../data/types.js").Job} Job */

/** Arguments that a row names, at most: what tells runs of one model and dataset apart. */
const NAMED = 4;
/** What a row says of these: their unit says what they are. @type {Record<string, (value: unknown) => string>} */
const SHORT = {
  epochs: (value) => `${value} epochs`,
  imgsz: (value) => `${value} px`,
  batch: (value) => `batch ${value}`,
};
/** What a row leaves out: its dataset stands before them, the others change nothing of the training. */
const UNNAMED = ["data", "preview", "tick_interval"];

export class JobRow {
  constructor(
    /** @type {string} */ id,
    /** @type {boolean} */ isChosen,
    /** @type {(isChosen: boolean) => void} */ choose,
  ) {
    this._pill = new StatusPill();
    this._bar = new Bar("Epochs", "thin");
    this._box = h("input", { type: "checkbox", checked: isChosen, onchange: () => choose(this._box.checked) });
    this._name = h("a", { class: "job-name", href: jobAddress(id) });
    this._data = h("span", { class: "job-data quiet" });
    this._set = h("span", { class: "job-data quiet" });
    this._best = h("b");
    this._bestName = h("span", { class: "quiet" });
    this._age = h("time");
    this._clock = h("span", { class: "quiet" });
    this._boxName = h("span", { class: "unseen" });
    this._detail = h("span", { class: "quiet job-detail" });
    this.element = h(
      "li",
      { class: "job-row" },
      h("label", { class: "job-choose" }, this._box, this._boxName),
      h("span", { class: "job-title" }, h("span", { class: "job-what" }, this._name, this._data), this._set),
      h("span", { class: "job-status" }, this._pill.element, this._detail),
      h("span", { class: "job-progress" }, this._bar.element),
      h("span", { class: "job-best" }, this._best, this._bestName),
      h("span", { class: "job-age quiet" }, this._age, this._clock),
    );
  }

  /** @param {Job} job @param {boolean} isStale whether nobody knows how it goes on */
  show(job, isStale) {
    if (!this._name.textContent) this._introduce(job);
    this._pill.show(job);
    const why = whyOf(job);
    write(this._detail, why || detailOf(job));
    mark(this._detail, "title", why || null);
    this._showBar(job, isStale);
    const key = headline(job.best?.metrics);
    write(this._best, key ? share(job.best?.metrics?.[key]) : "");
    write(this._bestName, key ? metricAmong(key, Object.keys(job.best?.metrics ?? {})) : "");
    write(this._age, ago(job.created_at));
    write(this._clock, time(job.created_at));
    mark(this._age, "title", `${moment(job.created_at)}, number ${job.number}`);
  }

  /** What was asked for, which never changes. */
  _introduce(/** @type {Job} */ job) {
    const named = namedOf(job);
    this._name.append(model(job.model));
    this._data.append(`on ${dataset(dataOf(job))}`);
    mark(this._data, "title", dataOf(job));
    this._set.append([...named.slice(0, NAMED), job.job_id].join(" · "));
    mark(this._set, "title", [...named, job.job_id].join("\n"));
    this._boxName.append(`Compare ${model(job.model)} ${job.job_id}`);
  }

  /** @param {Job} job @param {boolean} isStale */
  _showBar(job, isStale) {
    const { epoch = 0, total_epochs: total = 0 } = job.progress ?? {};
    const left = job.progress?.event === "tick" && job.progress.remaining_seconds;
    const took = job.ended_at && job.started_at ? duration(job.ended_at - job.started_at) : "";
    const right = job.status !== "running" ? took : isStale ? "" : left ? `${duration(left)} left` : "";
    const done = shareOf(job);
    this._bar.element.hidden = job.status !== "running" && !done;
    this._bar.show(
      job.status === "running" ? done : (done ?? 0),
      total ? `${count(epoch)}/${count(total)}` : "",
      right,
      job.status,
    );
  }
}

/** What was set, in few words each; what all trainings have comes first. @returns {string[]} */
function namedOf(/** @type {Job} */ job) {
  const set = argumentsOf(job);
  const names = [...Object.keys(SHORT), ...Object.keys(set).filter((name) => !SHORT[name] && !UNNAMED.includes(name))];
  return names
    .filter((name) => name in set && set[name] !== null)
    .map((name) => SHORT[name]?.(set[name]) ?? `${name} ${shown(set[name])}`);
}

/** Why it failed, in a line: the kind of failure and what was said of it. */
function whyOf(/** @type {Job} */ job) {
  if (job.status !== "failed") return "";
  const said = String(job.failure?.evidence ?? job.error ?? "").split("\n")[0];
  const kind = job.reason && job.reason !== "error" ? words(job.reason) : "";
  return [kind, said].filter(Boolean).join(": ");
}
