/**
 * The one stream that a browser keeps open: `GET /events`, the list of jobs and then each of them as it changes.
 *
 * Read with `fetch`, not EventSource, because that hides what a person wants to know: when the next try is, whether the
 * service is there at all, and whether a quiet line is still a line.
 */

import { FrameReader } from "./frames.js";

/** @typedef {import("../data/types.js").Job} Job */
/** @typedef {import("../data/types.js").Link} Link */
/** @typedef {{type: "jobs", jobs: Job[]} | {type: "job", job: Job} | {type: "deleted", id: string}
 *   | {type: "places", order: string[]} | {type: "link", link: Link}} BoardMessage */

/** @typedef {import("../data/types.js").BoardEvent} BoardEvent */

/** Milliseconds without a byte after which a line counts as dead; the service sends a heartbeat every 15 seconds. */
const STALL_MS = 45_000;
/** The longest wait between two tries. */
const LONGEST_MS = 20_000;

export class Board {
  /** @param {URL} url @param {(message: BoardMessage) => void} tell */
  constructor(url, tell) {
    this._url = url;
    this._tell = tell;
    /** @type {Link} */
    this.link = { state: "connecting" };
    this._retryMs = 2000;
    this._heard = 0;
    this._abort = new AbortController();
    this._wake = () => {};
  }

  /** Read for ever. */
  async run() {
    for (let failures = 0; ;) {
      let why = "The stream ended.";
      let isGone = false;
      try {
        await this._read(() => (failures = 0));
      } catch (error) {
        // A line that broke is one thing, a service that takes no connection another.
        isGone = this.link.state !== "live";
        why = error instanceof Error ? error.message : String(error);
      }
      failures += 1;
      const wait = isGone ? Math.min(LONGEST_MS, 1000 * 2 ** Math.min(failures, 6)) : this._retryMs;
      this._say({ state: isGone ? "gone" : "reconnecting", until: Date.now() + wait, why });
      await this._sleep(wait);
    }
  }

  /** Somebody is looking: try now, and do not trust a line that has been quiet for long. */
  poke() {
    this._wake();
    if (this.link.state === "live" && Date.now() - this._heard > STALL_MS) this._abort.abort();
  }

  /** @param {() => void} onLive */
  async _read(onLive) {
    this._abort = new AbortController();
    const watch = setInterval(() => Date.now() - this._heard > STALL_MS && this._abort.abort(), 5000);
    this._heard = Date.now();
    try {
      const headers = { Accept: "text/event-stream" };
      const answer = await fetch(this._url, { headers, cache: "no-store", signal: this._abort.signal });
      if (!answer.ok || !answer.body) throw new Error(`The service answered ${answer.status}.`);
      onLive();
      await this._frames(answer.body);
    } finally {
      clearInterval(watch);
    }
  }

  /** @param {ReadableStream<Uint8Array<ArrayBuffer>>} body */
  async _frames(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const frames = new FrameReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      this._heard = Date.now();
      for (const data of frames.push(part.value)) this._take(JSON.parse(data));
      this._retryMs = frames.retryMs;
    }
  }

  _take(/** @type {BoardEvent} */ event) {
    if (event.event === "jobs") {
      this._say({ state: "live" });
      this._tell({ type: "jobs", jobs: event.jobs });
    } else if (event.event === "deleted") {
      this._tell({ type: "deleted", id: event.job_id });
    } else if (event.event === "positions") {
      this._tell({ type: "places", order: event.order });
    } else if (event.event === "job") {
      this._tell({ type: "job", job: event });
    }
  }

  _say(/** @type {Link} */ link) {
    this.link = link;
    this._tell({ type: "link", link });
  }

  _sleep(/** @type {number} */ milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this._wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}
