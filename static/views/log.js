/** A job's log: followed, searched, filtered by level, copied, downloaded. A hundred thousand lines are no burden. */

import { jobPath } from "../data/api.js";
import { button, copy, fill, h, icon, iconButton, write } from "../ui/dom.js";
import { clock, count, plural } from "../data/format.js";
import { VirtualList } from "../ui/virtual.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {import("../data/types.js").LogLine} LogLine */

const ROW_HEIGHT = 20;
const SERIOUS = ["warning", "error", "critical"];

export class LogView {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    this._text = "";
    this._isSerious = false;
    this._follows = true;
    /** Places in the log of the lines that pass the filter; null: all. @type {number[]|null} */
    this._shown = null;
    /** Rows with a match. @type {number[]} */
    this._matches = [];
    this._match = -1;
    this._seen = { log: run.log, lines: 0 };
    this._search = h("input", {
      type: "search",
      placeholder: "Search the log",
      "aria-label": "Search the log",
      class: "search",
      data: { search: "" },
    });
    this._search.addEventListener("input", () => this._find(this._search.value));
    this._search.addEventListener("keydown", (event) => event.key === "Enter" && this._step(event.shiftKey ? -1 : 1));
    this._found = h("span", { class: "quiet", "aria-live": "polite" });
    const previous = iconButton("up", "Previous match", { onclick: () => this._step(-1) });
    const next = iconButton("down", "Next match", { onclick: () => this._step(1) });
    this._steps = h("span", { class: "row start", hidden: true }, previous, next, this._found);
    const levels = h("select", { "aria-label": "Level", onchange: () => this._filter(levels.value === "serious") });
    levels.append(
      h("option", { value: "all" }, "All levels"),
      h("option", { value: "serious" }, "Warnings and errors"),
    );
    this._follow = button("down", "Follow", { "aria-pressed": "true", onclick: () => this._setFollow(!this._follows) });
    this._size = h("span", { class: "quiet" });
    this.list = new VirtualList(ROW_HEIGHT, (row, index) => this._row(row, index), {
      class: "virtual log",
      role: "region",
      "aria-label": "Log",
    });
    this.list.element.addEventListener("wheel", (e) => e.deltaY < 0 && this._setFollow(false), { passive: true });
    this.list.element.addEventListener(
      "keydown",
      (e) => ["ArrowUp", "PageUp", "Home"].includes(e.key) && this._setFollow(false),
    );
    this.list.element.addEventListener("pointerdown", () => this._setFollow(this.list.isAtEnd));
    this.element = h(
      "div",
      { class: "card flush" },
      h(
        "div",
        { class: "controls log-tools" },
        h("span", { class: "search-box" }, icon("search"), this._search),
        this._steps,
        levels,
        this._follow,
        h("span", { class: "grow" }),
        this._size,
        button("copy", "Copy", {
          onclick: (/** @type {import("../ui/dom.js").Pressed} */ e) =>
            copy(
              this._lines()
                .map(({ text }) => text)
                .join("\n"),
              e.currentTarget,
            ),
        }),
        h(
          "a",
          { class: "button", href: jobPath(run.id, "/logs"), download: `${run.id}.log` },
          icon("download"),
          h("span", {}, "Download"),
        ),
      ),
      this.list.element,
    );
  }

  draw() {
    const { log } = this.run;
    if (log !== this._seen.log) {
      this._seen = { log, lines: 0 };
      this._shown = this._isSerious ? [] : null;
      this._matches = [];
    }
    if (this._seen.lines === log.length && this._seen.lines) return;
    if (!log.length && !this.run.isComplete) return write(this._size, "Loading …");
    this._extend(this._seen.lines);
    this._seen.lines = log.length;
    this._show();
  }

  /** Filter and search the lines from a place on. */
  _extend(/** @type {number} */ from) {
    const { log } = this.run;
    for (let place = from; place < log.length; place += 1) {
      if (this._shown) {
        if (!SERIOUS.includes(log[place].level)) continue;
        this._shown.push(place);
      }
      const row = this._shown ? this._shown.length - 1 : place;
      if (this._text && log[place].text.toLowerCase().includes(this._text)) this._matches.push(row);
    }
  }

  _show() {
    const rows = this._shown?.length ?? this.run.log.length;
    this.list.show(rows);
    write(this._size, plural(rows, "line"));
    this._say();
    if (this._follows) this.list.toEnd();
  }

  _lines() {
    return this._shown ? this._shown.map((place) => this.run.log[place]) : this.run.log;
  }

  _row(/** @type {HTMLElement} */ row, /** @type {number} */ index) {
    const place = this._shown ? this._shown[index] : index;
    const line = this.run.log[place];
    if (!line) return;
    row.className = `virtual-row log-row${index === this._matches[this._match] ? " current" : ""}`;
    row.dataset.level = line.level;
    fill(
      row,
      h("span", { class: "log-number" }, place + 1),
      h("time", { class: "log-time" }, clock(line.time)),
      h("span", { class: "log-text" }, ...marked(line.text, this._text)),
    );
  }

  _find(/** @type {string} */ text) {
    this._text = text.toLowerCase();
    this._steps.hidden = !text;
    this._again();
    const from = this.list.element.scrollTop / ROW_HEIGHT;
    this._match = this._matches.findIndex((row) => row >= from);
    if (this._match < 0 && this._matches.length) this._match = 0;
    this._toMatch();
  }

  _filter(/** @type {boolean} */ isSerious) {
    this._isSerious = isSerious;
    this._match = -1;
    this._again();
  }

  _again() {
    this._shown = this._isSerious ? [] : null;
    this._matches = [];
    this._extend(0);
    this._show();
  }

  _step(/** @type {number} */ step) {
    const { length } = this._matches;
    if (length) this._match = (this._match + step + length) % length;
    this._toMatch();
  }

  _toMatch() {
    this._say();
    if (this._match < 0 || !this._text) return;
    this._setFollow(false);
    this.list.show(this._shown?.length ?? this.run.log.length);
    this.list.to(this._matches[this._match]);
  }

  _say() {
    write(
      this._found,
      !this._text
        ? ""
        : this._matches.length
          ? `${count(this._match + 1)} of ${count(this._matches.length)}`
          : "No match",
    );
  }

  _setFollow(/** @type {boolean} */ follows) {
    this._follows = follows;
    this._follow.setAttribute("aria-pressed", String(follows));
    if (follows) this.list.toEnd();
  }
}

/** A text in pieces, those that match within <mark>. @returns {(string|HTMLElement)[]} */
function marked(/** @type {string} */ text, /** @type {string} */ wanted) {
  if (!wanted) return [text];
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return [text]; // a letter whose lower case is longer: places would not agree
  const pieces = [];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    pieces.push(text.slice(from, at), h("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...pieces, text.slice(from)];
}
