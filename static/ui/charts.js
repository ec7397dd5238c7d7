/** Line charts that grow: uPlot, with one cursor and one zoom for all charts of a group, smoothing and a log scale. */

import { h, iconButton, mark, write } from "./dom.js";
import { share, short } from "../data/format.js";
import { drawMarks } from "./marks.js";
import { COLOURS, faint, onRecolour, palette } from "./palette.js";
import { between, smooth, thin } from "../data/series.js";
import { touch } from "./touch.js";

/**
 * @typedef {{name: string, values: (number|null)[], colour: number, dash?: boolean}} Line
 * @typedef {{xs: number[], lines: Line[], marks?: import("./marks.js").Mark[], isShared?: boolean}} Data
 *   `isShared`: each line has places of its own on the axis
 * @typedef {{smoothing: number, isLog: boolean}} Look
 */

const UPLOT = new URL("../../vendor/uplot/uPlot.esm.js", import.meta.url).href;
/** @type {typeof import("uplot")|null} null where `npm ci` has not been run */
const uPlot = await import(UPLOT).then(
  (module) => module.default,
  () => null,
);

/** Pixels between two labels of an axis of times: "12:34:56 PM" must not touch the next. */
const TIME_SPACE = 88;
/** Seconds on either side of a time that stands alone. */
const LONE_SECONDS = 30;
/** Charts that share cursor, zoom and look. */
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
    this._stop = onRecolour(() => {
      for (const chart of this.charts) chart.rebuild();
    });
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

export class Chart {
  /**
   * @param {ChartGroup} group
   * @param {{title: string, unit?: string, isTime?: boolean, range?: [number, number], isLinear?: boolean, isShare?: boolean}} options
   *   `range` is the least that the y axis spans while nothing is zoomed; `isLinear`: no log scale even where the group
   *   has one; `isShare`: of 1, so never above
   */
  constructor(group, options) {
    this.group = group;
    this.options = options;
    /** @type {Data} */
    this.data = { xs: [], lines: [] };
    /** @type {import("uplot")|null} */
    this._plot = null;
    this._built = "";
    /** What the y axis spans, where somebody has chosen it. @type {[number, number]|null} */
    this.span = null;
    /** Rows of the data that are drawn. @type {number[]} */
    this._rows = [];
    /** @type {Set<string>} names of lines that were switched off */
    this._hidden = new Set();
    this._title = h("span", { class: "chart-title" }, options.title);
    this._at = h("span", { class: "chart-at" });
    this._enlarge = iconButton("zoom", "Enlarge", {
      class: "enlarge",
      "aria-pressed": "false",
      onclick: () => this._resize(),
    });
    this._legend = h("ul", { class: "legend" });
    this._canvas = h("div", { class: "plot" });
    if (!uPlot)
      this._canvas.append(h("p", { class: "quiet" }, "The chart library is not installed: run make install."));
    const unit = options.unit ? h("span", { class: "quiet" }, options.unit) : null;
    this.element = h(
      "div",
      { class: "chart card", tabindex: 0, role: "group", onkeydown: (/** @type {KeyboardEvent} */ e) => this._key(e) },
      h(
        "div",
        { class: "row" },
        h("span", {}, this._title, unit),
        h("span", { class: "grow" }),
        this._at,
        this._enlarge,
      ),
      this._legend,
      this._canvas,
    );
    group.charts.add(this);
    this._isSeen = false;
    this._isStale = true;
    this._sizes = new ResizeObserver(() => this._fit());
    this._sizes.observe(this._canvas);
    this._sight = new IntersectionObserver(
      ([entry]) => {
        this._isSeen = entry.isIntersecting;
        if (this._isSeen && this._isStale) this.draw();
      },
      { rootMargin: "300px" },
    );
    this._sight.observe(this.element);
  }

  close() {
    this.group.charts.delete(this);
    this._sizes.disconnect();
    this._sight.disconnect();
    this._plot?.destroy();
    this._plot = null;
  }

  show(/** @type {Data} */ data) {
    this.data = data;
    this.draw();
  }

  rebuild() {
    this._built = "";
    this.draw();
  }

  /** Draw if it can be seen; else when it comes into sight. */
  draw() {
    this._isStale = true;
    if (!this._isSeen || !uPlot || !this._canvas.clientWidth) return;
    this._isStale = false;
    const drawn = this._drawn();
    const { look, axis } = this.group;
    const built = JSON.stringify([
      this.data.lines.map(({ name, colour, dash }) => [name, colour, dash]),
      look,
      axis,
      this.options.title,
      look.isLog && this.span,
    ]);
    if (this._built !== built) {
      this._plot?.destroy();
      this._plot = new uPlot(this._config(), /** @type {any} */ (drawn), this._canvas);
      touch(this._plot, (range) => this.group.zoom(this._within(range)));
      this._built = built;
      this._drawLegend();
    } else {
      this._plot?.setData(/** @type {any} */ (drawn), true);
    }
    this._describe();
  }

