/**
 * What this tab knows of all jobs and of its line to the service. The line itself is shared by all tabs (`sharer.js`);
 * a browser without SharedWorker gives each tab one of its own.
 */

import { ask, jobPath } from "../data/api.js";
import { Board } from "./board.js";

/** @typedef {import("../data/types.js").Job} Job */
/** @typedef {import("../data/types.js").Link} Link */
/** @typedef {import("./board.js").BoardMessage} BoardMessage */

export class Connection extends EventTarget {
  constructor() {
    super();
    /** @type {Map<string, Job>} */
    this.jobs = new Map();
    /** Whether the list has come at least once. */
    this.isListed = false;
    /** @type {Promise<void>} done once the list has come */
    this.listed = new Promise((resolve) => (this._resolveListed = resolve));
    /** @type {Link} */
    this.link = { state: "connecting" };
    this._open();
    document.addEventListener("visibilitychange", () => document.hidden || this.poke());
    addEventListener("online", () => this.poke());
  }

  /** Try again at once, if there is something to try. */
  poke() {
    this._send("poke");
  }

  /** Hear of changes: `list` when any job or the list changed, `places` when those that wait moved, `link` when the line did. Returns how to stop. */
  on(
    /** @type {"list"|"places"|"link"} */ type,
    /** @type {(event: CustomEvent<{job: Job|null}>) => void} */ listener,
  ) {
    const listen = /** @type {EventListener} */ (listener);
    this.addEventListener(type, listen);
    return () => this.removeEventListener(type, listen);
  }

  /** Take a snapshot that an answer brought; an older one than what is known is dropped. */
  learn(/** @type {Job} */ job) {
    const known = this.jobs.get(job.job_id);
    if (known && (known.last_seq > job.last_seq || known.updated_at > job.updated_at)) return;
    this.jobs.set(job.job_id, job);
    this._changed(job);
  }

  /** Read a job that the list may not have. Raises Problem. */
  async read(/** @type {string} */ id) {
    this.learn(await ask(jobPath(id)));
  }

  forget(/** @type {string} */ id) {
    if (this.jobs.delete(id)) this._changed(null);
  }

  _open() {
    if (typeof SharedWorker === "undefined") return this._openOwn();
    const worker = new SharedWorker(scriptUrl("sharer.js"), { type: "module", name: "jobs" });
    worker.onerror = () => this._openOwn();
    worker.port.onmessage = ({ data }) => this._take(data);
    this._send = (/** @type {string} */ word) => worker.port.postMessage(word);
    this._send("hello");
    addEventListener("pagehide", () => this._send("bye"));
    addEventListener("pageshow", (event) => event.persisted && this._send("hello"));
  }

  /** A line for this tab alone. */
  _openOwn() {
    const board = new Board(new URL("../../events", import.meta.url), (message) => this._take(message));
    this._send = (word) => word === "poke" && board.poke();
    board.run();
  }

  /** @type {(word: string) => void} */
  _send = () => {};

  _take(/** @type {BoardMessage} */ message) {
    if (message.type === "link") {
      this.link = message.link;
      this.dispatchEvent(new CustomEvent("link"));
    } else if (message.type === "jobs") {
      this._list(message.jobs);
    } else if (message.type === "deleted") {
      this.forget(message.id);
    } else if (message.type === "places") {
      this._place(message.order);
    } else {
      this.jobs.set(message.job.job_id, message.job);
      this._changed(message.job);
    }
  }

  /** The list is the newest jobs: what is as new but not in it is gone; older ones that were read stay. */
  _list(/** @type {Job[]} */ jobs) {
    const oldest = Math.min(...jobs.map((job) => job.number));
    for (const [id, job] of this.jobs) if (job.number >= oldest || !jobs.length) this.jobs.delete(id);
    for (const job of jobs) this.jobs.set(job.job_id, job);
    this.isListed = true;
    this._resolveListed?.();
    this._changed(null);
  }

  /** The jobs that wait, the first one first. */
  _place(/** @type {string[]} */ order) {
    order.forEach((id, place) => {
      const job = this.jobs.get(id);
      if (job?.status === "queued" && job.queue_position !== place + 1)
        this.jobs.set(id, { ...job, queue_position: place + 1 });
    });
    this.dispatchEvent(new CustomEvent("places"));
  }

  _changed(/** @type {Job|null} */ job) {
    this.dispatchEvent(new CustomEvent("list", { detail: { job } }));
  }
}

/** @typedef {{createScriptURL: (url: string) => string}} Policy */
/** @typedef {{createPolicy: (name: string, rules: Policy) => Policy}} Trusted what TypeScript does not know yet */

/** The address of a worker's script; the one thing that Trusted Types lets become code here. */
function scriptUrl(/** @type {"sharer.js"} */ name) {
  const url = new URL(name, import.meta.url).href;
  const { trustedTypes: types } = /** @type {{trustedTypes?: Trusted}} */ (globalThis);
  return types ? types.createPolicy("page", { createScriptURL: () => url }).createScriptURL(url) : url;
}
