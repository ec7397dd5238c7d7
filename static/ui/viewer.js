/** Pictures large: one after the other, fitted or pixel by pixel. */

import { h, icon, iconButton, write } from "./dom.js";
import { words } from "../data/format.js";

/** @typedef {import("../data/types.js").Picture} Picture */

export const captionOf = (/** @type {Picture} */ picture) =>
  [
    picture.name,
    words(picture.kind),
    picture.epoch ? `epoch ${picture.epoch}` : "",
    `${picture.width} × ${picture.height}`,
  ]
    .filter(Boolean)
    .join(" · ");

/** Pixels of the screen for one of the picture from which it shows them as they are, instead of smearing them. */
const COARSE = 2;

/** Keep a small picture that is shown large from being blurred. */
export function sharpen(/** @type {HTMLImageElement} */ image) {
  const look = () => {
    const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
    image.classList.toggle("pixels", scale * devicePixelRatio >= COARSE);
  };
  image.addEventListener("load", look);
  new ResizeObserver(look).observe(image);
}

/** Show pictures, beginning with the one at `at`. @param {Picture[]} pictures @param {number} at */
export function view(pictures, at) {
  let shown = at;
  const image = h("img", { alt: "", class: "viewer-image" });
  sharpen(image);
  const caption = h("span", { class: "viewer-caption", "aria-live": "polite" });
  const slider = h("input", { type: "range", min: 0, max: pictures.length - 1, step: 1, "aria-label": "Picture" });
  const link = h("a", { class: "button", download: "" }, icon("download"), "Download");
  const stage = h("div", { class: "viewer-stage" }, image);
  const go = (/** @type {number} */ place) => {
    shown = (place + pictures.length) % pictures.length;
    const picture = pictures[shown];
    image.src = picture.url;
    image.alt = captionOf(picture);
    link.href = picture.url;
    slider.value = String(shown);
    write(caption, `${captionOf(picture)} · ${shown + 1} of ${pictures.length}`);
  };
  slider.addEventListener("input", () => go(Number(slider.value)));
  image.addEventListener("click", () => stage.classList.toggle("actual"));
  const dialog = h(
    "dialog",
    { class: "viewer", "aria-label": "Picture viewer" },
    h(
      "div",
      { class: "viewer-bar" },
      caption,
      h("span", { class: "grow" }),
      iconButton("zoom", "Fit or actual size", { onclick: () => stage.classList.toggle("actual") }),
      link,
      iconButton("cancel", "Close", { onclick: () => dialog.close() }),
    ),
    stage,
    h(
      "div",
      { class: "viewer-bar" },
      iconButton("left", "Previous", { onclick: () => go(shown - 1) }),
      slider,
      iconButton("right", "Next", { onclick: () => go(shown + 1) }),
    ),
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.target === slider) return;
    if (event.key === "ArrowLeft") go(shown - 1);
    if (event.key === "ArrowRight") go(shown + 1);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  go(at);
  dialog.showModal();
}
