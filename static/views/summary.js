/** How far a training is and how good: its bars, and its figures with those of its best epoch first. */

import { arrange, h, write } from "../ui/dom.js";
import {
  bytes,
  clock,
  count,
  duration,
  family,
  headline,
  metric,
  metricAmong,
  share,
  short,
  words,
} from "../data/format.js";
import { Bar, shareOf } from "../ui/status.js";
import { isFinal } from "../data/types.js";

/** @typedef {import("../data/types.js").Job} Job */
/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {[label: string, value: string, note: string]} Figure */

export class Summary {
  constructor() {
    this._epochs = new Bar("Epochs", "large");
    this._batches = new Bar("Batches of this epoch", "small");
    this._first = new Tiles();
    this._second = new Tiles("minor");
    this._figures = h("div", { class: "figures" }, this._first.element, this._second.element);
    this.element = h("div", { class: "summary card" }, this._epochs.element, this._batches.element, this._figures);
  }

  /** @param {JobReader} run @param {boolean} withTiles the other tabs need the room @param {boolean} isStale the service does not answer */
  show(run, withTiles, isStale) {
    const job = /** @type {Job} */ (run.job);
    this._drawBars(run, job, isStale);
    const [first, second] = isFinal(job) && job.best?.metrics ? ended(run, job) : [going(run, job), none];
    this._first.show(...first);
    this._second.show(...second);
    this._figures.hidden = !first[1].length || !withTiles;
  }

  _drawBars(/** @type {JobReader} */ run, /** @type {Job} */ job, /** @type {boolean} */ isStale) {
    const final = isFinal(job);
    const { epoch = 0, total_epochs: total = null } = job.progress ?? {};
    const isWaiting = total === null || epoch === 0;
    const left =
      final && isWaiting ? "No epoch" : isWaiting ? waiting(run, job) : `Epoch ${count(epoch)} of ${count(total)}`;
    const right = isStale && !final ? `last heard of at ${clock(job.updated_at)}` : times(run, job);
    this._epochs.show(final || job.status === "queued" ? (shareOf(job) ?? 0) : shareOf(job), left, right, job.status);
    this._drawBatches(run, job);
  }

  _drawBatches(/** @type {JobReader} */ run, /** @type {Job} */ job) {
    const { tick } = run;
    const now = job.progress;
    this._batches.element.hidden = isFinal(job) || !tick?.batches;
    if (!tick?.batches || isFinal(job)) return;
    const batch = now?.event === "tick" ? now.batch : tick.batches; // an epoch's end is the end of its batches
    const losses = Object.entries(tick.losses).map(([name, value]) => `${metric(name)} ${short(value)}`);
    const speed = now && "images_per_second" in now && now.images_per_second;
    const phase = job.phase === "validating" ? "validating" : losses.join("  ");
    this._batches.show(
      batch / tick.batches,
      `Batch ${batch} of ${tick.batches}`,
      [phase, speed && `${short(speed)} images/s`].filter(Boolean).join(" · "),
    );
  }
}

/** A row of figures under a heading. Tiles are kept, so that a number that changes is all that changes. */
class Tiles {
  constructor(kind = "") {
    this._head = h("h2", { class: "tiles-head" });
    this._list = h("dl", { class: "tiles" });
    /** @type {Map<string, {tile: HTMLElement, value: HTMLElement, note: HTMLElement}>} */
    this._made = new Map();
    this.element = h("div", { class: kind }, this._head, this._list);
  }

  /** @param {string} head @param {Figure[]} figures */
  show(head, figures) {
    this.element.hidden = !figures.length;
    write(this._head, head);
    this._head.hidden = !head;
    arrange(
      this._list,
      figures.map((figure) => this._tile(...figure)),
    );
  }

  /** @type {(...figure: Figure) => HTMLElement} */
  _tile(label, value, note) {
    let made = this._made.get(label);
    if (!made) {
      made = { tile: h("div", { class: "tile" }), value: h("dd"), note: h("dd", { class: "tile-note" }) };
      made.tile.append(h("dt", {}, label), made.value, made.note);
      this._made.set(label, made);
    }
    write(made.value, value);
    write(made.note, note);
    return made.tile;
  }
}

/** @type {[string, Figure[]]} */
const none = ["", []];

/** Which metrics stand here and in which order: the task's main one, those of its kind, of other kinds their mAP50-95. */
function ordered(/** @type {string[]} */ names) {
  const main = headline(Object.fromEntries(names.map((name) => [name, 0])));
  if (!main) return [];
  const place = (/** @type {string} */ name) =>
    name === main ? 0 : family(name) !== family(main) ? 3 : name.includes("mAP") ? 1 : 2;
  return names
    .filter((name) => name.startsWith("metrics/") && (family(name) === family(main) || name.includes("mAP50-95(")))
    .sort((a, b) => place(a) - place(b));
}

