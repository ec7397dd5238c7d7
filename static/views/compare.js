/** Several trainings over each other: their curves, their best results, and which arguments differ. */

import { argumentsOf, shown } from "./arguments.js";
import { favicon, title } from "../ui/attention.js";
import { Chart } from "../ui/charts.js";
import { arrange, fill, h, iconButton, oncePerFrame } from "../ui/dom.js";
import { capital, dataset, duration, family, headline, metric, metricAmong, model, share } from "../data/format.js";
import { COLOURS } from "../ui/palette.js";
import { Controls, lossTitle, SHARE } from "./panel.js";
import { compareAddress, jobAddress, newAddress } from "../router.js";
import { JobReader } from "../data/job_reader.js";
import { nameOf, StatusPill } from "../ui/status.js";

/** @typedef {import("../data/types.js").Job} Job */

/** Of the log, only this is read. */
const TYPES = "epoch_end";
/** @type {[string, string][]} */
const HEADS = [
  ["Training", ""],
  ["Status", ""],
  ["Epochs", "number"],
  ["Best", "number"],
  ["At epoch", "number"],
  ["Time", "number"],
  ["", ""],
];
const LONGEST = 80;

const cut = (/** @type {string} */ text) => (text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);

export class Comparison {
  /** @param {import("../line/connection.js").Connection} connection @param {string[]} ids */
  constructor(connection, ids) {
    this._connection = connection;
    this.ids = [...new Set(ids)];
    title("Compare");
    favicon(null);
    this._controls = new Controls("compare", () => this.draw());
    this.group = this._controls.group;
    /** @type {Map<string, Chart>} */
    this._charts = new Map();
    // What can be scrolled can have the focus: else the keyboard could not.
    this._table = h("div", { class: "card scroll flush", tabindex: 0, role: "region", "aria-label": "The trainings" });
    this._differences = h("div", {
      class: "card flush scroll",
      tabindex: 0,
      role: "region",
      "aria-labelledby": "differ",
    });
    this._differ = h("section", {}, h("h2", { id: "differ" }, "Arguments that differ"), this._differences);
    this._plots = h("div", { class: "charts" });
    this._add = h("select", {
      "aria-label": "Add a training",
      onchange: () => this._go([...this.ids, this._add.value]),
    });
    this._pick = h("label", { class: "pick-inline" }, "Add", this._add);
    this._empty = h("p", { class: "empty" });
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
    this._drawn = { table: "", differences: "", add: "" };
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
    if (!run.job) return run.id;
    const jobs = this.runs.flatMap(({ job }) => job ?? []);
    const parts = (/** @type {Job} */ job) => [model(job.model), dataset(job.fit_params?.data)];
    const differs = parts(run.job).map((_, i) => new Set(jobs.map((job) => parts(job)[i])).size > 1);
    const label = (/** @type {Job} */ job) =>
      parts(job)
        .filter((_, i) => differs[i])
        .join(" on ");
    const isOne = jobs.filter((job) => label(job) === label(/** @type {Job} */ (run.job))).length === 1;
    return isOne && label(run.job) ? label(run.job) : `${label(run.job)} ${run.id.slice(0, 6)}`.trim();
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
    if (!this._changed("table", rows)) return;
    this._table.replaceChildren(
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, "The trainings"),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ...HEADS.map(([label, kind]) =>
              h("th", { scope: "col", class: kind }, label ? label : h("span", { class: "unseen" }, "Remove")),
            ),
          ),
        ),
        h("tbody", {}, ...this.runs.map((run, i) => this._tableRow(run, i))),
      ),
    );
  }

  _tableRow(/** @type {JobReader} */ run, /** @type {number} */ place) {
    const { job } = run;
    const remove = iconButton("cancel", `Remove ${run.id}`, {
      onclick: () => this._go(this.ids.filter((id) => id !== run.id)),
    });
    const name = h(
      "th",
      { scope: "row" },
      h("i", { class: `swatch line-${place % COLOURS}` }),
      h("a", { href: jobAddress(run.id) }, this._name(run)),
    );
    if (!job)
      return h(
        "tr",
        {},
        name,
        h("td", { colspan: 5, class: "quiet" }, run.trouble || "Loading …"),
        h("td", {}, remove),
      );
    const pill = new StatusPill();
    pill.show(job);
    const key = headline(job.best?.metrics);
    const took = job.started_at ? (job.ended_at ?? job.updated_at) - job.started_at : null;
    return h(
      "tr",
      {},
      name,
      h("td", {}, pill.element),
      h("td", { class: "number" }, job.progress ? `${job.progress.epoch} of ${job.progress.total_epochs}` : "–"),
      h(
        "td",
        { class: "number" },
        key ? h(this._isTop(run, key) ? "b" : "span", {}, share(job.best?.metrics?.[key])) : "–",
        key ? h("span", { class: "quiet" }, ` ${metricAmong(key, Object.keys(job.best?.metrics ?? {}))}`) : null,
      ),
      h("td", { class: "number" }, job.best?.epoch ?? "–"),
      h("td", { class: "number" }, duration(took)),
      h("td", {}, remove),
    );
  }

  /** Whether no other run has a better one of these. @param {JobReader} run @param {string} key */
  _isTop(run, key) {
    const best = (/** @type {JobReader} */ { job }) => job?.best?.metrics?.[key] ?? -Infinity;
    return best(run) === Math.max(...this.runs.map(best));
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
    const title =
      { metric: `${named}${marked}`, val: `${lossTitle(name)}, val`, train: `${lossTitle(name)}, train` }[prefix] ??
      "Learning rate";
    const isShare = /mAP|precision|recall|accuracy/.test(name);
    if (!chart) this._charts.set(column, (chart = new Chart(this.group, isShare ? { title, ...SHARE } : { title })));
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
    const jobs = this.runs.flatMap(({ job }) => (job ? [job] : []));
    const all = jobs.map((job) => /** @type {Record<string, any>} */ ({ model: job.model, ...argumentsOf(job) }));
    const names = [...new Set(all.flatMap(Object.keys))];
    const differing = names.filter((name) => new Set(all.map((each) => JSON.stringify(each[name]))).size > 1);
    if (!this._changed("differences", [jobs.map(({ job_id }) => job_id), differing])) return;
    if (!differing.length) {
      this._differences.replaceChildren(h("p", { class: "empty" }, "None: what was set is the same."));
      return;
    }
    const text = (/** @type {string} */ name, /** @type {any} */ value) =>
      value === undefined
        ? "default"
        : name === "data"
          ? dataset(value)
          : name === "model"
            ? model(value)
            : cut(shown(value));
    const heads = this.runs
      .filter(({ job }) => job)
      .map((run) =>
        h(
          "th",
          { scope: "col" },
          h("i", { class: `swatch line-${this.runs.indexOf(run) % COLOURS}` }),
          this._name(run),
        ),
      );
    this._differences.replaceChildren(
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, "Arguments that differ"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Argument"), ...heads)),
        h(
          "tbody",
          {},
          ...differing.map((name) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, h("code", {}, name)),
              ...all.map((each) =>
                h(
                  "td",
                  { title: shown(each[name]), class: each[name] === undefined ? "quiet" : "" },
                  text(name, each[name]),
                ),
              ),
            ),
          ),
        ),
      ),
    );
  }

  _drawAdd() {
    const others = [...this._connection.jobs.values()]
      .filter(({ job_id }) => !this.ids.includes(job_id))
      .sort((a, b) => b.created_at - a.created_at);
    const isNothing = this._connection.isListed && this._connection.jobs.size === 0;
    if (!this._changed("add", [isNothing, others.map(({ job_id }) => job_id)])) return;
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

  /** Whether a part shows something else than when it was drawn last. @param {"table"|"differences"|"add"} part @param {any} content */
  _changed(part, content) {
    const text = JSON.stringify(content);
    if (this._drawn[part] === text) return false;
    this._drawn[part] = text;
    return true;
  }
}
