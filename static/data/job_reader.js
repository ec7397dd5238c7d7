/**
 * One job as this tab has read it: its snapshot, and all that its log has said so far.
 *
 * The shared stream says how far the job's log has grown; what is new is read as pages of JSON. So any number of tabs
 * needs one open connection, a flood of events costs two requests a second at most, and a number that was read is never
 * read again: not after a restart of the service, not when a job that had ended is resumed.
 */

import { ask, jobPath } from "./api.js";
import { Columns } from "./series.js";
import { isFinal } from "./types.js";

/** @typedef {import("./api.js").Problem} Problem */
/** @typedef {import("./types.js").Job} Job */
/** @typedef {import("./types.js").LoggedEvent} LoggedEvent */
/** @typedef {import("./types.js").EpochEnd} EpochEnd */
/** @typedef {import("./types.js").Picture} Picture */
/** @typedef {import("./types.js").LogLine} LogLine */
/** @typedef {import("../line/connection.js").Connection} Connection */

/** Events that are kept as they came, for the tab that shows them. */
const KEPT_EVENTS = 5_000;
/** Milliseconds until a failed read is tried again while the stream is live. */
const RETRY_MS = 3_000;

/** What was read of a log. */
class Reading {
  /** Number of the newest event that was taken. */
  cursor = 0;
  epochs = new Columns();
  /** What the machine did, over seconds since 1970: from each epoch's end, and from the ticks of the time since. */
  machine = new Columns();
  /** The machine's memory, in GB. */
  memoryTotal = 0;
  /** @type {LogLine[]} */
  log = [];
  /** @type {Map<string, Picture>} the newest version of each file */
  pictures = new Map();
  /** @type {LoggedEvent[]} */
  events = [];
  /** @type {import("./types.js").ClassResults|null} */
  classes = null;
  /** @type {import("./types.js").DatasetRead|null} what is in its dataset, all of it */
  dataset = null;
  /** @type {import("./types.js").Phase|null} what the training turned to last */
  phase = null;
  /** @type {import("./types.js").Tick|null} the newest tick */
  tick = null;
  /** @type {{epoch: number, attempt: number}[]} where later attempts took over */
  attempts = [];
}

export class JobReader extends Reading {
  /**
   * @param {Connection} connection @param {string} id @param {() => void} changed called after any change
   * @param {string} types what to read of the log; empty for all
   */
  constructor(connection, id, changed, types = "") {
    super();
    this.id = id;
    this.changed = changed;
    this._connection = connection;
    this._types = types;
    /** @type {Job|null} */
    this.job = null;
    /** Why there is nothing to show, for a person. */
    this.trouble = "";
    this._isReading = false;
    this._isDoubtful = false;
    this._retry = 0;
    this._stop = [
      connection.on("list", ({ detail }) => this._heard(detail.job)),
      connection.on("places", () => this._moved()),
      connection.on("link", () => this.changed()),
    ];
    this._heard(null);
  }

  close() {
    clearTimeout(this._retry);
    for (const stop of this._stop) stop();
    this.changed = () => {};
  }

  _clear() {
    Object.assign(this, new Reading());
  }

  /** Whether all that the log has is here. */
  get isComplete() {
    return this.job !== null && this.cursor >= this.job.last_seq;
  }

  /** Whether nothing more will come. */
  get isOver() {
    return this.job !== null && isFinal(this.job) && this.isComplete;
  }

  /** @param {Job|null} job the job that changed; null: the list */
  _heard(job) {
    if (job && job.job_id !== this.id) return;
    const known = job ?? this._connection.jobs.get(this.id);
    if (known) this._follow(known, job === null);
    else if (this._connection.isListed) this._look();
  }

  /** Its place in the queue is another one, perhaps. */
  _moved() {
    if (this.job?.status !== "queued") return;
    this.job = this._connection.jobs.get(this.id) ?? this.job;
    this.changed();
  }

  /** The list does not have it: it is old, or gone. */
  async _look() {
    try {
      await this._connection.read(this.id);
      this.trouble = "";
    } catch (error) {
      const problem = /** @type {Problem} */ (error);
      if (problem.status === 404) this.job = null;
      this.trouble = problem.status === 404 ? `There is no training ${this.id}.` : problem.message;
      this.changed();
    }
  }

