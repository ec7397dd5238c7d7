/** What a training was started with, beside the defaults. */

import { argumentTable } from "../data/catalog.js";
import { button, copy, h } from "../ui/dom.js";
import { Shown } from "../ui/kept.js";
import { curlLine } from "../data/curl.js";
import { shown } from "../data/format.js";
import { argumentsOf } from "../data/types.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */
/** @typedef {import("../data/types.js").Job} Job */

export class ArgumentTable {
  constructor(/** @type {JobReader} */ run) {
    this.run = run;
    this._shown = new Shown();
    this._rows = h("tbody");
    this.element = h(
      "div",
      { class: "card flush" },
      h(
        "div",
        { class: "controls" },
        h(
          "span",
          { class: "quiet" },
          "What was set; everything else has its default (args.yaml among the files has it all).",
        ),
        h("span", { class: "grow" }),
        button("copy", "Copy as curl", {
          onclick: (/** @type {import("../ui/dom.js").Pressed} */ e) =>
            copy(curlLine(payloadOf(/** @type {Job} */ (run.job))), e.currentTarget),
        }),
      ),
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h("caption", { class: "unseen" }, "Arguments"),
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              ...["Argument", "Value", "Default", "Meaning"].map((label) =>
                h("th", { scope: "col", class: label === "Meaning" ? "meaning" : "" }, label),
              ),
            ),
          ),
          this._rows,
        ),
      ),
    );
  }

  draw() {
    const { job } = this.run;
    if (!job || !this._shown.isNews(job.attempt)) return;
    this._fill(job, {});
    argumentTable().then(
      (table) => this._fill(job, table),
      () => {},
    );
  }

  /** @param {Job} job @param {Record<string, import("../data/catalog.js").Argument>} table */
  _fill(job, table) {
    const row = (/** @type {string} */ name, /** @type {unknown} */ value) => {
      const { default: standard, description = "" } = table[name] ?? {};
      const isChanged = standard !== undefined && JSON.stringify(standard) !== JSON.stringify(value);
      return h(
        "tr",
        {},
        h("th", { scope: "row" }, h("code", {}, name)),
        h("td", { class: isChanged ? "value changed" : "value" }, shown(value)),
        h("td", { class: "quiet" }, standard === undefined ? "" : shown(standard)),
        h("td", { class: "quiet meaning" }, description),
      );
    };
    this._rows.replaceChildren(
      row("model", job.model),
      ...Object.entries(argumentsOf(job)).map(([name, value]) => row(name, value)),
    );
  }
}

/** The payload that would start the same training again. */
const payloadOf = (/** @type {Job} */ job) => ({
  model: job.model,
  hyperparameters: job.hyperparameters,
  fit_params: job.fit_params,
  ...(job.priority && { priority: job.priority }),
  ...(job.max_runtime_seconds && { max_runtime_seconds: job.max_runtime_seconds }),
});
