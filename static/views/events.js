/** The raw events, newest first, as the log has them. */

import { jobPath } from "../data/api.js";
import { button, copy, fill, h, write } from "../ui/dom.js";
import { clock, count, plural } from "../data/format.js";
import { Shown } from "../ui/kept.js";
import { VirtualList } from "../ui/virtual.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {import("../data/types.js").LoggedEvent} LoggedEvent */

const ROW_HEIGHT = 24;

export class EventList {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    /** @type {LoggedEvent[]} */
    this._shown = [];
    /** @type {LoggedEvent|null} */
    this._chosen = null;
    this._drawn = new Shown();
    this._type = h(
      "select",
      { "aria-label": "Type", onchange: () => this.draw() },
      h("option", { value: "" }, "All types"),
    );
    this._size = h("span", { class: "quiet" });
    this._list = new VirtualList(ROW_HEIGHT, (row, index) => this._row(row, index), {
      class: "virtual events",
      role: "listbox",
      "aria-label": "Events",
    });
    this._list.element.addEventListener("keydown", (event) => this._key(event));
    this._json = h(
      "pre",
      { class: "event-json", tabindex: 0, role: "group", "aria-label": "The chosen event" },
      "Choose an event.",
    );
    this.element = h(
      "div",
      { class: "card flush" },
      h(
        "div",
        { class: "controls" },
        this._type,
        this._size,
        h("span", { class: "grow" }),
        button("copy", "Copy the event", {
          onclick: (/** @type {import("../ui/dom.js").Pressed} */ e) =>
            copy(this._json.textContent ?? "", e.currentTarget),
        }),
        h("a", { class: "button", href: jobPath(run.id, "/events"), target: "_blank", rel: "noopener" }, "Stream"),
      ),
      h("div", { class: "event-split" }, this._list.element, this._json),
    );
  }

  draw() {
    const { events, cursor } = this.run;
    const type = this._type.value;
    if (!this._drawn.isNews(cursor, type)) return;
    for (const name of new Set(events.map(({ event }) => event)))
      if (![...this._type.options].some(({ value }) => value === name))
        this._type.append(h("option", { value: name }, name));
    this._shown = (type ? events.filter(({ event }) => event === type) : [...events]).reverse();
    const isCut = events.length < cursor ? `, the newest of ${count(cursor)}` : "";
    write(this._size, `${plural(this._shown.length, "event")}${isCut}`);
    this._list.show(this._shown.length);
  }

  _row(/** @type {HTMLElement} */ row, /** @type {number} */ index) {
    const event = this._shown[index];
    row.className = "virtual-row event-row";
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(event === this._chosen));
    row.onclick = () => this._choose(event);
    fill(
      row,
      h("span", { class: "log-number" }, event.seq),
      h("time", { class: "log-time" }, clock(event.time)),
      h("code", {}, event.event),
      h("span", { class: "quiet" }, gist(event)),
    );
  }

  _choose(/** @type {LoggedEvent} */ event) {
    this._chosen = event;
    this._json.textContent = JSON.stringify(event, null, 2);
    this._list.show(this._shown.length);
  }

  _key(/** @type {KeyboardEvent} */ event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || !this._shown.length) return;
    event.preventDefault();
    const at = this._chosen ? this._shown.indexOf(this._chosen) : -1;
    const next = Math.max(0, Math.min(this._shown.length - 1, at + step));
    this._choose(this._shown[next]);
    this._list.to(next);
  }
}

/** What an event says, in a few words. */
function gist(/** @type {LoggedEvent} */ event) {
  if (event.event === "log") return event.lines[0] ?? "";
  const said = [
    event.attempt > 1 && `attempt ${event.attempt}`,
    "epoch" in event && event.epoch && `epoch ${event.epoch}`,
    "phase" in event && event.phase,
    "name" in event && event.name,
    "exact" in event && (event.exact ? "exact" : "not exact"),
    "reason" in event && event.reason,
  ];
  return said.filter(Boolean).join(" · ");
}
