/** Several trainings over each other: their curves, their best results, and which arguments differ. */

import { favicon, title } from "../ui/attention.js";
import { Chart } from "../ui/charts.js";
import { arrange, fill, h, oncePerFrame } from "../ui/dom.js";
import { capital, dataset, family, metric, model } from "../data/format.js";
import { Shown } from "../ui/kept.js";
import { COLOURS } from "../ui/palette.js";
import { differences, differingArguments, standings } from "./comparetables.js";
import { Controls, lossTitle, SHARE } from "./panel.js";
import { compareAddress, newAddress } from "../router.js";
import { JobReader } from "../data/job_reader.js";
import { dataOf } from "../data/types.js";
import { nameOf } from "../ui/status.js";

/** @typedef {import("../data/types.js").Job} Job */

/** Of the log, only this is read. */
const TYPES = "epoch_end";

export class Comparison {
  /** @type {Map<string, Chart>} */
  _charts = new Map();
  _controls = new Controls("compare", () => this.draw());
  // What can be scrolled can have the focus: else the keyboard could not.
  _table = h("div", { class: "card scroll flush", tabindex: 0, role: "region", "aria-label": "The trainings" });
  _differences = h("div", {
    class: "card flush scroll",
    tabindex: 0,
    role: "region",
    "aria-labelledby": "differ",
  });
  _differ = h("section", {}, h("h2", { id: "differ" }, "Arguments that differ"), this._differences);
  _plots = h("div", { class: "charts" });
  _add = h("select", {
    "aria-label": "Add a training",
    onchange: () => this._go([...this.ids, this._add.value]),
  });
  _pick = h("label", { class: "pick-inline" }, "Add", this._add);
  _empty = h("p", { class: "empty" });
  _shown = { table: new Shown(), differences: new Shown(), add: new Shown() };

  /** @param {import("../line/connection.js").Connection} connection @param {string[]} ids */
  constructor(connection, ids) {
    this._connection = connection;
    this.ids = [...new Set(ids)];
    title("Compare");
    favicon(null);
    this.group = this._controls.group;
    this.element = h(
      "div",
      {},
      h("div", { class: "row head" }, h("h1", {}, "Compare"), this._pick),
      this._empty,
      this._table,
      this._controls.element,
      this._plots,
      this._differ,
    );
    const redraw = oncePerFrame(() => this.draw());
    this.runs = this.ids.map((id) => new JobReader(connection, id, redraw, TYPES));
    this._stop = connection.on("list", redraw);
    this.draw();
  }

  close() {
    this._stop();
    this.group.close();
    for (const run of this.runs) run.close();
  }

  _go(/** @type {string[]} */ ids) {
    location.hash = compareAddress(ids);
  }

  draw() {
    const known = this.runs.filter((run) => run.job);
    this._empty.hidden = this.runs.length > 0;
    for (const part of [this._controls.element, this._plots]) part.hidden = known.length === 0;
    this._table.hidden = this.runs.length === 0;
    this._differ.hidden = known.length < 2;
    this._drawTable();
    this._drawCharts();
    this._drawDifferences();
    this._drawAdd();
  }

  _name(/** @type {JobReader} */ run) {
    const { job } = run;
    if (!job) return run.id;
    const same = this.runs.filter((other) => other.job && nameOf(other.job) === nameOf(job)).length > 1;
    return same ? `${nameOf(job)} · ${run.id.slice(0, 6)}` : nameOf(job);
  }

  /** What tells a run from the others, in few words: legends are narrow. */
  _label(/** @type {JobReader} */ run) {
    const { job: own, id } = run;
    if (!own) return id;
    const jobs = this.runs.flatMap(({ job }) => job ?? []);
    const parts = (/** @type {Job} */ job) => [model(job.model), dataset(dataOf(job))];
    const differs = parts(own).map((_, i) => new Set(jobs.map((job) => parts(job)[i])).size > 1);
    const label = (/** @type {Job} */ job) =>
      parts(job)
        .filter((_, i) => differs[i])
        .join(" on ");
    const name = label(own);
    const isOne = jobs.filter((job) => label(job) === name).length === 1;
    return isOne && name ? name : `${name} ${id.slice(0, 6)}`.trim();
  }

