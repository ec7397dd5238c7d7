/** The final evaluation, class by class, sorted by any column. */

import { h, mark, write } from "../ui/dom.js";
import { count, share } from "../data/format.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */

/** @typedef {import("../data/types.js").ClassResult} ClassResult */
/** @typedef {Exclude<keyof ClassResult, "name">} Figure */

/** Each number with its heading, and how it is shown. @type {[Figure, string, (value: number|null) => string][]} */
const FIGURES = [
  ["images", "Images", (value) => count(value ?? 0)],
  ["instances", "Instances", (value) => count(value ?? 0)],
  ["precision", "Precision", share],
  ["recall", "Recall", share],
  ["map50", "mAP50", share],
  ["map50_95", "mAP50-95", share],
];
/** @type {[keyof ClassResult, string][]} */
const COLUMNS = [["name", "Class"], ...FIGURES.map(([key, label]) => /** @type {[Figure, string]} */ ([key, label]))];
const SHARES = ["precision", "recall", "map50", "map50_95"];

export class ClassTable {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    /** @type {keyof ClassResult} */
    this._by = "map50_95";
    this._isDown = false;
    /** @type {import("../data/types.js").ClassResults|null} */
    this._drawn = null;
    this._heads = COLUMNS.map(([key, label]) =>
      h(
        "th",
        { scope: "col", class: key === "name" ? "" : "number" },
        h("button", { type: "button", class: "sort", onclick: () => this._sort(key) }, label),
      ),
    );
    this._rows = h("tbody");
    this._none = h("p", { class: "empty" });
    this._table = h(
      "table",
      {},
      h("caption", { class: "unseen" }, "Results by class"),
      h("thead", {}, h("tr", {}, ...this._heads)),
      this._rows,
    );
    this._box = h("div", { class: "card flush scroll" }, this._table);
    this.element = h("div", {}, this._none, this._box);
  }

  draw() {
    const { classes } = this.run;
    write(this._none, this.run.isComplete ? "Results by class come with the final evaluation." : "Loading …");
    this._none.hidden = classes !== null;
    this._box.hidden = classes === null;
    if (classes && classes !== this._drawn) this._fill();
  }

  _sort(/** @type {keyof ClassResult} */ key) {
    this._isDown = this._by === key ? !this._isDown : key !== "name";
    this._by = key;
    this._fill();
  }

  _fill() {
    this._drawn = this.run.classes;
    const { _by: by } = this;
    const sign = this._isDown ? -1 : 1;
    const sorted = [...(this.run.classes?.classes ?? [])].sort(
      (a, b) => sign * (by === "name" ? a.name.localeCompare(b.name) : (a[by] ?? -1) - (b[by] ?? -1)),
    );
    COLUMNS.forEach(([key], i) =>
      mark(this._heads[i], "aria-sort", key === by ? (this._isDown ? "descending" : "ascending") : null),
    );
    this._rows.replaceChildren(
      ...sorted.map((each) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, each.name),
          ...FIGURES.map(([key, , show]) => cell(key, each[key], show)),
        ),
      ),
    );
  }
}

/** @param {Figure} key @param {number|null} value @param {(value: number|null) => string} show */
function cell(key, value, show) {
  const made = h("td", { class: "number" }, show(value));
  if (SHARES.includes(key)) made.prepend(h("meter", { min: 0, max: 1, value: value ?? 0, "aria-hidden": "true" }));
  return made;
}
