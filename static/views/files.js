/** What a training has written: weights first, everything as one zip. */

import { ask, jobPath } from "../data/api.js";
import { h, icon, mark, write } from "../ui/dom.js";
import { Kept } from "../ui/kept.js";
import { ago, bytes, moment, plural } from "../data/format.js";

/** @typedef {import("../data/api.js").Problem} Problem */
/** @typedef {import("../data/types.js").Artifact} Artifact */
/** @typedef {import("../data/job_reader.js").JobReader} JobReader */

/** Milliseconds between two looks at the folder while the job runs. */
const AGAIN_MS = 3_000;

/** What stands together, in order. @type {[string, RegExp][]} */
const GROUPS = [
  ["Weights", /\.pt$/],
  ["Results", /\.(csv|json|txt|ya?ml)$/],
  ["Plots", /\.png$/],
  ["Previews", /^previews\//],
  ["Pictures", /\.jpe?g$/],
  ["Other", /./],
];
/** Files from which a group is folded. */
const MANY = 12;

export class Files {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    this._read = { cursor: -1, at: -Infinity };
    /** @type {Map<string, Group>} */
    this._groups = new Map(GROUPS.map(([title]) => [title, new Group(title)]));
    this._note = h("p", { class: "empty" }, "Loading …");
    this._sum = h("span", { class: "quiet" });
    this._box = h(
      "div",
      { class: "card flush", hidden: true },
      h(
        "div",
        { class: "controls" },
        this._sum,
        h("span", { class: "grow" }),
        h(
          "a",
          { class: "button", href: jobPath(run.id, "/artifacts.zip"), download: "" },
          icon("download"),
          "All as zip",
        ),
      ),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h("caption", { class: "unseen" }, "Files"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col" }, "File"),
              h("th", { scope: "col", class: "number" }, "Size"),
              h("th", { scope: "col" }, "Written"),
            ),
          ),
          ...[...this._groups.values()].map(({ element }) => element),
        ),
      ),
    );
    this.element = h("div", {}, this._note, this._box);
  }

  draw() {
    const { cursor } = this.run;
    if (cursor === this._read.cursor || performance.now() - this._read.at < AGAIN_MS) return;
    this._read = { cursor, at: performance.now() };
    this._look();
  }

  async _look() {
    try {
      /** @type {{artifacts: Artifact[]}} */
      const { artifacts } = await ask(jobPath(this.run.id, "/artifacts"));
      this._show(artifacts);
    } catch (error) {
      this._read.cursor = -1;
      write(this._note, /** @type {Problem} */ (error).message);
      this._note.hidden = false;
    }
  }

  _show(/** @type {Artifact[]} */ files) {
    files.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    write(this._note, "No files yet.");
    this._note.hidden = files.length > 0;
    this._box.hidden = files.length === 0;
    write(
      this._sum,
      `${plural(files.length, "file")}, ${bytes(files.reduce((sum, file) => sum + file.size_bytes, 0))}`,
    );
    const places = files.map(({ name }) => GROUPS.find(([, fits]) => fits.test(name))?.[0]);
    for (const [title, group] of this._groups) group.show(files.filter((_, i) => places[i] === title));
  }
}

/** Files of one kind under a head that folds them. */
class Group {
  constructor(/** @type {string} */ title) {
    /** Whether they are shown; null: nobody has said so. @type {boolean|null} */
    this._isOpen = null;
    this._sum = h("span", { class: "quiet" });
    this._fold = h(
      "button",
      { type: "button", class: "fold", onclick: () => this._toggle() },
      icon("right"),
      h("span", {}, title),
      this._sum,
    );
    this._head = h("tr", {}, h("th", { scope: "rowgroup", colspan: 3 }, this._fold));
    this.element = h("tbody", { class: "files", hidden: true }, this._head);
    /** @type {Artifact[]} */
    this._files = [];
    this._rows = new Kept(
      (/** @type {Artifact} */ { name }) => name,
      () => new Row(),
    );
  }

  show(/** @type {Artifact[]} */ files) {
    this._files = files;
    const isOpen = this._isOpen ?? files.length <= MANY;
    this.element.hidden = files.length === 0;
    write(
      this._sum,
      `${plural(files.length, "file")}, ${bytes(files.reduce((sum, file) => sum + file.size_bytes, 0))}`,
    );
    mark(this._fold, "aria-expanded", String(isOpen));
    this._rows.show(this.element, isOpen ? files : [], [this._head]);
  }

  _toggle() {
    this._isOpen = this._fold.getAttribute("aria-expanded") !== "true";
    this.show(this._files);
  }
}

class Row {
  constructor() {
    this._link = h("a");
    this._size = h("td", { class: "number" });
    this._time = h("td", { class: "quiet time" });
    this.element = h("tr", {}, h("th", { scope: "row" }, this._link), this._size, this._time);
  }

  show(/** @type {Artifact} */ file) {
    write(this._link, file.name);
    mark(this._link, "href", file.url);
    mark(this._link, "download", file.name.endsWith(".pt") ? "" : null);
    write(this._size, bytes(file.size_bytes));
    write(this._time, ago(file.modified_at));
    mark(this._time, "title", moment(file.modified_at));
  }
}
