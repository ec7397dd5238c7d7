/** Requests to the service, and what it says when it refuses. */

/** @typedef {import("./types.js").PayloadFault} PayloadFault */

/** A refusal: what a person can be told, and the faults of a payload. */
export class Problem extends Error {
  /** @param {number} status 0: no answer at all @param {string} detail @param {PayloadFault[]} faults */
  constructor(status, detail, faults = []) {
    super(detail);
    this.status = status;
    this.faults = faults;
  }
}

/**
 * The answer's JSON, which the caller gives its type. Raises Problem.
 * @template [Answer=unknown]
 * @param {string} path @param {RequestInit} [options] @returns {Promise<Answer>}
 */
export async function ask(path, options = {}) {
  const answer = await fetch(path, options).catch(() => {
    throw new Problem(0, "The service does not answer.");
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw new Problem(answer.status, body.detail ?? `The service answered ${answer.status}.`, body.errors ?? []);
}

/** @template [Answer=unknown] @param {string} path @param {unknown} [body] @returns {Promise<Answer>} */
export const post = (path, body = {}) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const jobPath = (/** @type {string} */ id, rest = "") => `jobs/${encodeURIComponent(id)}${rest}`;
