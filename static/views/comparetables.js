/** The two tables of a comparison: how the trainings stand, and which of their arguments differ. */

import { dataset, duration, headline, metricAmong, model, share, shown } from "../data/format.js";
import { argumentsOf } from "../data/types.js";
import { jobAddress } from "../router.js";
import { h, iconButton } from "../ui/dom.js";
import { COLOURS } from "../ui/palette.js";
import { StatusPill } from "../ui/status.js";

/** @typedef {import("../data/types.js").Job} Job */
/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {{name: string, values: unknown[]}} Difference one argument, and its value in each training */

/** @type {[string, string][]} */
const HEADS = [
  ["Training", ""],
  ["Status", ""],
  ["Epochs", "number"],
  ["Best", "number"],
  ["At epoch", "number"],
  ["Time", "number"],
];
/** Characters of a value that are shown; all of it is in the title. */
const LONGEST = 80;

const cut = (/** @type {string} */ text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);

/**
 * How each training stands.
 * @param {JobReader[]} runs @param {(run: JobReader) => string} nameOf @param {(id: string) => void} remove
 */
export function standings(runs, nameOf, remove) {
  const heads = HEADS.map(([label, kind]) => h("th", { scope: "col", class: kind }, label));
  const last = h("th", { scope: "col" }, h("span", { class: "unseen" }, "Remove"));
  const rows = runs.map((run, place) =>
    h(
      "tr",
      {},
      h(
        "th",
        { scope: "row" },
        h("i", { class: `swatch line-${place % COLOURS}` }),
        h("a", { href: jobAddress(run.id) }, nameOf(run)),
      ),
      ...(run.job ? standing(run.job, runs) : [h("td", { colspan: 5, class: "quiet" }, run.trouble || "Loading …")]),
      h("td", {}, iconButton("cancel", `Remove ${run.id}`, { onclick: () => remove(run.id) })),
    ),
  );
  return h(
    "table",
    {},
    h("caption", { class: "unseen" }, "The trainings"),
    h("thead", {}, h("tr", {}, ...heads, last)),
    h("tbody", {}, ...rows),
  );
}

/** What one training has reached. @param {Job} job @param {JobReader[]} runs */
function standing(job, runs) {
  const pill = new StatusPill();
  pill.show(job);
  const took = job.started_at ? (job.ended_at ?? job.updated_at) - job.started_at : null;
  return [
    h("td", {}, pill.element),
    h("td", { class: "number" }, job.progress ? `${job.progress.epoch} of ${job.progress.total_epochs}` : "–"),
    h("td", { class: "number" }, ...score(job, runs)),
    h("td", { class: "number" }, job.best?.epoch ?? "–"),
    h("td", { class: "number" }, duration(took)),
  ];
}

/** Its main metric; bold where no other training has a better one. @param {Job} job @param {JobReader[]} runs */
function score(job, runs) {
  const key = headline(job.best?.metrics);
  if (!key) return ["–"];
  const best = (/** @type {Job|null} */ each) => each?.best?.metrics?.[key] ?? -Infinity;
  const isTop = best(job) === Math.max(...runs.map((run) => best(run.job)));
  return [
    h(isTop ? "b" : "span", {}, share(job.best?.metrics?.[key])),
    h("span", { class: "quiet" }, ` ${metricAmong(key, Object.keys(job.best?.metrics ?? {}))}`),
  ];
}

/** Arguments that are not the same in all jobs, with their values. @param {Job[]} jobs @returns {Difference[]} */
export function differingArguments(jobs) {
  const all = jobs.map((job) => new Map(Object.entries({ model: job.model, ...argumentsOf(job) })));
  const names = [...new Set(all.flatMap((each) => [...each.keys()]))];
  return names
    .map((name) => ({ name, values: all.map((each) => each.get(name)) }))
    .filter(({ values }) => new Set(values.map((value) => JSON.stringify(value))).size > 1);
}

/** @param {{name: string, place: number}[]} runs their names, and places among the colours @param {Difference[]} differing */
export function differences(runs, differing) {
  if (!differing.length) return h("p", { class: "empty" }, "None: what was set is the same.");
  const heads = runs.map(({ name, place }) =>
    h("th", { scope: "col" }, h("i", { class: `swatch line-${place % COLOURS}` }), name),
  );
  const rows = differing.map(({ name, values }) =>
    h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), ...values.map((value) => cell(name, value))),
  );
  return h(
    "table",
    {},
    h("caption", { class: "unseen" }, "Arguments that differ"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Argument"), ...heads)),
    h("tbody", {}, ...rows),
  );
}

/** One value of an argument. @param {string} name @param {unknown} value */
function cell(name, value) {
  return h("td", { title: shown(value), class: value === undefined ? "quiet" : "" }, inShort(name, value));
}

/** @param {string} name @param {unknown} value */
function inShort(name, value) {
  if (value === undefined) return "default";
  if (name === "data") return dataset(String(value));
  return name === "model" ? model(String(value)) : cut(shown(value));
}
