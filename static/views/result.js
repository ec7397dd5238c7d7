/** What a finished training is for: its best weights, how to use them, and a word where they have learned nothing. */

import { ask, jobPath } from "../data/api.js";
import { copy, h, icon, iconButton, mark, write } from "../ui/dom.js";
import { bytes, count, plural } from "../data/format.js";
import { jobAddress } from "../router.js";
import { isFinal } from "../data/types.js";

/** @typedef {import("../data/types.js").Job} Job */

const USE = 'from ultralytics import YOLO; model = YOLO("best.pt")';
/** Epochs below which it is no wonder that nothing is found. */
const FEW = 50;

export class Result {
  constructor(/** @type {string} */ id) {
    this._id = id;
    /** The state of the job that was looked at last. */
    this._seen = "";
    this._label = h("span");
    this._download = h("a", { class: "button primary", download: "best.pt" }, icon("download"), this._label);
    this._what = h("span", { class: "quiet" });
    this._why = h("p", { class: "result-why", hidden: true });
    const take = iconButton("copy", "Copy the line", {
      onclick: (/** @type {import("../ui/dom.js").Pressed} */ event) => copy(USE, event.currentTarget),
    });
    this.element = h(
      "section",
      { class: "result card", hidden: true, "aria-label": "Result" },
      h("div", { class: "row start" }, this._download, this._what),
      h("div", { class: "result-use" }, h("code", {}, USE), take),
      this._why,
    );
  }

  /** Look for the weights once the job has ended, and again after a resume. */
  show(/** @type {Job} */ job) {
    const state = isFinal(job) ? `${job.attempt} ${job.status}` : "";
    if (state === this._seen) return;
    this._seen = state;
    this.element.hidden = true;
    if (state) this._look(job, state).catch(() => (this._seen = ""));
  }

  /** @param {Job} job @param {string} state */
  async _look(job, state) {
    /** @type {import("../data/types.js").ArtifactList} */
    const { artifacts } = await ask(jobPath(this._id, "/artifacts"));
    const best = artifacts.find(({ name }) => name.endsWith("weights/best.pt"));
    if (!best || state !== this._seen) return;
    mark(this._download, "href", best.url);
    write(this._label, `Download best.pt (${bytes(best.size_bytes)})`);
    write(
      this._what,
      job.best?.epoch ? `The weights of epoch ${count(job.best.epoch)}, the best one.` : "The best weights.",
    );
    this._explain(job);
    this.element.hidden = false;
  }

  _explain(/** @type {Job} */ job) {
    const values = Object.entries(job.best?.metrics ?? {}).flatMap(([name, value]) =>
      name.startsWith("metrics/") ? [value ?? 0] : [],
    );
    this._why.hidden = !values.length || values.some((value) => value >= 0.0005);
    if (this._why.hidden) return;
    const epochs = job.progress?.total_epochs ?? 0;
    const start = /\.ya?ml$/.test(job.model) ? " from random weights" : "";
    const usual = `That is usual after so few epochs${start}: train longer, 100 epochs or more. If it stays so, look`;
    this._why.replaceChildren(
      `It finds nothing yet: every result is 0.000 after ${plural(epochs, "epoch")}. ${epochs < FEW ? usual : "Look"} at `,
      h("a", { href: jobAddress(this._id, "pictures") }, "its pictures"),
      ", whether the labels lie on the objects and bear the right classes.",
    );
  }
}
