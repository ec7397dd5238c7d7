/** The list of trainings: live, filtered, chosen for a comparison. */

import { ask } from "./api.js";
import { favicon, title } from "./attention.js";
import { arrange, h, icon, mark, oncePerFrame, write } from "./dom.js";
import { ago, count, dataset, duration, headline, metricAmong, model, moment, share } from "./format.js";
import { compareAddress, jobAddress, newAddress } from "./router.js";
import { Bar, detailOf, shareOf, StatusPill } from "./status.js";
import { startDemo } from "./demo.js";

/** @typedef {import("./types.js").Job} Job */

const STATUSES = ["all", "running", "queued", "completed", "failed", "cancelled"];
/** Rows that are made at first; the rest on request, so that a long list opens at once. */
const ROWS = 100;
/** What was searched and chosen, for whoever comes back from a training. */
const kept = { status: "all", text: "", chosen: /** @type {Set<string>} */ (new Set()) };

export class JobList {
  constructor(/** @type {import("./connection.js").Connection} */ connection) {
    this._connection = connection;
    this._status = kept.status;
    this._limit = ROWS;
    /** Where older jobs are read from; null: there are none. @type {string|null} */
    this._older = "jobs?limit=200";
    this._chosen = kept.chosen;
    /** @type {Map<string, JobRow>} */
    this._rows = new Map();
    this._search = h("input", { type: "search", placeholder: "Model, dataset or id", "aria-label": "Search trainings", class: "search", data: { search: "" } });
    this._search.value = kept.text;
    this._search.addEventListener("input", () => this.draw());
    this._filters = STATUSES.map((status) =>
      h("button", { type: "button", "aria-pressed": String(status === this._status), data: { status }, onclick: () => this._filter(status) }, h("span", {}, status), h("span", { class: "tab-count" })),
    );
    this._compare = h("a", { class: "button primary", hidden: true }, icon("compare"), h("span"));
    this._list = h("ul", { class: "jobs", "aria-label": "Trainings" });
    this._list.addEventListener("keydown", (event) => this._key(event));
    this._none = h("p", { class: "empty", hidden: true }, "No training fits the filter.");
    this._more = h("button", { type: "button", class: "more", onclick: () => this._showMore() }, "Show older");
    this._loading = h("p", { class: "empty" }, "Loading …");
    this._welcome = welcome();
    this._tools = h(
      "div",
      { class: "controls" },
      h("div", { class: "segments", role: "group", "aria-label": "Status" }, ...this._filters),
      h("span", { class: "grow" }),
      this._compare,
      h("span", { class: "search-box" }, icon("search"), this._search),
    );
    this._heads = h("div", { class: "job-columns quiet", "aria-hidden": "true" });
    this._heads.append(...["", "Training", "Status", "Progress", "Best", "Created"].map((label) => h("span", {}, label)));
    this.element = h(
      "div",
      {},
      h("div", { class: "row" }, h("h1", {}, "Trainings"), h("a", { class: "button primary", href: newAddress() }, icon("plus"), "New training")),
      this._tools,
      this._loading,
      this._welcome,
      h("div", { class: "card flush jobs-box" }, this._heads, this._list),
      this._none,
      this._more,
    );
    const redraw = oncePerFrame(() => this.draw());
    const stops = [connection.on("list", redraw), connection.on("places", redraw)];
    this._stop = () => stops.forEach((stop) => stop());
    this._clock = setInterval(redraw, 5000);
    favicon(null);
    this.draw();
  }

  close() {
    Object.assign(kept, { status: this._status, text: this._search.value });
    this._stop();
    clearInterval(this._clock);
  }

  draw() {
    const { jobs, isListed } = this._connection;
    const all = [...jobs.values()].sort((a, b) => b.created_at - a.created_at);
    const running = all.filter(({ status }) => status === "running").length;
    title(running ? `${running} running · Trainings` : "Trainings");
    this._loading.hidden = isListed;
    this._welcome.hidden = !isListed || all.length > 0;
    this._tools.hidden = all.length === 0;
    for (const [i, status] of STATUSES.entries()) {
      const size = status === "all" ? all.length : all.filter((job) => job.status === status).length;
      write(/** @type {Element} */ (this._filters[i].lastElementChild), size ? count(size) : "");
      this._filters[i].hidden = !size && status !== "all" && status !== this._status;
    }
    const fitting = all.filter((job) => this._fits(job));
    const shown = fitting.slice(0, this._limit);
    arrange(this._list, shown.map((job) => this._row(job)));
    /** @type {HTMLElement} */ (this._list.parentElement).hidden = shown.length === 0;
    this._none.hidden = shown.length > 0 || all.length === 0;
    this._more.hidden = fitting.length <= this._limit && (this._older === null || all.length < 200);
    this._drawChosen();
  }

  _drawChosen() {
    this._compare.hidden = this._chosen.size === 0;
    mark(this._compare, "href", compareAddress([...this._chosen]));
    write(/** @type {Element} */ (this._compare.lastElementChild), `Compare ${this._chosen.size}`);
  }

