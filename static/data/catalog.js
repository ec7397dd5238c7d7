/** What can be trained and how: arguments, models, datasets. Asked for once, kept while the tab lives. */

import { ask } from "./api.js";

/**
 * @typedef {import("./types.js").ModelList} ModelList
 * @typedef {import("./types.js").DatasetList} DatasetList
 * @typedef {{type?: string|string[], enum?: unknown[], minimum?: number, maximum?: number, exclusiveMinimum?: number, default?: unknown, description?: string}} Argument
 * @typedef {Argument & {anyOf?: Argument[], deprecated?: boolean}} Rule one argument, as the schema has it
 * @typedef {{properties: Record<string, Rule>}} Rules
 * @typedef {{properties: Record<string, Rule> & {hyperparameters: Rules, fit_params: Rules}}} PayloadSchema
 */

/**
 * A question that is asked once; after a failure, again.
 * @template Answer
 * @param {string} path @returns {() => Promise<Answer>}
 */
function once(path) {
  /** @type {Promise<Answer>|null} */
  let answer = null;
  return () => {
    if (!answer) {
      answer = ask(path);
      answer.catch(() => (answer = null));
    }
    return answer;
  };
}

/** The payload's JSON Schema. @type {() => Promise<PayloadSchema>} */
export const schema = once("schema/train");
/** @type {() => Promise<ModelList>} */
export const models = once("models");
/** Looked up each time: datasets come and go. @returns {Promise<DatasetList>} */
export const datasets = () => ask("datasets");

/** The schema of every argument, wherever it stands in the payload. @returns {Promise<Record<string, Argument>>} */
export async function argumentTable() {
  const { fit_params: all, hyperparameters } = (await schema()).properties;
  const rules = { ...all.properties, ...hyperparameters.properties }; // the second have the defaults
  const current = Object.entries(rules).filter(([, rule]) => !rule.deprecated);
  return Object.fromEntries(current.map(([name, rule]) => [name, flat(rule)]));
}

/** Choices of several types as one list. @param {Rule} rule @returns {Argument} */
function flat({ anyOf, ...rule }) {
  return anyOf ? { ...rule, enum: anyOf.flatMap(choicesOf) } : rule;
}

/** @param {Argument} rule @returns {unknown[]} */
function choicesOf({ type, enum: choices }) {
  return choices ?? (type === "boolean" ? [true, false] : [null]);
}
