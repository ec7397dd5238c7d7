/**
 * A question to the service, "which trainings have this status, and these words in them?", and what it has answered: pages
 * of jobs, newest first, and how many there are of each status. The jobs themselves are the connection's, which knows
 * what has become of them since: an answer says only how far down they were read.
 */

import { ask } from "./api.js";
import { dataOf } from "./types.js";

/** @typedef {import("./types.js").Job} Job */
/** @typedef {import("./types.js").JobList} JobList */

/** Jobs in a page. */
const PAGE = 100;
/** Milliseconds at least between two questions that follow from changes. */
const PAUSE_MS = 1000;

export class Listing {
  /** @param {import("../line/connection.js").Connection} connection @param {() => void} changed called after any change */
  constructor(connection, changed) {
    this._connection = connection;
    this._changed = changed;
    this.status = "all";
    this.text = "";
    /** How many jobs of each status the text finds; null before the first answer. @type {Record<string, number>|null} */
    this.counts = null;
    /** Jobs that are wanted: pages are read until there are as many. */
    this._wanted = PAGE;
    /** The number of the oldest job that was read; 0 where all are known, or nothing is. */
    this._reach = 0;
    /** The next page; null: there is none. @type {string|null} */
    this._next = null;
    /** Jobs that the service has found: it knows more of letters than `hasWords`. @type {Set<string>} */
    this._found = new Set();
    /** The newest reading: an earlier one that is still under way is dropped. */
    this._turn = 0;
    /** Statuses as they were counted. @type {Map<string, string>} */
    this._counted = new Map();
    this._timer = 0;
    this._asked = 0;
    this._isReread = false;
    this._isListed = connection.isListed;
    this._stop = connection.on("list", ({ detail }) => this._heard(detail.job));
  }

  close() {
    this._stop();
    clearTimeout(this._timer);
    this._turn += 1;
    this._changed = () => {};
  }

  /** Put a question. What is known that fits is there at once. */
  ask(/** @type {string} */ status, /** @type {string} */ text) {
    Object.assign(this, { status, text, _wanted: PAGE, _reach: 0, _next: null, _found: new Set() });
    this._read();
  }

  /** Read on until there are so many. */
  want(/** @type {number} */ size) {
    this._wanted = size;
    if (this._next && this.jobs.length < size) this._read(this._next);
  }

  /** Whether the service has more than was read. */
  get hasOlder() {
    return this._next !== null;
  }

  /** The jobs that fit, newest first. */
  get jobs() {
    const words = this.text.toLowerCase().split(/\s+/);
    const fits = (/** @type {Job} */ job) =>
      job.number >= this._reach &&
      (this.status === "all" || job.status === this.status) &&
      (this._found.has(job.job_id) || hasWords(job, words));
    return [...this._connection.jobs.values()].filter(fits).sort((a, b) => b.number - a.number);
  }

  get _search() {
    return this.text.trim() ? `&q=${encodeURIComponent(this.text.trim())}` : "";
  }

  /** Read pages, from the first one or from another, until there are as many jobs as are wanted. */
  async _read(/** @type {string|null} */ from = null) {
    const turn = (this._turn += 1);
    this._asked = Date.now();
    const status = this.status === "all" ? "" : `&status=${this.status}`;
    const found = from ? this._found : new Set();
    const before = from ? [] : this.jobs;
    /** @type {string|null} */
    let next = from ?? `jobs?limit=${PAGE}${status}${this._search}`;
    let [size, reach] = [from ? this.jobs.length : 0, 0];
    try {
      while (next && (!size || size < this._wanted)) {
        /** @type {JobList} */
        const page = await ask(next);
        if (turn !== this._turn) return;
        this.counts = page.counts;
        for (const job of page.jobs) this._learn(job, found);
        size += page.jobs.length;
        next = page.next && `jobs${new URL(page.next, location.href).search}`;
        reach = next ? (page.jobs.at(-1)?.number ?? 0) : 0;
      }
      Object.assign(this, { _next: next, _reach: reach, _found: found });
      if (!this.text.trim()) this._drop(before);
    } catch {
      this._isReread = true; // what is known stays; the list that comes with a new line leads back here
    }
    this._changed();
  }

  /** @param {Job} job @param {Set<string>} found */
  _learn(job, found) {
    found.add(job.job_id);
    this._counted.set(job.job_id, job.status);
    this._connection.learn(job);
  }

  /** What was known and is not found any more, without a word of it since, was deleted while the line was lost. */
  _drop(/** @type {Job[]} */ before) {
    const { jobs } = this._connection;
    for (const job of before)
      if (!this._found.has(job.job_id) && job.number >= this._reach && jobs.get(job.job_id) === job)
        jobs.delete(job.job_id);
  }

  /** @param {Job|null} job the job that changed; null: the list did */
  _heard(job) {
    if (job === null) {
      for (const { job_id: id, status } of this._connection.jobs.values()) this._counted.set(id, status);
      this._later(this._isListed); // the first list comes beside the first page
      this._isListed = true;
    } else if (this._counted.get(job.job_id) !== job.status) {
      this._counted.set(job.job_id, job.status);
      this._later(false);
    }
    this._changed();
  }

  /** Ask again what may have changed: all that was read, or the counts only. */
  _later(/** @type {boolean} */ isReread) {
    this._isReread ||= isReread;
    this._timer ||= setTimeout(() => this._again(), Math.max(0, this._asked + PAUSE_MS - Date.now()));
  }

  async _again() {
    const isReread = this._isReread;
    Object.assign(this, { _timer: 0, _isReread: false, _asked: Date.now() });
    if (isReread) return this._read();
    const { text } = this;
    /** @type {Promise<JobList>} */
    const asked = ask(`jobs?limit=1${this._search}`);
    const page = await asked.catch(() => null);
    if (!page || text !== this.text) return;
    this.counts = page.counts;
    this._changed();
  }
}

/** Whether a job has all of these words in its id, model or dataset. @param {Job} job @param {string[]} words */
export function hasWords(job, words) {
  const text = `${job.job_id} ${job.model} ${dataOf(job)}`.toLowerCase();
  return words.every((word) => text.includes(word));
}
