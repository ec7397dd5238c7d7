/** The same validation images after each epoch, under a slider that follows the newest until it is moved. */

import { h, iconButton, mark, write } from "../ui/dom.js";
import { sharpen, view } from "../ui/viewer.js";

/** @typedef {import("../data/types.js").Picture} Picture */
/** @typedef {"both"|"labels"|"predictions"} Side */

const PLAY_MS = 400;
/** Pixels between the halves of a preview, as `previews.py` draws it. */
const GAP = 8;
/** What is to be seen: a half alone has the screen's height. @type {[Side, string][]} */
const SIDES = [
  ["both", "Side by side"],
  ["labels", "Labels"],
  ["predictions", "Predictions"],
];

export class Previews {
  constructor() {
    /** @type {Picture[]} */
    this._all = [];
    this._at = -1;
    this._timer = 0;
    /** @type {Side} */
    this._side = "both";
    this._image = h("img", { alt: "", decoding: "async" });
    sharpen(this._image);
    this._frame = h(
      "button",
      { type: "button", class: "picture", onclick: () => view(this._all, this._at) },
      this._image,
    );
    this._slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Epoch" });
    this._slider.addEventListener("input", () => this._go(Number(this._slider.value)));
    this._label = h("output", { class: "preview-epoch" });
    this._play = iconButton("play", "Play through the epochs", { onclick: () => this._toggle() });
    this._sides = SIDES.map(([side, label]) =>
      h(
        "button",
        { type: "button", "aria-pressed": String(side === this._side), onclick: () => this._look(side) },
        label,
      ),
    );
    this.element = h(
      "section",
      { hidden: true },
      h("h2", { class: "sub" }, "What the model sees, epoch by epoch"),
      h(
        "div",
        { class: "row" },
        h("p", { class: "quiet" }, "Labels on the left, predictions on the right."),
        h("div", { class: "segments plain", role: "group", "aria-label": "What is shown" }, ...this._sides),
      ),
      h(
        "div",
        { class: "card preview" },
        this._frame,
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

  _look(/** @type {Side} */ side) {
    this._side = side;
    SIDES.forEach(([each], i) => mark(this._sides[i], "aria-pressed", String(each === side)));
    this._go(this._at);
  }

  _go(/** @type {number} */ at) {
    this._at = at;
    const picture = this._all[at];
    if (this._image.getAttribute("src") !== picture.url) this._image.src = picture.url;
    const what = { both: "labels beside predictions", labels: "labels", predictions: "predictions" }[this._side];
    this._image.alt = `Epoch ${picture.epoch}: ${what}`;
    mark(this._image, "width", String(picture.width));
    mark(this._image, "height", String(picture.height));
    this._crop(picture);
    this._slider.value = String(at);
    write(this._label, `Epoch ${picture.epoch}`);
  }

  /** One half fills the frame, and the other lies outside of it. */
  _crop(/** @type {Picture} */ { width, height }) {
    const isBoth = this._side === "both";
    const half = (width - GAP) / 2;
    const { style: image } = this._image;
    this._frame.style.setProperty("--ratio", String((isBoth ? width : half) / height));
    this._frame.classList.toggle("half", !isBoth);
    image.width = isBoth ? "" : `${(100 * width) / half}%`;
    image.marginLeft = this._side === "predictions" ? `${(-100 * (half + GAP)) / half}%` : "";
  }

  _toggle() {
    if (this._timer) {
      clearInterval(this._timer);
      this._timer = 0;
      return;
    }
    if (this._at === this._all.length - 1) this._go(0);
    this._timer = setInterval(
      () => (this._at < this._all.length - 1 ? this._go(this._at + 1) : this._toggle()),
      PLAY_MS,
    );
  }
}
