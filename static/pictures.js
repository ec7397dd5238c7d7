/** A job's pictures as they appear: previews over the epochs, predictions against labels, mosaics, curves. */

import { arrange, h, iconButton, mark, write } from "./dom.js";
import { captionOf, view } from "./viewer.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./types.js").Picture} Picture */

/** Sections, in order, and the kinds that stand in each. Previews have one of their own before them. @type {[string, string[]][]} */
const SECTIONS = [
  ["Predictions against labels", ["val_labels", "val_predictions"]],
  ["Confusion matrix", ["confusion_matrix"]],
  ["Curves", ["curve", "results"]],
  ["Training batches", ["train_batch"]],
  ["Labels", ["labels"]],
  ["Other", ["other"]],
];
const PLAY_MS = 400;

export class Pictures {
  constructor(/** @type {Run} */ run) {
    this.run = run;
    this._previews = new Previews();
    /** @type {Map<string, Tile>} */
    this._tiles = new Map();
    this._sections = SECTIONS.map(([title, kinds]) => {
      const grid = h("div", { class: "pictures" });
      return { kinds, grid, element: h("section", {}, h("h3", {}, title), grid) };
    });
    this._empty = h("p", { class: "empty" });
    this.element = h("div", {}, this._empty, this._previews.element, ...this._sections.map(({ element }) => element));
  }

  draw() {
    const all = [...this.run.pictures.values()];
    write(this._empty, this.run.isOver ? "It drew no pictures." : "Pictures appear here as the training draws them.");
    this._empty.hidden = all.length > 0;
    this._previews.show(all.filter(({ kind }) => kind === "preview").sort((a, b) => a.epoch - b.epoch));
    for (const { kinds, grid, element } of this._sections) {
      const own = all.filter(({ kind }) => kinds.includes(kind)).sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
      element.hidden = own.length === 0;
      arrange(grid, own.map((picture) => this._tile(picture, own)));
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
    this.element = h("button", { type: "button", class: "picture", onclick: () => this._open() }, this._image, this._name);
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
    view(this._all, this._all.findIndex(({ url }) => url === this._url));
  }
}

/** The same validation images after each epoch, under a slider that follows the newest until it is moved. */
class Previews {
  constructor() {
    /** @type {Picture[]} */
    this._all = [];
    this._at = -1;
    this._timer = 0;
    this._image = h("img", { alt: "", decoding: "async" });
    this._slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Epoch" });
    this._slider.addEventListener("input", () => this._go(Number(this._slider.value)));
    this._label = h("output", { class: "preview-epoch" });
    this._play = iconButton("play", "Play through the epochs", { onclick: () => this._toggle() });
    this.element = h(
      "section",
      { hidden: true },
      h("h3", {}, "What the model sees, epoch by epoch"),
      h("p", { class: "quiet" }, "Labels on the left, predictions on the right."),
      h(
        "div",
        { class: "card preview" },
        h("button", { type: "button", class: "picture", onclick: () => view(this._all, this._at) }, this._image),
        h("div", { class: "row" }, this._play, this._slider, this._label),
      ),
    );
  }

  show(/** @type {Picture[]} */ previews) {
    const isNewest = this._at === this._all.length - 1;
    this._all = previews;
    this.element.hidden = previews.length === 0;
    this._slider.max = String(previews.length - 1);
    if (previews.length && (isNewest || this._at < 0) && !this._timer) this._go(previews.length - 1);
  }

  close() {
    clearInterval(this._timer);
  }

  _go(/** @type {number} */ at) {
    this._at = at;
    const picture = this._all[at];
    if (this._image.getAttribute("src") !== picture.url) this._image.src = picture.url;
    this._image.alt = `Epoch ${picture.epoch}: labels beside predictions`;
    mark(this._image, "width", String(picture.width));
    mark(this._image, "height", String(picture.height));
    this._slider.value = String(at);
    write(this._label, `Epoch ${picture.epoch}`);
  }

  _toggle() {
    if (this._timer) {
      clearInterval(this._timer);
      this._timer = 0;
      return;
    }
    if (this._at === this._all.length - 1) this._go(0);
    this._timer = setInterval(() => (this._at < this._all.length - 1 ? this._go(this._at + 1) : this._toggle()), PLAY_MS);
  }
}
