/** The charts of one job: what its events hold, each in the chart where it belongs, and the controls above them. */

import { ChartGroup } from "../ui/chart_group.js";
import { Chart } from "../ui/charts.js";
import { arrange, h, iconButton, write } from "../ui/dom.js";
import { capital, clock, count, duration, family, headline, metric } from "../data/format.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {import("../ui/charts.js").Line} Line */

/** Epochs from which charts are redrawn less often. */
const MANY_EPOCHS = 2_000;
const SMOOTHING = "smoothing";
/** @type {{range: [number, number], isLinear: boolean, isShare: boolean}} for values from 0 to 1: from 0 as far as they come */
export const SHARE = { range: [0, 0], isLinear: true, isShare: true };
/** Ultralytics' groups of parameters, in its order, where it makes three. */
const GROUPS = ["weights", "norms", "biases"];

/** A group of charts over epochs and its controls: smoothing, log scale, what x means, and the way out of a zoom. */
export class Controls {
  /** @param {string} name of the group @param {() => void} changed called when x has another meaning */
  constructor(name, changed) {
    this.byTime = false;
    const place = (/** @type {number} */ x) => (this.byTime ? duration(x) : count(Math.round(x)));
    const group = new ChartGroup(name, place, (x) =>
      this.byTime ? `after ${duration(x)}` : `epoch ${count(Number(x.toFixed(1)))}`,
    );
    this.group = group;
    group.axis = "epoch";
    const weight = Number(localStorage.getItem(SMOOTHING) ?? 0);
    group.look.smoothing = weight;
    const slider = h("input", {
      type: "range",
      min: 0,
      max: 0.98,
      step: 0.02,
      value: weight,
      oninput: () => {
        localStorage.setItem(SMOOTHING, slider.value);
        group.restyle({ smoothing: Number(slider.value) });
      },
    });
    const log = h("input", { type: "checkbox", onchange: () => group.restyle({ isLog: log.checked }) });
    const axis = h("select", {
      onchange: () => {
        this.byTime = axis.value === "time";
        group.axis = this.byTime ? "training time" : "epoch";
        group.zoom(null);
        changed();
      },
    });
    axis.append(h("option", { value: "epoch" }, "Epoch"), h("option", { value: "time" }, "Training time"));
    const out = iconButton("zoom", "Show all", { onclick: () => group.zoom(null), hidden: true, class: "labelled" });
    out.append(h("span", {}, "Show all"));
    group.onzoom = () => (out.hidden = !group.isZoomed);
    const hint = matchMedia("(pointer: coarse)").matches ? "Pinch to zoom" : "Drag to zoom, double-click for all";
    this.element = h(
      "div",
      { class: "controls", role: "group", "aria-label": "Charts" },
      h("label", {}, "Smoothing", slider),
      h("label", {}, log, "Log scale"),
      h("label", {}, "Over", axis),
      h("span", { class: "quiet hint" }, hint),
      out,
    );
  }
}

