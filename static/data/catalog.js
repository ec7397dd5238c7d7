/** What can be trained and how: arguments, models, datasets. Asked for once, kept while the tab lives. */

import { ask } from "./api.js";

/** @typedef {{type?: string|string[], enum?: any[], minimum?: number, maximum?: number, exclusiveMinimum?: number, default?: any, description?: string}} Argument */

/** @type {Map<string, Promise<any>>} */
const asked = new Map();

function once(/** @type {string} */ path) {
  let answer = asked.get(path);
  if (!answer) {
    answer = ask(path);
    answer.catch(() => asked.delete(path)); // to be asked again
    asked.set(path, answer);
  }
  return answer;
}

/** The payload's JSON Schema. */
export const schema = () => once("schema/train");
export const models = () => once("models");
/** Looked up each time: datasets come and go. @returns {Promise<import("./types.js").Found>} */
export const datasets = () => ask("datasets");

/** The schema of every argument, wherever it stands in the payload. @returns {Promise<Record<string, Argument>>} */
export async function argumentTable() {
  const { fit_params: all, hyperparameters } = (await schema()).properties;
  const rules = { ...all.properties, ...hyperparameters.properties }; // the second have the defaults
  const current = Object.entries(rules).filter(([, rule]) => !rule.deprecated);
  return Object.fromEntries(current.map(([name, rule]) => [name, flat(rule)]));
}

/** Choices of several types as one list. @param {any} rule @returns {Argument} */
function flat({ anyOf, ...rule }) {
  if (!anyOf) return rule;
  const options = anyOf.flatMap(
    (/** @type {any} */ one) => one.enum ?? { boolean: [true, false], null: [null] }[/** @type {string} */ (one.type)],
  );
  return { ...rule, enum: options };
}
