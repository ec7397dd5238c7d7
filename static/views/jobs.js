/** The list of trainings: live, filtered, searched, chosen for a comparison. */

import { favicon, title } from "../ui/attention.js";
import { arrange, h, icon, mark, oncePerFrame, write } from "../ui/dom.js";
import { count } from "../data/format.js";
import { JobRow } from "./jobrow.js";
import { Listing } from "../data/listing.js";
import { compareAddress, newAddress } from "../router.js";
import { welcome } from "./welcome.js";

/** @typedef {import("../data/types.js").Job} Job */

const STATUSES = ["all", "running", "queued", "completed", "failed", "cancelled"];
/** Rows that are made at first; the rest on request, so that a long list opens at once. */
const ROWS = 100;
/** Milliseconds without a key after which the service is asked for what was typed. */
const TYPING_MS = 200;
/** What was searched and chosen, for whoever comes back from a training. */
const kept = { status: "all", text: "", chosen: /** @type {Set<string>} */ (new Set()) };

export class JobList {
  constructor(/** @type {import("../line/connection.js").Connection} */ connection) {
    this._connection = connection;
    this._limit = ROWS;
    this._chosen = kept.chosen;
    /** @type {Map<string, JobRow>} */
    this._rows = new Map();
    const redraw = oncePerFrame(() => this.draw());
    this._listing = new Listing(connection, redraw);
    this._search = h("input", {
      type: "search",
      placeholder: "Model, dataset or id",
      maxlength: 200,
      "aria-label": "Search trainings",
      class: "search",
      data: { search: "" },
    });
    this._search.value = kept.text;
    this._search.addEventListener("input", () => this._typed());
    this._typing = 0;
    this._filters = STATUSES.map((status) =>
      h(
        "button",
        { type: "button", data: { status }, onclick: () => this._ask(status) },
        h("span", {}, status),
        h("span", { class: "tab-count" }),
      ),
    );
    this._compare = h("a", { class: "button primary", hidden: true }, icon("compare"), h("span"));
    this._list = h("ul", { class: "jobs", "aria-label": "Trainings" });
    this._list.addEventListener("keydown", (event) => this._key(event));
    this._none = h("p", { class: "empty", hidden: true }, "No training fits the filter.");
    this._size = h("span", { class: "quiet" });
    this._more = h(
      "div",
      { class: "more" },
      h("button", { type: "button", onclick: () => this._showMore() }, "Show older"),
      this._size,
    );
    this._loading = h("p", { class: "empty" }, "Loading …");
    this._welcome = welcome();
    this._new = h("a", { class: "button primary", href: newAddress() }, icon("plus"), "New training");
    this._tools = h(
      "div",
      { class: "controls" },
      h("div", { class: "segments", role: "group", "aria-label": "Status" }, ...this._filters),
      h("span", { class: "grow" }),
      this._compare,
      h("span", { class: "search-box" }, icon("search"), this._search),
    );
    this._heads = h("div", { class: "job-columns quiet", "aria-hidden": "true" });
    this._heads.append(
      ...["", "Training", "Status", "Progress", "Best", "Created"].map((label) => h("span", {}, label)),
    );
    this._box = h("div", { class: "card flush jobs-box" }, this._heads, this._list);
    this.element = h(
      "div",
      {},
      h("div", { class: "row" }, h("h1", {}, "Trainings"), this._new),
      this._tools,
      this._loading,
      this._welcome,
      this._box,
      this._none,
      this._more,
    );
    const stops = [connection.on("places", redraw), connection.on("link", redraw)];
    this._stop = () => stops.forEach((stop) => stop());
    this._clock = setInterval(redraw, 5000);
    favicon(null);
    this._ask(kept.status);
  }

  close() {
    Object.assign(kept, { status: this._listing.status, text: this._search.value });
    this._stop();
    this._listing.close();
    clearTimeout(this._typing);
    clearInterval(this._clock);
  }

  draw() {
    const { counts, jobs, status, text } = this._listing;
    const all = counts && Object.values(counts).reduce((sum, size) => sum + size, 0);
    const isEmpty = all === 0 && !text.trim();
    const shown = jobs.slice(0, this._limit);
    this._loading.hidden = all !== null || jobs.length > 0;
    for (const part of [this._tools, this._new]) part.hidden = isEmpty || (all === null && !jobs.length);
    this._welcome.hidden = !isEmpty;
    this._box.hidden = shown.length === 0;
    this._none.hidden = shown.length > 0 || all === null || isEmpty;
    const isStale = ["gone", "reconnecting"].includes(this._connection.link.state);
    mark(this._list, "data-stale", isStale ? "" : null);
    arrange(
      this._list,
      shown.map((job) => this._row(job, isStale)),
    );
    this._drawCounts(counts);
    this._more.hidden = jobs.length <= this._limit && !this._listing.hasOlder;
    write(
      this._size,
      counts ? `${count(shown.length)} of ${count(status === "all" ? (all ?? 0) : counts[status])}` : "",
    );
    this._drawChosen();
  }

  _drawCounts(/** @type {Record<string, number>|null} */ counts) {
    const { status: chosen, text } = this._listing;
    for (const filter of this._filters) {
      const status = filter.dataset.status ?? "";
      const size = !counts
        ? 0
        : status === "all"
          ? Object.values(counts).reduce((sum, each) => sum + each, 0)
          : counts[status];
      write(/** @type {Element} */ (filter.lastElementChild), counts && (size || status === chosen) ? count(size) : "");
      mark(filter, "aria-pressed", String(status === chosen));
      filter.hidden = !size && status !== "all" && status !== chosen;
    }
    const running = text.trim() ? 0 : (counts?.running ?? 0);
    title(running ? `${running} running · Trainings` : "Trainings");
  }

  _drawChosen() {
    this._compare.hidden = this._chosen.size === 0;
    mark(this._compare, "href", compareAddress([...this._chosen]));
    write(/** @type {Element} */ (this._compare.lastElementChild), `Compare ${this._chosen.size}`);
  }

  /** @param {Job} job @param {boolean} isStale */
  _row(job, isStale) {
    let row = this._rows.get(job.job_id);
    if (!row) {
      row = new JobRow(job.job_id, this._chosen.has(job.job_id), (isChosen) => {
        if (isChosen) this._chosen.add(job.job_id);
        else this._chosen.delete(job.job_id);
        this._drawChosen();
      });
      this._rows.set(job.job_id, row);
    }
    row.show(job, isStale);
    return row.element;
  }

  /** Put the question that the controls hold now. */
  _ask(status = this._listing.status) {
    this._limit = ROWS;
    this._listing.ask(status, this._search.value);
    this.draw();
  }

  _typed() {
    clearTimeout(this._typing);
    this._typing = setTimeout(() => this._ask(), TYPING_MS);
  }

  _showMore() {
    this._limit += ROWS;
    this._listing.want(this._limit);
    this.draw();
  }

  /** Arrow keys go from job to job, as j and k do from anywhere. */
  _key(/** @type {KeyboardEvent} */ event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by && this.step(by)) event.preventDefault();
  }

  /** Go to the next training or the one before; from elsewhere to the first or the last one. Whether there is one. */
  step(/** @type {number} */ by) {
    const row = document.activeElement?.closest("li.job-row");
    const next = row
      ? by > 0
        ? row.nextElementSibling
        : row.previousElementSibling
      : by > 0
        ? this._list.firstElementChild
        : this._list.lastElementChild;
    next?.querySelector("a")?.focus();
    return Boolean(next);
  }
}