export class Panel {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    this.controls = new Controls("epochs", () => this._draw());
    this.group = this.controls.group;
    this.machine = new ChartGroup("machine", clock);
    /** @type {Map<string, Chart>} */
    this._charts = new Map();
    this._epochs = h("div", { class: "charts" });
    this._machines = h("div", { class: "charts" });
    this._machineTitle = h("h2", { class: "sub" }, "Machine");
    this._empty = h("p", { class: "empty" });
    this.element = h("div", {}, this.controls.element, this._empty, this._epochs, this._machineTitle, this._machines);
    this._drawn = 0;
    this._later = 0;
  }

  close() {
    clearTimeout(this._later);
    this.group.close();
    this.machine.close();
  }

  /** Show what there is; with very many epochs at most once a second. */
  draw() {
    clearTimeout(this._later);
    const wait = this.run.epochs.xs.length < MANY_EPOCHS ? 0 : this._drawn + 1000 - performance.now();
    if (wait > 0) this._later = setTimeout(() => this._draw(), wait);
    else this._draw();
  }

  _draw() {
    this._drawn = performance.now();
    const { epochs } = this.run;
    const shown = [...this._quality(), ...this._losses(), ...this._rates()];
    const machines = [...this._speed(), ...this._machineCharts()];
    arrange(
      this._epochs,
      shown.map((chart) => chart.element),
    );
    arrange(
      this._machines,
      machines.map((chart) => chart.element),
    );
    write(this._empty, emptyWords(this.run));
    this._empty.hidden = epochs.xs.length > 0;
    this.controls.element.hidden = epochs.xs.length === 0;
    this._machineTitle.hidden = machines.length === 0;
  }

  /** One chart for each kind of result: boxes, masks, keypoints, or a classification's accuracies. */
  _quality() {
    /** @type {Map<string, string[]>} */
    const families = new Map();
    for (const name of this.run.epochs.names("metric:")) {
      const key = family(name);
      families.set(key, [...(families.get(key) ?? []), name]);
    }
    const main = family(
      headline(Object.fromEntries(this.run.epochs.names("metric:").map((name) => [name.slice(7), 0]))) ?? "",
    );
    return [...families]
      .sort(([a], [b]) => Number(b === main) - Number(a === main))
      .flatMap(([key, names]) => {
        const title = (/** @type {string} */ what) => (key && families.size > 1 ? `${what}, ${key}` : what);
        const [maps, others] = [
          names.filter((name) => name.includes("mAP")),
          names.filter((name) => !name.includes("mAP")),
        ];
        const line = (/** @type {string} */ name, /** @type {number} */ i) =>
          this._line(name, metric(name.slice(7)), i);
        const isShare = (/** @type {string[]} */ all) => all.every((n) => /mAP|precision|recall|accuracy/.test(n));
        return [
          maps.length && this._chart(`map${key}`, title("mAP"), maps.map(line), SHARE),
          others.length &&
            this._chart(
              `pr${key}`,
              title(others.some((n) => n.includes("precision")) ? "Precision and recall" : "Accuracy"),
              others.map((name, i) => line(name, i + 2)),
              isShare(others) ? SHARE : {},
            ),
        ].filter((chart) => chart !== 0);
      });
  }

  /** Where the epoch that runs now has come to, and its losses so far: a point of its own until the epoch has ended. */
  _running() {
    const { tick, job, epochs } = this.run;
    const isNow = job?.status === "running" && job.progress?.event === "tick" && !this.controls.byTime;
    if (!isNow || !tick?.batch || !tick.batches || tick.epoch <= (epochs.xs.at(-1) ?? Infinity)) return null;
    return { x: tick.epoch - 1 + tick.batch / tick.batches, losses: tick.losses ?? {} };
  }

  /** One chart for each loss: training and validation side by side, and the epoch that runs now. */
  _losses() {
    const { epochs } = this.run;
    const running = this._running();
    const names = new Set(
      [...epochs.names("train:"), ...epochs.names("val:")].map((name) => name.replace(/^\w+:/, "")),
    );
    return [...names].map((name) => {
      const lines = [this._line(`train:${name}`, "train", 0)];
      if (epochs.get(`val:${name}`).some((v) => v !== null)) lines.push(this._line(`val:${name}`, "val", 1, true));
      if (running)
        lines.forEach((line, i) => (line.values = [...line.values, i ? null : (running.losses[name] ?? null)]));
      const title = lossTitle(name);
      return this._chart(`loss:${name}`, title, lines, {}, running?.x);
    });
  }

  _rates() {
    const rates = this.run.epochs.names("lr:");
    if (!rates.length) return [];
    /** Groups whose rates are the same make one line. @type {Map<string, {values: (number|null)[], groups: string[]}>} */
    const same = new Map();
    for (const [i, name] of rates.entries()) {
      const values = this.run.epochs.get(name);
      const key = JSON.stringify(values);
      const group = rates.length === GROUPS.length ? GROUPS[i] : `group ${metric(name).replace("pg", "")}`;
      same.set(key, { values, groups: [...(same.get(key)?.groups ?? []), group] });
    }
    const title = (/** @type {string[]} */ groups) => (same.size === 1 ? "all layers" : groups.join(" and "));
    const lines = [...same.values()].map(({ values, groups }, i) => ({ name: title(groups), values, colour: i + 3 }));
    return [this._chart("lr", "Learning rate", lines)];
  }

  _speed() {
    if (this.run.epochs.last("speed") === null) return [];
    const line = this._line("speed", "training", 5);
    return [this._chart("speed", "Speed", [line], { unit: " images/s", range: [0, 0], isLinear: true })];
  }

  _machineCharts() {
    const { machine, memoryTotal = 0 } = this.run;
    if (!machine.xs.length) return [];
    const line = (/** @type {string} */ key, /** @type {string} */ name, /** @type {number} */ colour) => ({
      name,
      values: machine.get(key),
      colour,
    });
    const hasGpu = machine.columns.has("gpu");
    const use = [line("cpu", "CPU", 0), ...(hasGpu ? [line("gpu", "GPU", 2)] : [])];
    const memory = [
      line("memory", "machine", 0),
      line("process", "training", 1),
      ...(hasGpu ? [line("gpu_memory", "GPU", 2)] : []),
    ];
    return [
      this._machineChart("use", hasGpu ? "CPU and GPU" : "CPU", use, { unit: " %", range: [0, 100] }),
      this._machineChart("memory", "Memory", memory, { unit: " GB", range: [0, memoryTotal] }),
    ];
  }

  /** @returns {Line} */
  _line(/** @type {string} */ column, /** @type {string} */ name, /** @type {number} */ colour, dash = false) {
    return { name, values: this.run.epochs.get(column), colour, dash };
  }

  /**
   * @param {string} key @param {string} title @param {Line[]} lines @param {Partial<import("../ui/charts.js").Chart["options"]>} [options]
   * @param {number} [more] one more place, after the epochs
   */
  _chart(key, title, lines, options = {}, more = undefined) {
    const { epochs, attempts } = this.run;
    let xs = epochs.xs;
    if (this.controls.byTime) {
      let sum = 0;
      xs = epochs.get("seconds").map((seconds) => (sum += seconds ?? 0));
    }
    if (more !== undefined) xs = [...xs, more];
    const marks = this.controls.byTime
      ? []
      : attempts.map(({ epoch, attempt }) => ({ x: epoch + 0.5, label: `attempt ${attempt}` }));
    const best = xs[epochs.xs.indexOf(this.run.job?.best?.epoch ?? -1)];
    if (best !== undefined && epochs.xs.length > 1) marks.push({ x: best, label: "best" });
    return this._shown(key, this.group, { title, ...options }, { xs, lines, marks });
  }

  /** @param {string} key @param {string} title @param {Line[]} lines @param {Partial<import("../ui/charts.js").Chart["options"]>} options */
  _machineChart(key, title, lines, options) {
    return this._shown(
      key,
      this.machine,
      { title, isTime: true, isLinear: true, ...options },
      { xs: this.run.machine.xs, lines },
    );
  }

  /** @param {string} key @param {ChartGroup} group @param {import("../ui/charts.js").Chart["options"]} options @param {import("../ui/charts.js").Data} data */
  _shown(key, group, options, data) {
    let chart = this._charts.get(key);
    if (!chart) this._charts.set(key, (chart = new Chart(group, options)));
    chart.options = options;
    chart.show(data);
    return chart;
  }
}

/** "Box loss", and "Loss" for a classification's only one. */
export const lossTitle = (/** @type {string} */ name) =>
  metric(name) === "loss" ? "Loss" : `${capital(metric(name))} loss`;

/** What stands where curves will be. */
const emptyWords = (/** @type {JobReader} */ run) =>
  run.isOver
    ? "It ended before its first epoch did."
    : run.isComplete
      ? "Curves begin with the end of the first epoch."
      : "Loading …";
