/** A training's payload as a line for a shell. */

/** In single quotes, as a POSIX shell reads them. */
const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", `'\\''`)}'`;

export const curlLine = (/** @type {unknown} */ payload) =>
  `curl -s ${location.origin}/train -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(payload, null, 1).replace(/\n\s*/g, " "))}`;
