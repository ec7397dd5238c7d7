/** Looking through the chosen dataset before a training begins. */

import { ask } from "../data/api.js";
import { say } from "../ui/attention.js";
import { censusTables, inShort, warningList } from "./census.js";
import { button, fill, h, icon } from "../ui/dom.js";

/** @typedef {import("../data/api.js").Problem} Problem */
/** @typedef {import("../data/types.js").Checked} Checked */
/** @typedef {{[field in keyof import("../data/types.js").CheckRequest]: unknown}} Wanted as it was typed: the service has the last word */

export class DatasetCheck {
  /**
   * @param {() => Wanted} wanted what the form says at the moment
   * @param {(detail: string, suggestion?: string) => void} fault shows what is wrong at the field
   */
  constructor(wanted, fault) {
    this._wanted = wanted;
    this._fault = fault;
    /** @type {AbortController|null} */
    this._asking = null;
    this._button = button("check", "Check", { class: "check", onclick: () => this._check() });
    this._answer = h("div", { class: "checked", role: "status" });
    this.element = h(
      "div",
      { class: "dataset-check" },
      h(
        "div",
        { class: "row start" },
        this._button,
        h("span", { class: "hint" }, "Reads every image and label, without training."),
      ),
      this._answer,
    );
  }

  /** Nobody waits for the answer any more: the service ends its look. */
  close() {
    this._asking?.abort();
    this._asking = null;
  }

  /** What was found is of another dataset. */
  forget() {
    this.close();
    this._button.disabled = false;
    fill(this._answer);
  }

  async _check() {
    this.forget();
    const wanted = this._wanted();
    if (!wanted.data) return this._fault("is required");
    const asking = (this._asking = new AbortController());
    this._button.disabled = true;
    fill(this._answer, h("p", { class: "quiet" }, "Reading …"));
    try {
      /** @type {Checked} */
      const found = await ask("datasets/check", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(wanted),
        signal: asking.signal,
      });
      if (this._asking === asking) this._show(found);
    } catch (error) {
      if (this._asking === asking) this._refuse(/** @type {Problem} */ (error));
    } finally {
      if (this._asking === asking) this._button.disabled = false;
    }
  }

  _show(/** @type {Checked} */ found) {
    const isFine = !found.warnings.length;
    const verdict = h(
      "p",
      { class: isFine ? "fine" : "loud" },
      icon(isFine ? "check" : "alert"),
      h("b", {}, `${isFine ? "Fine" : "Look at this"}: ${inShort(found)}`),
    );
    fill(this._answer, verdict, !isFine && warningList(found), censusTables(found));
    say(`The dataset was read: ${inShort(found)}. ${found.warnings.join(" ")}`);
  }

  /** A fault belongs to the field; that the service is busy, or could not do it, is said here. */
  _refuse(/** @type {Problem} */ problem) {
    const mine = problem.faults.find(({ pointer }) => pointer === "/data");
    const others = problem.faults
      .filter((fault) => fault !== mine)
      .map(({ pointer, detail }) => `${pointer}: ${detail}`);
    if (mine) this._fault(mine.detail, mine.suggestion);
    const text = mine && !others.length ? "" : others.join(" ") || problem.message;
    fill(this._answer, text ? h("p", { class: "fault" }, text) : null);
    say(mine?.detail ?? text);
  }
}
