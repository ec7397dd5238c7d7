/** The page of one job: what it is, how far it is, and behind tabs all that it has brought. */

import { Actions } from "./actions.js";
import { favicon, notify, say, title } from "../ui/attention.js";
import { ClassTable } from "./classes.js";
import { copy, h, iconButton, mark, oncePerFrame, write } from "../ui/dom.js";
import { DatasetNote } from "./dataset.js";
import { EventList } from "./events.js";
import { Files } from "./files.js";
import { ago, count, headline, metric, moment, plural, share, spoken } from "../data/format.js";
import { LogView } from "./log.js";
import { Panel } from "./panel.js";
import { Pictures } from "./pictures.js";
import { Result } from "./result.js";
import { jobAddress } from "../router.js";
import { JobReader } from "../data/job_reader.js";
import { ArgumentTable } from "./arguments.js";
import { detailOf, nameOf, shareOf, StatusPill } from "../ui/status.js";
import { Summary } from "./summary.js";
import { dataOf, isFinal } from "../data/types.js";

/** @typedef {import("../data/types.js").Job} Job */
/** @typedef {{element: HTMLElement, draw: () => void, close?: () => void}} Tab */

/** Names of the tabs, what makes them, and how many things wait there. @type {[string, string, (run: JobReader) => Tab, (run: JobReader) => number][]} */
const TABS = [
  ["charts", "Charts", (run) => new Panel(run), () => 0],
  ["pictures", "Pictures", (run) => new Pictures(run), (run) => run.pictures.size],
  ["classes", "Classes", (run) => new ClassTable(run), (run) => run.classes?.classes.length ?? 0],
  ["log", "Log", (run) => new LogView(run), (run) => run.log.length],
  ["files", "Files", (run) => new Files(run), () => 0],
  ["arguments", "Arguments", (run) => new ArgumentTable(run), () => 0],
  ["events", "Events", (run) => new EventList(run), (run) => run.cursor],
];

export class JobView {
  /** @type {Map<string, Tab>} */
  _open = new Map();
  _summary = new Summary();
  _failure = new Failure();
  _dataset = new DatasetNote();
  _name = h("h1");
  _pill = new StatusPill();
  _facts = h("p", { class: "facts quiet" });
  _trouble = h("p", { class: "fault card", role: "alert", hidden: true });
  _away = h("p", { class: "empty", hidden: true }, h("a", { class: "button", href: "#" }, "All trainings"));
  _panel = h("section", { class: "tab-panel", role: "tabpanel", id: "panel", tabindex: -1 });
  _loading = h("p", { class: "empty" }, "Loading …");
  _spoken = { status: "", quarter: 0 };

  /** @param {import("../line/connection.js").Connection} connection @param {string} id @param {string} tab @param {import("../line/badge.js").Badge} badge */
  constructor(connection, id, tab, badge) {
    this.id = id;
    this._connection = connection;
    this._badge = badge;
    this._tab = tab;
    this._actions = new Actions(connection, id);
    this._result = new Result(id);
    this._tabs = new Map(TABS.map(([key, label]) => [key, new TabLink(id, key, label)]));
    this._body = this._makeBody();
    this.element = h("div", { class: "job" }, this._trouble, this._away, this._loading, this._body);
    this.run = new JobReader(
      connection,
      id,
      oncePerFrame(() => this.draw()),
    );
    this._clock = setInterval(() => this.draw(), 5000); // ages go on without events
  }

  /** All that a job which is there has. */
  _makeBody() {
    return h(
      "div",
      { hidden: true },
      this._makeHead(),
      this._failure.element,
      this._dataset.element,
      this._result.element,
      this._summary.element,
      this._makeTabList(),
      this._panel,
    );
  }

  /** What it is, and what can be done with it. */
  _makeHead() {
    const copyId = iconButton("copy", "Copy the id", {
      onclick: (/** @type {import("../ui/dom.js").Pressed} */ e) => copy(this.id, e.currentTarget),
    });
    return h(
      "div",
      { class: "job-head" },
      h(
        "div",
        {},
        h("div", { class: "row start" }, this._name, this._pill.element),
        h("div", { class: "row start quiet" }, h("code", {}, this.id), copyId, this._facts),
      ),
      this._actions.element,
    );
  }

  _makeTabList() {
    const links = [...this._tabs.values()].map((link) => link.element);
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": "About this training" }, ...links);
    list.addEventListener("keydown", (event) => this._key(event));
    return list;
  }

  close() {
    clearInterval(this._clock);
    this.run.close();
    for (const tab of this._open.values()) tab.close?.();
    this._badge.show(null);
    favicon(null);
  }

  /** Show another tab. */
  go(/** @type {string} */ tab) {
    this._tab = tab;
    this.draw();
  }

  /** Go to the tab at this place, counted from 1. */
  goTo(/** @type {number} */ number) {
    const key = TABS[number - 1]?.[0];
    if (key) location.hash = jobAddress(this.id, key);
  }

  draw() {
    const { job, trouble } = this.run;
    this._trouble.hidden = !trouble;
    this._away.hidden = !trouble || Boolean(job);
    write(this._trouble, trouble);
    this._body.hidden = !job;
    this._loading.hidden = Boolean(job || trouble);
    if (!job) return this._attendNone();
    const name = nameOf(job);
    write(this._name, name);
    this._pill.show(job, true);
    write(this._facts, factsOf(job));
    mark(
      this._facts,
      "title",
      `Created ${moment(job.created_at)}${job.started_at ? `, started ${moment(job.started_at)}` : ""}`,
    );
    const { state } = this._connection.link;
    const isStale = state === "gone" || state === "reconnecting";
    mark(this.element, "data-stale", isStale && !isFinal(job) ? "" : null);
    this._actions.show(job, state === "gone");
    this._result.show(job);
    this._summary.show(this.run, this._tab === "charts", isStale);
    this._failure.show(job);
    this._dataset.show(this.run);
    this._drawTabs();
    this._attend(job, name);
  }