  _drawTable() {
    const rows = this.runs.map(({ job, id, trouble }) => [
      id,
      trouble,
      job?.status,
      job?.best,
      job?.progress?.epoch,
      job?.ended_at,
    ]);
    if (!this._shown.table.isNews(rows)) return;
    const remove = (/** @type {string} */ id) => this._go(this.ids.filter((other) => other !== id));
    this._table.replaceChildren(standings(this.runs, (run) => this._name(run), remove));
  }

  /** One chart for each column that any of the runs has. */
  _drawCharts() {
    const of = (/** @type {string} */ prefix) => [...new Set(this.runs.flatMap(({ epochs }) => epochs.names(prefix)))];
    const isMap = (/** @type {string} */ name) => Number(name.includes("mAP"));
    const metrics = of("metric:").sort((a, b) => isMap(b) - isMap(a));
    const names = [...metrics, ...of("val:"), ...of("train:"), ...of("lr:").slice(0, 1)]; // rates differ by their groups' scale
    arrange(
      this._plots,
      names.map((name) => this._chart(name).element),
    );
  }

  _chart(/** @type {string} */ column) {
    let chart = this._charts.get(column);
    const [prefix, name] = [column.split(":")[0], column.slice(column.indexOf(":") + 1)];
    const marked = family(name) && family(name) !== "boxes" ? `, ${family(name)}` : "";
    const named = metric(name).startsWith("mAP") ? metric(name) : capital(metric(name));
    const heading =
      { metric: `${named}${marked}`, val: `${lossTitle(name)}, val`, train: `${lossTitle(name)}, train` }[prefix] ??
      "Learning rate";
    const isShare = /mAP|precision|recall|accuracy/.test(name);
    if (!chart)
      this._charts.set(
        column,
        (chart = new Chart(this.group, isShare ? { title: heading, ...SHARE } : { title: heading })),
      );
    chart.show(this._overlaid(column));
    return chart;
  }

  /** The runs' values of one column over an axis that has every x of any of them. */
  _overlaid(/** @type {string} */ column) {
    const axes = this.runs.map(({ epochs }) => {
      let sum = 0;
      return this._controls.byTime ? epochs.get("seconds").map((s) => (sum += s ?? 0)) : epochs.xs;
    });
    const xs = [...new Set(axes.flat())].sort((a, b) => a - b);
    const places = new Map(xs.map((x, i) => [x, i]));
    const lines = this.runs.map((run, i) => {
      const values = new Array(xs.length).fill(null);
      run.epochs
        .get(column)
        .forEach((value, row) => (values[/** @type {number} */ (places.get(axes[i][row]))] = value));
      return { name: this._label(run), values, colour: i, dash: i >= COLOURS };
    });
    return { xs, lines, isShared: true };
  }

  _drawDifferences() {
    const known = this.runs.filter(({ job }) => job);
    const differing = differingArguments(known.flatMap(({ job }) => job ?? []));
    if (!this._shown.differences.isNews([known.map(({ id }) => id), differing])) return;
    const heads = known.map((run) => ({ name: this._name(run), place: this.runs.indexOf(run) }));
    this._differences.replaceChildren(differences(heads, differing));
  }

  _drawAdd() {
    const others = [...this._connection.jobs.values()]
      .filter(({ job_id }) => !this.ids.includes(job_id))
      .sort((a, b) => b.created_at - a.created_at);
    const isNothing = this._connection.isListed && this._connection.jobs.size === 0;
    if (!this._shown.add.isNews([isNothing, others.map(({ job_id }) => job_id)])) return;
    this._pick.hidden = isNothing;
    if (isNothing)
      fill(
        this._empty,
        "Nothing has been trained yet. ",
        h("a", { href: newAddress() }, "Start a training"),
        ", and another one to compare it with.",
      );
    else fill(this._empty, "Tick trainings in ", h("a", { href: "#" }, "the list"), ", or choose one above.");
    const option = (/** @type {Job} */ job) =>
      h("option", { value: job.job_id }, `${nameOf(job)} · ${job.job_id.slice(0, 6)}`);
    this._add.replaceChildren(h("option", { value: "" }, "a training …"), ...others.slice(0, 100).map(option));
  }
}
