/** Line charts that grow: uPlot, with one cursor and one zoom for all charts of a group, smoothing and a log scale. */

import { fill, h, iconButton, mark, write } from "./dom.js";
import { share, short } from "../data/format.js";
import { Shown } from "./kept.js";
import { drawMarks } from "./marks.js";
import { COLOURS, faint, palette } from "./palette.js";
import { between, smooth, thin } from "../data/series.js";
import { Legend } from "./legend.js";
import { spanX, spanY, within } from "./spans.js";
import { touch } from "./touch.js";

/**
 * @typedef {import("./chart_group.js").ChartGroup} ChartGroup
 * @typedef {{name: string, values: (number|null)[], colour: number, dash?: boolean}} Line
 * @typedef {{xs: number[], lines: Line[], marks?: import("./marks.js").Mark[], isShared?: boolean}} Data
 *   `isShared`: each line has places of its own on the axis
 */

/** Pixels between two labels of an axis of times: "12:34:56 PM" must not touch the next. */
const TIME_SPACE = 88;
const NO_LIBRARY = "The chart library is not installed: run make install.";

export class Chart {
  /** @type {Data} */
  data = { xs: [], lines: [] };
  /** @type {import("uplot")|null} */
  _plot = null;
  _built = new Shown();
  /** What the y axis spans, where somebody has chosen it. @type {[number, number]|null} */
  span = null;
  /** Rows of the data that are drawn. @type {number[]} */
  _rows = [];
  _at = h("span", { class: "chart-at" });
  _enlarge = iconButton("zoom", "Enlarge", {
    class: "enlarge",
    "aria-pressed": "false",
    onclick: () => this._resize(),
  });
  _legend = new Legend(() => this.rebuild());
  _canvas = h("div", { class: "plot" });
  _isSeen = false;
  _isStale = true;

  /**
   * @param {ChartGroup} group
   * @param {{title: string, unit?: string, isTime?: boolean, range?: [number, number], isLinear?: boolean, isShare?: boolean}} options
   *   `range` is the least that the y axis spans while nothing is zoomed; `isLinear`: no log scale even where the group
   *   has one; `isShare`: of 1, so never above
   */
  constructor(group, options) {
    this.group = group;
    this.options = options;
    this.element = this._makeCard();
    group.charts.add(this);
    this._sizes = new ResizeObserver(() => this._fit());
    this._sizes.observe(this._canvas);
    this._sight = new IntersectionObserver(([entry]) => this._look(entry), { rootMargin: "300px" });
    this._sight.observe(this.element);
  }

  _makeCard() {
    const { title, unit } = this.options;
    const named = h("span", { class: "chart-title" }, title);
    const heading = h("span", {}, named, unit ? h("span", { class: "quiet" }, unit) : null);
    const onkeydown = (/** @type {KeyboardEvent} */ event) => this._key(event);
    return h(
      "div",
      { class: "chart card", tabindex: 0, role: "group", onkeydown },
      h("div", { class: "row" }, heading, h("span", { class: "grow" }), this._at, this._enlarge),
      this._legend.element,
      this._canvas,
    );
  }

  /** It came into sight, or went out of it. */
  _look(/** @type {IntersectionObserverEntry} */ { isIntersecting }) {
    this._isSeen = isIntersecting;
    if (isIntersecting && this._isStale) this.draw();
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
    this._built.forget();
    this.draw();
  }

  /** Draw if it can be seen; else when it comes into sight. */
  draw() {
    this._isStale = true;
    const { uPlot } = this.group;
    if (uPlot === null) return fill(this._canvas, h("p", { class: "quiet" }, NO_LIBRARY));
    if (!this._isSeen || !uPlot || !this._canvas.clientWidth) return;
    this._isStale = false;
    const drawn = this._drawn();
    const { look, axis } = this.group;
    const lines = this.data.lines.map(({ name, colour, dash }) => [name, colour, dash]);
    if (this._built.isNews(lines, look, axis, this.options.title, look.isLog && this.span)) {
      this._plot?.destroy();
      this._plot = new uPlot(this._config(), drawn, this._canvas);
      touch(this._plot, (range) => this.group.zoom(within(this.data.xs, range)));
      this._legend.show(this.data.lines);
      this._point(null);
    } else {
      this._plot?.setData(drawn, true);
    }
    this._describe();
  }

  /** What uPlot gets: x and per line its values, before them the raw ones where they are smoothed. @returns {import("uplot").AlignedData} */
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
    return [this._rows.map((row) => xs[row]), ...columns.map(pick)];
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
      const isShown = !this._legend.hidden.has(line.name);
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
        x: { time: false, range: () => this.group.range ?? spanX(this.data.xs, this.options.isTime) },
        y: {
          distr: isLogged ? 3 : 1,
          range:
            isLogged && !this.span
              ? undefined
              : (_, low, high) => this.span ?? spanY(this.options, low, high, this.group.range !== null),
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
      this._legend.say(i, text);
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
      left: plot.valToPos(this.data.xs[this._rows[place]], "x"),
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