  _drawTabs() {
    const { run } = this;
    for (const [key, , , size] of TABS) this._tabs.get(key)?.show(key === this._tab, size(run));
    const classes = /** @type {TabLink} */ (this._tabs.get("classes"));
    classes.element.hidden = !run.classes && this._tab !== "classes";
    const entry = TABS.find(([key]) => key === this._tab) ?? TABS[0];
    let tab = this._open.get(entry[0]);
    if (!tab) this._open.set(entry[0], (tab = entry[2](run)));
    if (this._panel.firstElementChild !== tab.element) {
      this._panel.replaceChildren(tab.element);
      this._panel.setAttribute("aria-labelledby", `tab-${entry[0]}`);
    }
    tab.draw();
  }

  /** It is not known yet, or was deleted: what it said of itself must not stay. */
  _attendNone() {
    title("Training");
    favicon(null);
    this._badge.show(null);
  }

  /** Title, icon, notification, voice, badge. */
  _attend(/** @type {Job} */ job, /** @type {string} */ name) {
    const done = shareOf(job);
    const isRunning = job.status === "running";
    title(`${isRunning && done !== null ? `${Math.floor(done * 100)} %` : job.status} · ${name}`);
    favicon(job, done ?? 0);
    const { run } = this;
    if (run.isOver) this._badge.show({ state: "ended", text: "Ended" });
    else if (run.isComplete) this._badge.show(null);
    else
      this._badge.show({ state: "loading", text: `Loading, ${count(run.cursor)} of ${plural(job.last_seq, "event")}` });
    const quarter = Math.floor((done ?? 0) * 4);
    const { status, quarter: before } = this._spoken;
    this._spoken = { status: job.status, quarter };
    if (!status) return;
    if (job.status !== status) {
      say(`${name} is ${job.status}. ${detailOf(job)}`);
      if (isFinal(job)) notify(job, name, endOf(job));
    } else if (isRunning && quarter > before) {
      const left = job.progress?.event === "tick" && job.progress.remaining_seconds;
      say(`${quarter * 25} percent done${left ? `, ${spoken(left)} left` : ""}.`);
    }
  }

  _key(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const links = [...this._tabs.values()].filter((link) => !link.element.hidden);
    const at = links.findIndex((link) => link.element === document.activeElement);
    const next = links[(at + step + links.length) % links.length];
    location.hash = next.element.getAttribute("href") ?? "";
    next.element.focus();
    event.preventDefault();
  }
}

const factsOf = (/** @type {Job} */ job) =>
  [job.attempt > 1 && `attempt ${job.attempt}${exactness(job)}`, `created ${ago(job.created_at)}`, dataOf(job)]
    .filter(Boolean)
    .join(" · ");

/** Whether its interruptions have left a trace in the result. */
function exactness(/** @type {Job} */ { resumed }) {
  if (!resumed) return "";
  return resumed.exact ? ", exactly as if never interrupted" : `, not exact (${resumed.reason})`;
}

/** How it ended, in a sentence. */
function endOf(/** @type {Job} */ job) {
  const key = headline(job.best?.metrics);
  if (job.status === "failed") return job.error ?? "It failed.";
  return key ? `${metric(key)} ${share(job.best?.metrics?.[key])}` : detailOf(job) || "It has ended.";
}

class TabLink {
  /** @param {string} id @param {string} key @param {string} label */
  constructor(id, key, label) {
    this._count = h("span", { class: "tab-count" });
    this.element = h(
      "a",
      { role: "tab", id: `tab-${key}`, href: jobAddress(id, key), "aria-controls": "panel" },
      label,
      this._count,
    );
  }

  show(/** @type {boolean} */ isSelected, /** @type {number} */ size) {
    const text = size ? count(size) : "";
    const isNews = this.element.getAttribute("aria-selected") !== "true" || this._count.textContent !== text;
    mark(this.element, "aria-selected", String(isSelected));
    mark(this.element, "tabindex", isSelected ? "0" : "-1");
    write(this._count, text);
    if (isSelected && isNews) this._uncover();
  }

  /** Bring it into sight where the tabs are wider than the screen; the page itself stays where it is. */
  _uncover() {
    const { parentElement: list, offsetLeft, offsetWidth } = this.element;
    if (list) list.scrollLeft = offsetLeft - (list.clientWidth - offsetWidth) / 2;
  }
}

/** Why it failed: what is known, what to do, and the last lines. */
class Failure {
  constructor() {
    this._what = h("p");
    this._hint = h("p", { class: "quiet" });
    this._tail = h("pre", { tabindex: 0, role: "group", "aria-label": "Last lines of the log" });
    this.element = h("section", { class: "failure card", hidden: true, "aria-label": "Why it failed" });
    this.element.append(h("h2", {}, "Why it failed"), this._what, this._hint, this._tail);
  }

  show(/** @type {Job} */ job) {
    this.element.hidden = job.status !== "failed";
    if (job.status !== "failed") return;
    const { failure } = job;
    const how = failure?.signal
      ? ` (signal ${failure.signal})`
      : failure?.exit_code
        ? ` (exit code ${failure.exit_code})`
        : "";
    write(this._what, (failure?.evidence ?? job.error ?? "") + how);
    write(this._hint, failure?.hint ?? "");
    write(this._tail, (failure?.log_tail ?? []).join("\n"));
    this._tail.hidden = !failure?.log_tail?.length;
  }
}