  /** @param {Job} job @param {boolean} isList whether it came with the whole list, which follows a reconnect */
  _follow(job, isList) {
    this.trouble = "";
    this.job = job;
    // A page may be ahead of a snapshot. But after a reconnect the log may be another one: a page tells.
    this._isDoubtful ||= isList && job.last_seq < this.cursor;
    const { progress } = job;
    if (progress?.event === "tick" && progress.time !== this.tick?.time) {
      this.tick = progress;
      this._machine(progress);
    }
    this.changed();
    this.catchUp();
  }

  /** Read what the log has beyond the cursor, page by page. One at a time. */
  async catchUp() {
    if (this._isReading) return;
    this._isReading = true;
    clearTimeout(this._retry);
    try {
      while (this.job && (this._isDoubtful || this.cursor < this.job.last_seq) && (await this._page())) this.changed();
      this.trouble = "";
    } catch (error) {
      this.trouble = /** @type {Problem} */ (error).message;
      this._retry = setTimeout(() => this.catchUp(), RETRY_MS);
      this.changed();
    } finally {
      this._isReading = false;
    }
  }

  /** Take one page; whether there was something in it. */
  async _page() {
    const filter = this._types && `&types=${this._types}`;
    const path = jobPath(this.id, `/events?last_event_id=${this.cursor}${filter}`);
    /** @type {import("./types.js").EventPage} */
    const page = await ask(path, { headers: { Accept: "application/json" } });
    this._isDoubtful = false;
    if (page.last_seq < this.cursor) this._clear();
    for (const event of page.events) if ("seq" in event && event.seq > this.cursor) this._take(event);
    const before = this.cursor;
    this.cursor = Math.max(this.cursor, page.last_event_id);
    return page.events.length > 0 || this.cursor > before;
  }

  _take(/** @type {LoggedEvent} */ event) {
    this.cursor = event.seq;
    this.events.push(event);
    if (this.events.length > 2 * KEPT_EVENTS) this.events.splice(0, KEPT_EVENTS);
    this._add(event);
  }

  _machine(/** @type {{time: number, machine: import("./types.js").Machine}} */ { time, machine }) {
    this.machine.set(time, {
      cpu: machine.cpu * 100,
      memory: machine.memory_used_bytes / 1e9,
      process: machine.process_memory_bytes / 1e9,
      ...(machine.gpu && {
        gpu: machine.gpu.use === null ? null : machine.gpu.use * 100, // a part of a GPU does not tell
        gpu_memory: machine.gpu.memory_used_bytes / 1e9,
      }),
    });
    this.memoryTotal = machine.memory_total_bytes / 1e9;
  }

  /** What each type of event adds. */
  _add(/** @type {LoggedEvent} */ event) {
    switch (event.event) {
      case "queued":
        if (event.attempt > 1) this._goOn(event);
        break;
      case "epoch_end":
        this._epoch(event);
        break;
      case "image":
        this._picture(event);
        break;
      case "log":
        for (const text of event.lines) this.log.push({ text, level: event.level, time: event.time });
        break;
      case "phase":
        this.phase = event;
        break;
      case "dataset":
        this.dataset = event;
        break;
      case "class_results":
        this.classes = event;
    }
  }

  _goOn(/** @type {LoggedEvent} */ { attempt, time }) {
    this.attempts.push({ epoch: this.epochs.xs.at(-1) ?? 0, attempt });
    this.machine.set(time, {}); // a gap: nothing is known of the time between
  }

  _epoch(/** @type {EpochEnd} */ event) {
    this.epochs.set(event.epoch, {
      ...prefixed("metric", event.metrics),
      ...prefixed("train", event.train_losses),
      ...prefixed("val", event.val_losses),
      ...prefixed("lr", event.lr),
      fitness: event.fitness,
      speed: event.images_per_second,
      seconds: event.epoch_seconds,
      time: event.time,
    });
    this._machine(event);
  }

  _picture(/** @type {import("./types.js").PictureEvent} */ event) {
    const { path, url, name, kind, epoch, width, height, seq } = event;
    if (url) this.pictures.set(path, { path, url: `${url}?v=${seq}`, name, kind, epoch, seq, width, height });
  }
}

/** Names with a prefix, so that losses of training and validation can be told apart. */
const prefixed = (/** @type {string} */ prefix, /** @type {EpochEnd["metrics"]} */ values) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}:${name}`, value]));
