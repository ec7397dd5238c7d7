/** The colours of charts, as the theme of now has them; where the system forces its own, dashes tell lines apart. */

import { h } from "./dom.js";

/** @typedef {{lines: string[], dashes: (number[]|undefined)[], axis: string, grid: string}} Palette */

export const COLOURS = 8;

/** Patterns that stay apart without colour. The swatches in styles/system.css have the same. */
const DASHES = [undefined, [8, 4], [2, 3], [10, 3, 2, 3], [16, 4], [4, 8], [10, 3, 2, 3, 2, 3], [1, 6]];

const scheme = matchMedia("(prefers-color-scheme: dark)");
const forced = matchMedia("(forced-colors: active)");

/** A colour of the style sheet, as it is in the theme of now. */
const colour = (/** @type {string} */ name) => {
  const probe = h("i", { class: `probe ${name}` });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

/** Read once for many charts. @type {Palette|null} */
let known = null;

export const palette = () =>
  (known ??= {
    lines: Array.from({ length: COLOURS }, (_, i) => colour(`line-${i}`)),
    dashes: forced.matches ? DASHES : DASHES.map(() => undefined),
    axis: colour("axis"),
    grid: colour("grid"),
  });

/** Call back when the colours have changed. Returns how to stop. */
export function onRecolour(/** @type {() => void} */ changed) {
  const forget = () => {
    known = null;
    changed();
  };
  for (const query of [scheme, forced]) query.addEventListener("change", forget);
  addEventListener("themechange", forget);
  return () => {
    for (const query of [scheme, forced]) query.removeEventListener("change", forget);
    removeEventListener("themechange", forget);
  };
}

/** The colour, mostly transparent. */
export const faint = (/** @type {string} */ value) => value.replace(/^rgb\((.*)\)$/, "rgba($1, 0.25)");
