/** What a training's dataset was found to hold: one line, and aloud what is probably not meant. */

import { censusTables, inShort, warningList } from "./census.js";
import { fill, h, icon, mark, write } from "../ui/dom.js";

/** @typedef {import("../data/job_reader.js").JobReader} JobReader */

export class DatasetNote {
  constructor() {
    /** @type {import("../data/types.js").Census|null} */
    this._drawn = null;
    this._line = h("summary");
    this._tables = h("div");
    this._warnings = h("div", { hidden: true });
    this.element = h(
      "section",
      { class: "dataset-note card", hidden: true, "aria-label": "Dataset" },
      this._warnings,
      h("details", {}, this._line, this._tables),
    );
  }

  /** From the event, which has all of it; before that was read, from the snapshot. */
  show(/** @type {JobReader} */ run) {
    const told = run.dataset ?? run.job?.dataset ?? null;
    if (told === this._drawn) return;
    this._drawn = told;
    this.element.hidden = !told;
    if (!told) return;
    const isLoud = told.warnings.length > 0;
    mark(this.element, "data-loud", isLoud ? "" : null);
    write(this._line, `Dataset: ${inShort(told)}`);
    this._warnings.hidden = !isLoud;
    if (isLoud)
      fill(this._warnings, h("h2", {}, icon("alert"), "The dataset is not as it should be"), warningList(told));
    fill(this._tables, censusTables(told));
  }
}
