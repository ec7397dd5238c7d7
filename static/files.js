/** What a training has written: weights first, everything as one zip. */

import { ask, jobPath, Problem } from "./api.js";
import { h, icon, write } from "./dom.js";
import { ago, bytes, moment, plural } from "./format.js";

/** @typedef {import("./run.js").Run} Run */

/** Milliseconds between two looks at the folder while the job runs. */
const AGAIN_MS = 3_000;

export class Files {
  constructor(/** @type {Run} */ run) {
    this.run = run;
    this._read = { cursor: -1, at: -Infinity };
    this._rows = h("tbody");
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
        h("a", { class: "button", href: jobPath(run.id, "/artifacts.zip"), download: "" }, icon("download"), "All as zip"),
      ),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h("caption", { class: "unseen" }, "Files"),
          h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "File"), h("th", { scope: "col", class: "number" }, "Size"), h("th", { scope: "col" }, "Written"))),
          this._rows,
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
    const isWeights = (/** @type {any} */ file) => Number(file.name.endsWith(".pt"));
    files.sort((a, b) => isWeights(b) - isWeights(a) || a.name.localeCompare(b.name, undefined, { numeric: true }));
    write(this._note, "No files yet.");
    this._note.hidden = files.length > 0;
    this._box.hidden = files.length === 0;
    write(this._sum, `${plural(files.length, "file")}, ${bytes(files.reduce((sum, file) => sum + file.size_bytes, 0))}`);
    this._rows.replaceChildren(
      ...files.map((file) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, h("a", { href: file.url, target: "_blank", rel: "noopener" }, file.name)),
          h("td", { class: "number" }, bytes(file.size_bytes)),
          h("td", { class: "quiet time", title: moment(file.modified_at) }, ago(file.modified_at)),
        ),
      ),
    );
  }
}