  _fits(/** @type {Job} */ job) {
    const wanted = this._search.value.trim().toLowerCase();
    const text = `${job.model} ${job.fit_params?.data ?? ""} ${job.job_id}`.toLowerCase();
    return (this._status === "all" || job.status === this._status) && text.includes(wanted);
  }

  _row(/** @type {Job} */ job) {
    let row = this._rows.get(job.job_id);
    if (!row) {
      row = new JobRow(job.job_id, this._chosen.has(job.job_id), (isChosen) => {
        if (isChosen) this._chosen.add(job.job_id);
        else this._chosen.delete(job.job_id);
        this._drawChosen();
      });
      this._rows.set(job.job_id, row);
    }
    row.show(job);
    return row.element;
  }

  _filter(/** @type {string} */ status) {
    this._status = status;
    for (const filter of this._filters) mark(filter, "aria-pressed", String(filter.dataset.status === status));
    this.draw();
  }

  async _showMore() {
    this._limit += ROWS;
    const before = this._connection.jobs.size;
    while (this._older && this._limit > before && this._connection.jobs.size === before) {
      const page = await ask(this._older);
      this._older = page.next && `jobs${new URL(page.next).search}`;
      for (const job of page.jobs) this._connection.learn(job);
    }
    this.draw();
  }

  /** Arrow keys, j and k go from job to job. */
  _key(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowUp: -1, k: -1, ArrowDown: 1, j: 1 }[event.key];
    const row = /** @type {HTMLElement} */ (event.target).closest("li");
    const next = step === 1 ? row?.nextElementSibling : step === -1 ? row?.previousElementSibling : null;
    if (!next) return;
    event.preventDefault();
    next.querySelector("a")?.focus();
  }
}

class JobRow {
  constructor(/** @type {string} */ id, /** @type {boolean} */ isChosen, /** @type {(isChosen: boolean) => void} */ choose) {
    this._pill = new StatusPill();
    this._bar = new Bar("Epochs", "thin");
    this._box = h("input", { type: "checkbox", checked: isChosen, onchange: () => choose(this._box.checked) });
    this._name = h("a", { class: "job-name", href: jobAddress(id) });
    this._data = h("span", { class: "job-data quiet" });
    this._best = h("b");
    this._bestName = h("span", { class: "quiet" });
    this._age = h("time", { class: "quiet" });
    this._boxName = h("span", { class: "unseen" });
    this._detail = h("span", { class: "quiet job-detail" });
    this.element = h(
      "li",
      { class: "job-row" },
      h("label", { class: "job-choose" }, this._box, this._boxName),
      h("span", { class: "job-title" }, this._name, this._data),
      h("span", { class: "job-status" }, this._pill.element, this._detail),
      h("span", { class: "job-progress" }, this._bar.element),
      h("span", { class: "job-best" }, this._best, this._bestName),
      h("span", { class: "job-age" }, this._age),
    );
  }

  show(/** @type {Job} */ job) {
    write(this._name, model(job.model));
    write(this._data, `${dataset(job.fit_params?.data)} · ${job.job_id}`);
    mark(this._data, "title", job.fit_params?.data ?? "");
    write(this._boxName, `Compare ${model(job.model)} ${job.job_id}`);
    this._pill.show(job);
    write(this._detail, detailOf(job));
    const { epoch, total_epochs: total, remaining_seconds: left } = job.progress ?? /** @type {any} */ ({});
    const right = job.status === "running" && left ? `${duration(left)} left` : job.ended_at && job.started_at ? duration(job.ended_at - job.started_at) : "";
    this._bar.element.hidden = job.status === "queued";
    this._bar.show(job.status === "running" ? shareOf(job) : (shareOf(job) ?? 0), total ? `${count(epoch)}/${count(total)}` : "", right, job.status);
    const key = headline(job.best?.metrics);
    write(this._best, key ? share(job.best?.metrics?.[key]) : "");
    write(this._bestName, key ? metricAmong(key, Object.keys(job.best?.metrics ?? {})) : "");
    write(this._age, ago(job.created_at));
    mark(this._age, "title", moment(job.created_at));
  }
}

/** What stands where nothing has been trained yet. */
function welcome() {
  const trouble = h("p", { class: "fault", role: "alert", hidden: true });
  return h(
    "div",
    { class: "card welcome", hidden: true },
    h("h2", {}, "Nothing trained yet"),
    h("p", {}, "Start with a dataset of yours, or see it work first: the demo draws coloured shapes and trains a small model on them, in about a minute."),
    h(
      "div",
      { class: "row start" },
      h("a", { class: "button primary", href: newAddress() }, icon("plus"), "New training"),
      h("button", { type: "button", onclick: (/** @type {any} */ event) => startDemo(event.currentTarget, trouble) }, icon("play"), "Run the demo"),
    ),
    trouble,
  );
}
