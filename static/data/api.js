/** Requests to the service, and what it says when it refuses. */

/** @typedef {{pointer: string, detail: string, suggestion?: string}} Fault */

/** A refusal: what a person can be told, and the faults of a payload. */
export class Problem extends Error {
  /** @param {number} status 0: no answer at all @param {string} detail @param {Fault[]} faults */
  constructor(status, detail, faults = []) {
    super(detail);
    this.status = status;
    this.faults = faults;
  }
}

/** The answer's JSON. Raises Problem. @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
export async function ask(path, options = {}) {
  const answer = await fetch(path, options).catch(() => {
    throw new Problem(0, "The service does not answer.");
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw new Problem(answer.status, body.detail ?? `The service answered ${answer.status}.`, body.errors ?? []);
}

/** @param {string} path @param {any} [body] */
export const post = (path, body = {}) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const jobPath = (/** @type {string} */ id, rest = "") => `jobs/${encodeURIComponent(id)}${rest}`;
