/** What is in a dataset, as tables: the splits, the classes, the first images that are dropped. */

import { h } from "../ui/dom.js";
import { count, plural } from "../data/format.js";

/** @typedef {import("../data/types.js").Census} Census */
/** @typedef {Census["splits"][string]} Split */

/** Classes that are shown; the others are in the answer. */
const MOST_CLASSES = 100;
/** @type {[keyof Split, string][]} */
const COUNTS = [
  ["images", "Images"],
  ["labelled", "Labelled"],
  ["background", "Background"],
  ["dropped", "Dropped"],
  ["instances", "Instances"],
];

/** @param {Census} census @returns {Record<string, Split>} */
const splitsOf = ({ splits }) => splits;

/** In a few words: "60 train, 10 val images, 40 dropped". @param {Census} census */
export function inShort(census) {
  const splits = splitsOf(census);
  const each = Object.entries(splits).map(([name, split]) => `${count(split.images - split.dropped)} ${name}`);
  const dropped = Object.values(splits).reduce((sum, split) => sum + split.dropped, 0);
  return `${each.join(", ")} images${dropped ? `, ${count(dropped)} dropped` : ""}`;
}

/** @param {Census} census */
export function warningList({ warnings }) {
  return h("ul", { class: "warnings" }, ...warnings.map((text) => h("li", {}, text)));
}

/** @param {Census} census */
export function censusTables(census) {
  const splits = splitsOf(census);
  const { classes, class_count: all } = "classes" in census ? census : { classes: [], class_count: 0 };
  const names = Object.keys(splits);
  const bad = Object.values(splits)
    .flatMap((split) => ("bad" in split ? split.bad : []))
    .map(({ file, reason }) => h("li", {}, h("code", {}, file), ` ${reason}`));
  const dropped = names.reduce((sum, name) => sum + splits[name].dropped, 0);
  const shown = classes.slice(0, MOST_CLASSES);
  return h(
    "div",
    { class: "census" },
    table(
      "Splits",
      ["Split", ...COUNTS.map(([, label]) => label)],
      names.map((name) => [name, ...COUNTS.map(([key]) => splits[name][key])]),
    ),
    shown.length
      ? table(
          "Instances of each class",
          ["Class", ...names],
          shown.map((each) => [each.name, ...names.map((name) => each.instances[name] ?? 0)]),
        )
      : null,
    all > shown.length && shown.length ? h("p", { class: "hint" }, `${plural(all, "class")} in all.`) : null,
    bad.length
      ? h(
          "p",
          { class: "hint" },
          `Dropped${dropped > bad.length ? `, the first ${bad.length} of ${count(dropped)}` : ""}:`,
        )
      : null,
    bad.length ? h("ul", { class: "bad-files" }, ...bad) : null,
  );
}

/** @param {string} caption @param {string[]} heads @param {(string|number)[][]} rows a name, then numbers */
function table(caption, heads, rows) {
  const head = h("tr", {}, ...heads.map((text, i) => h("th", { scope: "col", class: i ? "number" : "" }, text)));
  const body = rows.map(([name, ...numbers]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      ...numbers.map((number) => h("td", { class: "number" }, count(Number(number)))),
    ),
  );
  return h(
    "div",
    { class: "scroll census-table", tabindex: 0, role: "group", "aria-label": caption },
    h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, head), h("tbody", {}, ...body)),
  );
}