/**
 * Of a training that has ended: what best.pt is, which is what one takes away, before what the last epoch was.
 * @returns {[string, Figure[]][]}
 */
function ended(/** @type {JobReader} */ run, /** @type {Job} */ job) {
  const found = job.best?.metrics ?? {};
  const names = Object.keys(found);
  const best = ordered(names).map((name) => /** @type {Figure} */ ([metricAmong(name, names), share(found[name]), ""]));
  const epoch = job.best?.epoch;
  const last = run.epochs.xs.at(-1);
  const head = epoch ? `Best: epoch ${count(epoch)}${epoch === last ? ", the last one" : ""}` : "Best epoch";
  if (!last || epoch === last) return [[head, best], none];
  const now = columns(run).map((name) => /** @type {Figure} */ ([named(run, name), share(run.epochs.last(name)), ""]));
  return [
    [head, best],
    [`Last: epoch ${count(last)}`, now],
  ];
}

/** Of one that runs: the best so far, and the newest values with their change. @returns {[string, Figure[]]} */
function going(/** @type {JobReader} */ run, /** @type {Job} */ job) {
  const key = headline(job.best?.metrics);
  const names = Object.keys(job.best?.metrics ?? {});
  const note = job.best?.epoch ? `epoch ${count(job.best.epoch)}` : "";
  /** @type {Figure[]} */
  const best = key ? [[`Best ${metricAmong(key, names)}`, share(job.best?.metrics?.[key]), note]] : [];
  return ["", [...best, ...columns(run).map((name) => newest(run, name))]];
}

/** @returns {Figure} */
function newest(/** @type {JobReader} */ run, /** @type {string} */ name) {
  const [before, now] = run.epochs
    .get(name)
    .filter((value) => value !== null)
    .slice(-2);
  const change =
    before === undefined || now === undefined ? null : /** @type {number} */ (now) - /** @type {number} */ (before);
  const note =
    change === null
      ? ""
      : Math.abs(change) < 0.0005
        ? "±0"
        : `${change > 0 ? "▲" : "▼"} ${Math.abs(change).toFixed(3)}`;
  return [named(run, name), share(run.epochs.last(name)), note];
}

/** The run's columns of metrics, the main one first. */
const columns = (/** @type {JobReader} */ run) =>
  ordered(run.epochs.names("metric:").map((name) => name.slice(7))).map((name) => `metric:${name}`);

const named = (/** @type {JobReader} */ run, /** @type {string} */ column) =>
  metricAmong(column.slice(7), run.epochs.names("metric:"));

/** "2:03 elapsed · 0:41 left" */
function times(/** @type {JobReader} */ run, /** @type {Job} */ job) {
  const [now, tick, final] = [job.progress, run.tick, isFinal(job)];
  const took = job.ended_at && job.started_at ? job.ended_at - job.started_at : null;
  const since = job.started_at && job.status === "running" ? job.updated_at - job.started_at : null;
  const at = now && "elapsed_seconds" in now ? now : tick;
  const elapsed = final ? took : (at?.elapsed_seconds ?? since);
  const newestTick = now?.event === "tick" ? now : tick;
  const remaining = newestTick?.remaining_seconds ?? tick?.remaining_seconds ?? (since && remainingOf(run, job));
  const whole = job.attempt > 1 ? `in attempt ${job.attempt}` : "in all";
  return [
    elapsed !== null && elapsed !== undefined && `${duration(elapsed)} ${final ? whole : "elapsed"}`,
    !final && remaining !== null && remaining !== undefined && `${duration(remaining)} left`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Seconds that the epochs to come take if they are as long as the newest ones; null before the first. */
function remainingOf(/** @type {JobReader} */ run, /** @type {Job} */ job) {
  const took = run.epochs
    .get("seconds")
    .slice(-5)
    .filter((seconds) => seconds !== null);
  const { epoch = 0, total_epochs: total = 0 } = job.progress ?? {};
  return took.length ? ((total - epoch) * took.reduce((sum, seconds) => sum + seconds, 0)) / took.length : null;
}

/** What goes on before the first epoch. */
function waiting(/** @type {JobReader} */ run, /** @type {Job} */ job) {
  if (job.status === "queued")
    return job.queue_position ? `Waiting, number ${job.queue_position} in the queue` : "Waiting";
  if (job.phase === "downloading" && run.phase?.phase === "downloading") {
    const { file, received_bytes: received, total_bytes: total } = run.phase;
    return `Downloading ${file}: ${bytes(received)}${total ? ` of ${bytes(total)}` : ""}`;
  }
  return job.phase ? `${words(job.phase)[0].toUpperCase()}${words(job.phase).slice(1)} …` : "Starting …";
}
