/** What can be done with a job. What cannot be undone is asked about first. */

import { ask, jobPath, post } from "../data/api.js";
import { canNotify, isNotifying, say, toggleNotifications } from "../ui/attention.js";
import { question } from "../ui/dialog.js";
import { button, h, write } from "../ui/dom.js";
import { compareAddress, newAddress } from "../router.js";
import { nameOf } from "../ui/status.js";
import { isFinal } from "../data/types.js";

/** @typedef {import("../data/types.js").Job} Job */
/** @typedef {import("../line/connection.js").Connection} Connection */

export class Actions {
  constructor(/** @type {Connection} */ connection, /** @type {string} */ id) {
    this._connection = connection;
    this._id = id;
    /** @type {Job|null} */
    this._job = null;
    this._stop = button("stop", "Stop after this epoch", {
      title: "The best weights are kept, and it counts as completed",
      onclick: () => this._askToStop(),
    });
    this._cancel = button("cancel", "Cancel at once", {
      title: "What this epoch has learned is lost",
      onclick: () => this._askToCancel(),
    });
    this._resume = button("resume", "Resume", { onclick: () => this._askToResume() });
    this._delete = button("trash", "Delete", { onclick: () => this._askToDelete() });
    this._notify = button("bell", "Notify me", {
      "aria-pressed": String(isNotifying()),
      onclick: () => this._toggleNotify(),
    });
    this._again = h("a", { class: "button", href: newAddress(id) }, "Train again");
    this._compare = h("a", { class: "button", href: compareAddress([id]) }, "Compare");
    this.element = h("div", { class: "actions" });
    this.element.append(this._stop, this._cancel, this._resume, this._again, this._compare, this._notify, this._delete);
  }

  /** @param {Job} job @param {boolean} isGone nobody is there who could do it */
  show(job, isGone) {
    this._job = job;
    for (const each of [this._stop, this._cancel, this._resume, this._delete]) each.disabled = isGone;
    const final = isFinal(job);
    this._stop.hidden = job.status !== "running" || job.stop_requested || job.cancel_requested;
    this._cancel.hidden = final || job.cancel_requested;
    this._resume.hidden = !job.resume;
    write(/** @type {Element} */ (this._resume.lastElementChild), job.resume?.needs_epochs ? "Train longer" : "Resume");
    this._delete.hidden = !final;
    this._notify.hidden = final || !canNotify();
  }

  /** Send, and take the snapshot that comes back. */
  async _send(/** @type {string} */ verb, /** @type {unknown} */ body = {}) {
    /** @type {Job|{job_id: string, last_seq?: undefined}} */
    const answer = await post(jobPath(this._id, `/${verb}`), body);
    if (answer.last_seq !== undefined) this._connection.learn(answer);
    else await this._connection.read(this._id);
  }

  _askToStop() {
    question(
      {
        title: "Stop after this epoch?",
        text: "The epoch is finished and validated, the best weights are kept, and the training counts as completed.",
        yes: "Stop",
      },
      async () => {
        await this._send("stop");
        say("The training stops after this epoch.");
      },
    );
  }

  _askToCancel() {
    question(
      {
        title: "Cancel this training?",
        text: "It ends at once. What the current epoch has learned is lost; weights of earlier epochs stay.",
        yes: "Cancel the training",
        isDangerous: true,
      },
      async () => {
        await this._send("cancel");
        say("The training is being cancelled.");
      },
    );
  }

  _askToResume() {
    const resume = this._job?.resume;
    if (!resume) return;
    const { epoch, epochs, needs_epochs: isDone } = resume;
    const input = h("input", { type: "number", min: epoch + 1, step: 1, value: isDone ? 2 * epoch : epochs });
    question(
      {
        title: isDone ? "Train longer?" : "Resume this training?",
        text: `It goes on after epoch ${epoch}${isDone ? ": say for how many." : ` of ${epochs}, or to another number.`}`,
        yes: isDone ? "Train longer" : "Resume",
        body: h("label", { class: "field" }, h("span", {}, "Epochs in all"), input),
      },
      () => this._send("resume", isDone || Number(input.value) !== epochs ? { epochs: Number(input.value) } : {}),
    );
  }

  _askToDelete() {
    const job = /** @type {Job} */ (this._job);
    question(
      {
        title: "Delete this training?",
        text: `${nameOf(job)} (${job.job_id}): its log, pictures and weights are removed for good.`,
        yes: "Delete for good",
        isDangerous: true,
      },
      async () => {
        await ask(jobPath(this._id), { method: "DELETE" });
        this._connection.forget(this._id);
        location.hash = "";
        say("The training was deleted.");
      },
    );
  }

  async _toggleNotify() {
    this._notify.setAttribute("aria-pressed", String(await toggleNotifications()));
  }
}
