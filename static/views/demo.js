/** The demo: a training on generated shapes, one click away. */

import { post } from "../data/api.js";
import { jobAddress } from "../router.js";
import { h, icon } from "../ui/dom.js";

/** @typedef {import("../data/api.js").Problem} Problem */

/** @param {HTMLButtonElement} from @param {HTMLElement} trouble where to say what went wrong */
export async function startDemo(from, trouble) {
  from.disabled = true;
  trouble.hidden = true;
  try {
    /** @type {import("../data/types.js").Accepted} */
    const { job_id: id } = await post("demo");
    location.hash = jobAddress(id);
  } catch (error) {
    trouble.textContent = /** @type {Problem} */ (error).message;
    trouble.hidden = false;
  } finally {
    from.disabled = false;
  }
}

/** The demo as a card, for whoever has no dataset at hand. */
export function demoCard() {
  const trouble = h("p", { class: "fault", role: "alert", hidden: true });
  const go = h(
    "button",
    {
      type: "button",
      onclick: (/** @type {import("../ui/dom.js").Pressed} */ event) => startDemo(event.currentTarget, trouble),
    },
    icon("play"),
    "Run the demo",
  );
  const what = "No dataset at hand? The demo draws coloured shapes and trains on them, in a minute or a few.";
  return h("div", { class: "card demo" }, h("div", { class: "row" }, h("span", {}, what), go), trouble);
}
