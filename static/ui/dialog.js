/** Questions that must be answered before something happens. */

import { h } from "./dom.js";

/** @typedef {import("../data/api.js").Problem} Problem */

/**
 * Ask, and do it when the answer is yes; what the service objects is shown in the dialog, which then stays.
 * @param {{title: string, text: string, yes: string, isDangerous?: boolean, body?: HTMLElement|null}} question
 * @param {() => Promise<void>} act
 */
export function question({ title, text, yes, isDangerous = false, body = null }, act) {
  const trouble = h("p", { class: "fault", role: "alert", hidden: true });
  const go = h("button", { type: "submit", class: isDangerous ? "danger" : "primary" }, yes);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "dialog-title" }, title),
    h("p", { id: "dialog-text" }, text),
    body,
    trouble,
    h("div", { class: "dialog-end" }, h("button", { type: "button", onclick: () => dialog.close() }, "Back"), go),
  );
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await act();
      dialog.close();
    } catch (error) {
      const problem = /** @type {Problem} */ (error);
      trouble.textContent = problem.faults?.map((fault) => fault.detail).join(" ") || problem.message;
      trouble.hidden = false;
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  if (!body) go.focus();
}
