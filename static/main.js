/** The page: one connection, one badge, and the view that the address names. */

import { Badge } from "./badge.js";
import { Comparison } from "./compare.js";
import { Connection } from "./connection.js";
import { h, iconButton, mark } from "./dom.js";
import { TrainingForm } from "./form.js";
import { JobView } from "./job.js";
import { JobList } from "./jobs.js";
import { newAddress, parse } from "./router.js";
import { showShortcuts } from "./shortcuts.js";
import { applyTheme, nextTheme } from "./theme.js";

/** @typedef {import("./router.js").Route} Route */

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const nav = /** @type {HTMLElement} */ (document.getElementById("nav"));

applyTheme();
const connection = new Connection();
const badge = new Badge(connection);

const LINKS = [
  { view: "list", link: h("a", { href: "#" }, "Trainings") },
  { view: "new", link: h("a", { href: newAddress() }, "New") },
  { view: "compare", link: h("a", { href: "#/compare/" }, "Compare") },
];
nav.append(...LINKS.map(({ link }) => link));
const end = /** @type {HTMLElement} */ (document.getElementById("top-end"));
end.append(
  badge.element,
  iconButton("theme", "Light, dark or as the system", { onclick: nextTheme }),
  iconButton("keyboard", "Keyboard shortcuts", { class: "wide", onclick: showShortcuts }),
);

/** @type {{element: HTMLElement, close: () => void}|null} */
let view = null;
/** What is shown now, for whoever looks from the console. */
export const current = () => view;
/** @type {Route|null} */
let shown = null;

function navigate() {
  const route = parse();
  const isSameJob = route.view === "job" && shown?.view === "job" && route.id === shown.id;
  shown = route;
  for (const { view: name, link } of LINKS) mark(link, "aria-current", name === route.view ? "page" : null);
  if (isSameJob && view instanceof JobView) return view.go(route.tab);
  const before = view;
  view = make(route);
  before?.close();
  main.replaceChildren(view.element);
  scrollTo(0, 0);
  if (before) main.focus({ preventScroll: true });
}

/** @returns {{element: HTMLElement, close: () => void}} */
function make(/** @type {Route} */ route) {
  if (route.view === "job") return new JobView(connection, route.id, route.tab, badge);
  if (route.view === "new") return new TrainingForm(connection, route.from);
  if (route.view === "compare") return new Comparison(connection, route.ids);
  return new JobList(connection);
}

const isTyping = (/** @type {EventTarget|null} */ target) =>
  target instanceof HTMLSelectElement || (target instanceof HTMLInputElement && !["range", "checkbox"].includes(target.type));

/** Keys that work everywhere but in a text. */
function onKey(/** @type {KeyboardEvent} */ event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && isTyping(event.target)) /** @type {HTMLElement} */ (event.target).blur();
  if (isTyping(event.target)) return;
  const search = /** @type {HTMLElement|null} */ (main.querySelector("[data-search]"));
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "?") showShortcuts();
  else if (event.key === "n") location.hash = newAddress();
  else if (event.key === "l") location.hash = "";
  else if (event.key === "t") nextTheme();
  else if (/^[1-9]$/.test(event.key) && view instanceof JobView) view.goTo(Number(event.key));
}

document.getElementById("skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # is an address of ours
  main.focus();
});
addEventListener("hashchange", navigate);
addEventListener("keydown", onKey);
navigate();