  /** What uPlot gets: x and per line its values, before them the raw ones where they are smoothed. */
  _drawn() {
    const { xs, lines } = this.data;
    const { smoothing, isLog } = this.group.look;
    const columns = [];
    for (const line of lines) {
      const values =
        isLog && !this.options.isLinear ? line.values.map((v) => (v !== null && v > 0 ? v : null)) : line.values;
      if (smoothing) columns.push(values);
      columns.push(smoothing ? smooth(values, smoothing) : values);
    }
    const [from, to] = this.group.range ?? [-Infinity, Infinity];
    this._rows = thin(xs, columns, from, to, Math.max(200, this._canvas.clientWidth));
    const pick = (/** @type {(number|null)[]} */ column) => this._rows.map((row) => column[row] ?? null);
    return [pick(xs), ...columns.map(pick)];
  }

  /** @returns {import("uplot").Options} */
  _config() {
    const { lines, dashes, axis, grid } = palette();
    const { smoothing, isLog } = this.group.look;
    const isLogged = isLog && !this.options.isLinear;
    const font = "11px system-ui, sans-serif";
    const look = { stroke: axis, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 } };
    const label = this.group.axis && { label: this.group.axis, labelFont: font, labelSize: 14, labelGap: 0 };
    /** @type {import("uplot").Series[]} */
    const series = [{}];
    for (const line of this.data.lines) {
      const stroke = lines[line.colour % COLOURS];
      const dash = dashes[line.colour % COLOURS] ?? (line.dash ? [5, 4] : undefined);
      const isShown = !this._hidden.has(line.name);
      if (smoothing) series.push({ stroke: faint(stroke), width: 1, points: { show: false }, show: isShown });
      const spanGaps = !this.options.isTime; // epochs that were not validated are spanned, pauses are not
      series.push({ stroke, width: 1.75, dash, points: { show: this._points, size: 5 }, show: isShown, spanGaps });
    }
    return {
      width: this._canvas.clientWidth,
      height: this._canvas.clientHeight,
      padding: [14, this.options.isTime ? 30 : 20, 0, 0], // half of a label that stands at the end
      legend: { show: false },
      cursor: {
        sync: { key: this.group.name, setSeries: false, scales: ["x", null] }, // y is each chart's own
        drag: { x: true, y: true, uni: 40, setScale: false },
        points: { size: 7 },
        bind: { dblclick: () => () => (this.group.zoom(null), null) },
      },
      scales: {
        x: { time: false, range: () => this._spanX() },
        y: {
          distr: isLogged ? 3 : 1,
          range: isLogged && !this.span ? undefined : (_, low, high) => this._spanY(low, high),
        },
      },
      axes: [
        {
          ...look,
          ...label,
          size: 26,
          space: this.options.isTime ? TIME_SPACE : 56,
          values: (_, places) => places.map((x) => this._tickX(x)),
        },
        { ...look, size: 52, values: (_, places) => places.map((y) => (y === null ? "" : short(y))) },
      ],
      series,
      hooks: {
        setCursor: [(plot) => this._point(plot.cursor.idx ?? null)],
        setSelect: [(plot) => this._select(plot)],
        draw: [(plot) => drawMarks(plot, this.data.marks ?? [])],
      },
    };
  }

  /** A few points are shown as dots: a first one makes no line. */
  _points = (/** @type {import("uplot")} */ plot) => plot.data[0].length <= 40;

  _tickX(/** @type {number} */ x) {
    return this.options.isTime || Number.isInteger(x) ? this.group.showX(x) : "";
  }

  /** By the data and not by what uPlot makes of it: of a single value it makes 0 to twice that. @returns {[number, number]} */
  _spanX() {
    const { xs } = this.data;
    if (this.group.range) return this.group.range;
    if (!xs.length) return [0, 1];
    const room = xs.length > 1 ? 0 : this.options.isTime ? LONE_SECONDS : 0.5;
    return [xs[0] - room, xs[xs.length - 1] + room];
  }

  /** The values with some room; what can be no less than 0, or no more than 1, gets no room there. @returns {[number, number]} */
  _spanY(/** @type {number|null} */ low, /** @type {number|null} */ high) {
    if (this.span) return this.span;
    const [least, most] = (!this.group.range && this.options.range) || [Infinity, -Infinity];
    const [from, to] = [Math.min(least, low ?? 0), Math.max(most, high ?? 1)];
    const room = from === to ? Math.abs(from) * 0.1 || (this.options.isShare ? 1 : 0.5) : (to - from) * 0.06;
    const bottom = from === least ? from : from - room;
    const top = to === most && to > from ? to : to + room; // values that are all 0 are a line along the bottom
    return [from >= 0 ? Math.max(0, bottom) : bottom, this.options.isShare ? Math.min(1, top) : top];
  }

  /** A range of x no wider than the data; null where it would be all of them. @returns {[number, number]|null} */
  _within(/** @type {[number, number]} */ [from, to]) {
    const { xs } = this.data;
    const [low, high] = [Math.max(from, xs[0]), Math.min(to, xs[xs.length - 1])];
    return low >= high || (low === xs[0] && high === xs[xs.length - 1]) ? null : [low, high];
  }

  /** What was dragged over becomes all that is seen: along x for the whole group, along y for this chart. */
  _select(/** @type {import("uplot")} */ plot) {
    const { left, top, width, height } = plot.select;
    if (width < 4 || height < 4) return;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    const { clientWidth, clientHeight } = plot.over;
    if (height < clientHeight) this.span = [plot.posToVal(top + height, "y"), plot.posToVal(top, "y")];
    if (width < clientWidth) this.group.range = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    this.group.zoomed();
  }

  _fit() {
    const { clientWidth: width, clientHeight: height } = this._canvas;
    if (this._plot && width) this._plot.setSize({ width, height });
    if (this._isStale) this.draw();
  }

  /** As wide as all charts together and high, or as the others. */
  _resize() {
    const isLarge = this.element.classList.toggle("large");
    mark(this._enlarge, "aria-pressed", String(isLarge));
    mark(this._enlarge, "title", isLarge ? "Make smaller" : "Enlarge");
    mark(this._enlarge, "aria-label", isLarge ? "Make smaller" : "Enlarge");
    this.element.scrollIntoView({ block: "nearest" });
  }

  // Legend and cursor

  _drawLegend() {
    this._values = this.data.lines.map(() => h("b"));
    this._legend.replaceChildren(
      ...this.data.lines.map((line, place) => {
        const item = h(
          "button",
          { type: "button", class: "legend-item", "aria-pressed": String(!this._hidden.has(line.name)) },
          h("i", { class: `swatch line-${line.colour % COLOURS} ${line.dash ? "dashed" : ""}` }),
          h("span", {}, line.name),
          /** @type {HTMLElement[]} */ (this._values)[place],
        );
        item.addEventListener("click", () => this._toggle(line.name, item));
        return h("li", {}, item);
      }),
    );
    this._point(null);
  }

  /** @param {string} name @param {HTMLElement} item */
  _toggle(name, item) {
    if (!this._hidden.delete(name)) this._hidden.add(name);
    item.setAttribute("aria-pressed", String(!this._hidden.has(name)));
    this.rebuild();
    /** @type {HTMLElement|null} */ (
      [...this._legend.querySelectorAll("button")].find((b) => b.querySelector("span")?.textContent === name) ?? null
    )?.focus();
  }

  /** Show the values at a drawn row; null: the newest ones. */
  _point(/** @type {number|null} */ place) {
    const row = place === null ? null : (this._rows[place] ?? null);
    write(this._at, row === null ? "" : this.group.nameX(this.data.xs[row]));
    this.data.lines.forEach((line, i) => {
      const value =
        row === null
          ? line.values.findLast((v) => v !== null)
          : this.data.isShared
            ? between(this.data.xs, line.values, row)
            : line.values[row];
      const text =
        value === null || value === undefined
          ? "–"
          : (this.options.isShare ? share(value) : short(value)) + (this.options.unit ?? "");
      if (this._values?.[i]) write(this._values[i], text);
    });
  }

  /** Arrow keys move the cursor, Escape takes it away. */
  _key(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const plot = this._plot;
    if (event.key === "Escape" && plot) plot.setCursor({ left: -10, top: -10 });
    if (!step || !plot || event.target !== this.element) return;
    event.preventDefault();
    const last = this._rows.length - 1;
    const place = Math.max(0, Math.min(last, (plot.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step));
    plot.setCursor({
      left: plot.valToPos(/** @type {number} */ (plot.data[0][place]), "x"),
      top: plot.over.clientHeight / 3,
    });
  }

  _describe() {
    this._point(this._plot?.cursor.idx ?? null);
    const values = this.data.lines.map(({ name, values: all }) => `${name} ${short(all.findLast((v) => v !== null))}`);
    const label = `${this.options.title}: ${this.data.xs.length} points, newest ${values.join(", ")}`;
    if (this.element.getAttribute("aria-label") !== label) this.element.setAttribute("aria-label", label);
  }
}
