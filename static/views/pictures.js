/** A job's pictures as they appear: previews over the epochs, predictions against labels, mosaics, curves. */

import { arrange, h, mark, write } from "../ui/dom.js";
import { Previews } from "./previews.js";
import { captionOf, view } from "../ui/viewer.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {import("../data/types.js").Picture} Picture */

/** Sections, in order, and the kinds that stand in each. Previews have one of their own before them. @type {[string, Picture["kind"][]][]} */
const SECTIONS = [
  ["Predictions against labels", ["val_labels", "val_predictions"]],
  ["Confusion matrix", ["confusion_matrix"]],
  ["Curves", ["curve", "results"]],
  ["Training batches", ["train_batch"]],
  ["Labels", ["labels"]],
  ["Other", ["other"]],
];

export class Pictures {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    this._previews = new Previews();
    /** @type {Map<string, Tile>} */
    this._tiles = new Map();
    this._sections = SECTIONS.map(([title, kinds]) => {
      const grid = h("div", { class: "pictures" });
      return { kinds, grid, element: h("section", {}, h("h2", { class: "sub" }, title), grid) };
    });
    this._empty = h("p", { class: "empty" });
    this.element = h("div", {}, this._empty, this._previews.element, ...this._sections.map(({ element }) => element));
  }

  draw() {
    const all = [...this.run.pictures.values()];
    const { isOver, isComplete } = this.run;
    write(
      this._empty,
      isOver ? "It drew no pictures." : isComplete ? "Pictures appear here as the training draws them." : "Loading …",
    );
    this._empty.hidden = all.length > 0;
    this._previews.show(all.filter(({ kind }) => kind === "preview").sort((a, b) => a.epoch - b.epoch));
    for (const { kinds, grid, element } of this._sections) {
      const own = all
        .filter(({ kind }) => kinds.includes(kind))
        .sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
      element.hidden = own.length === 0;
      arrange(
        grid,
        own.map((picture) => this._tile(picture, own)),
      );
    }
  }

  close() {
    this._previews.close();
  }

  _tile(/** @type {Picture} */ picture, /** @type {Picture[]} */ all) {
    let tile = this._tiles.get(picture.path);
    if (!tile) this._tiles.set(picture.path, (tile = new Tile()));
    tile.show(picture, all);
    return tile.element;
  }
}

class Tile {
  constructor() {
    /** @type {Picture[]} */
    this._all = [];
    this._url = "";
    this._image = h("img", { loading: "lazy", decoding: "async", alt: "" });
    this._name = h("span", { class: "picture-name" });
    this.element = h(
      "button",
      { type: "button", class: "picture", onclick: () => this._open() },
      this._image,
      this._name,
    );
  }

  show(/** @type {Picture} */ picture, /** @type {Picture[]} */ all) {
    this._all = all;
    if (this._url === picture.url) return;
    this._url = picture.url;
    mark(this._image, "width", String(picture.width));
    mark(this._image, "height", String(picture.height));
    this._image.src = picture.url;
    this._image.alt = captionOf(picture);
    write(this._name, picture.name);
  }

  _open() {
    view(
      this._all,
      this._all.findIndex(({ url }) => url === this._url),
    );
  }
}
