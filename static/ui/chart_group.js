/** Charts that share cursor, zoom and look, and the library that draws them. */

import { onRecolour } from "./palette.js";

/** @typedef {import("./charts.js").Chart} Chart */
/** @typedef {{smoothing: number, isLog: boolean}} Look */

const UPLOT = new URL("../../vendor/uplot/uPlot.esm.js", import.meta.url).href;

export class ChartGroup {
  /**
   * @param {string} name
   * @param {(x: number) => string} showX what stands at a place of the x axis
   * @param {(x: number) => string} nameX the same by itself, such as "epoch 7"
   */
  constructor(name, showX, nameX = showX) {
    this.name = name;
    this.showX = showX;
    this.nameX = nameX;
    /** @type {Set<Chart>} */
    this.charts = new Set();
    /** @type {[number, number]|null} */
    this.range = null;
    /** @type {Look} */
    this.look = { smoothing: 0, isLog: false };
    /** What x is, in a word under the axis; "" where its labels say it. */
    this.axis = "";
    /** Called when the zoom changes. */
    this.onzoom = () => {};
    /** The chart library: undefined while it has not come, null where `npm ci` has not been run. @type {typeof import("uplot")|null|undefined} */
    this.uPlot = undefined;
    this._load();
    this._stop = onRecolour(() => {
      for (const chart of this.charts) chart.rebuild();
    });
  }

  /** Nothing but charts waits for their library. */
  async _load() {
    this.uPlot = await import(UPLOT).then(
      (module) => module.default,
      () => null,
    );
    this.redraw();
  }

  /** Show this part of x; null: all there is, of y too. */
  zoom(/** @type {[number, number]|null} */ range) {
    this.range = range;
    if (!range) for (const chart of this.charts) chart.span = null;
    this.zoomed();
  }

  zoomed() {
    this.redraw();
    this.onzoom();
  }

  get isZoomed() {
    return this.range !== null || [...this.charts].some(({ span }) => span);
  }

  restyle(/** @type {Partial<Look>} */ look) {
    Object.assign(this.look, look);
    this.redraw();
  }

  redraw() {
    for (const chart of this.charts) chart.draw();
  }

  close() {
    this._stop();
    for (const chart of [...this.charts]) chart.close();
  }
}
