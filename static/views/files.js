/** What a training has written: weights first, everything as one zip. */

import { ask, jobPath } from "../data/api.js";
import { h, icon, mark, write } from "../ui/dom.js";
import { ago, bytes, moment, plural } from "../data/format.js";

/** @typedef {import("../data/api.js").Problem} Problem */
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
      const { artifacts } = await ask(jobPath(this.run.id, "/artifacts"));
      this._show(artifacts);
    } catch (error) {
      this._read.cursor = -1;
      write(this._note, /** @type {Problem} */ (error).message);
      this._note.hidden = false;
    }
  }

  _show(/** @type {any[]} */ files) {
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
    /** @type {any[]} */
    this._files = [];
  }

  show(/** @type {any[]} */ files) {
    this._files = files;
    const isOpen = this._isOpen ?? files.length <= MANY;
    this.element.hidden = files.length === 0;
    write(
      this._sum,
      `${plural(files.length, "file")}, ${bytes(files.reduce((sum, file) => sum + file.size_bytes, 0))}`,
    );
    mark(this._fold, "aria-expanded", String(isOpen));
    this.element.replaceChildren(this._head, ...(isOpen ? files.map(row) : []));
  }

  _toggle() {
    this._isOpen = this._fold.getAttribute("aria-expanded") !== "true";
    this.show(this._files);
    this._fold.focus();
  }
}

const row = (/** @type {any} */ file) =>
  h(
    "tr",
    {},
    h("th", { scope: "row" }, h("a", { href: file.url, download: file.name.endsWith(".pt") ? "" : null }, file.name)),
    h("td", { class: "number" }, bytes(file.size_bytes)),
    h("td", { class: "quiet time", title: moment(file.modified_at) }, ago(file.modified_at)),
  );
