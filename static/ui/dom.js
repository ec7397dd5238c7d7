/** Making and changing elements. Strings become text nodes, never markup. */

/** @typedef {{currentTarget: HTMLButtonElement}} Pressed what a button's listener hears */

/**
 * An element. Properties are set as attributes, except: `on…` adds a listener, `class` and `data` (an object) as named,
 * null, undefined and false are left out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>|null} [properties]
 * @param {...(Node|string|number|null|undefined|false)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  apply(element, properties ?? {});
  element.append(...present(children));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An icon: paths on a 24 × 24 grid, drawn as lines. Hidden from screen readers: what it means stands beside it. */
export function icon(/** @type {keyof typeof ICONS} */ name) {
  const svg = document.createElementNS(SVG, "svg");
  apply(svg, { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

const ICONS = {
  plus: "M12 5v14M5 12h14",
  play: "M8 5.5v13l10.5-6.5z",
  stop: "M7 7h10v10H7z",
  cancel: "M6 6l12 12M18 6L6 18",
  check: "M5 12.5l4.5 4.5L19 7.5",
  alert: "M12 4L2.5 20h19zM12 10v4.5M12 17.2v.3",
  dash: "M6 12h12",
  clock: "M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17M12 7.5V12l3 2",
  trash: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 13h9l1-13M10.2 11v5.5M13.8 11v5.5",
  resume: "M4 12a8 8 0 1 0 2.6-5.9M4 4v4.5h4.5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11M7 10.5l5 5 5-5M4.5 20h15",
  bell: "M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5h4",
  search: "M10.5 4.5a6 6 0 1 0 0 12a6 6 0 1 0 0-12M15 15l5 5",
  left: "M14.5 5.5L8 12l6.5 6.5",
  right: "M9.5 5.5L16 12l-6.5 6.5",
  up: "M5.5 14.5L12 8l6.5 6.5",
  down: "M5.5 9.5L12 16l6.5-6.5",
  pause: "M8 5v14M16 5v14",
  compare: "M4 19V9M10 19V4M16 19v-7M22 19H2",
  again: "M17 3l3.5 3.5L17 10M20 6.5H8a4.5 4.5 0 0 0 0 9h1M7 21l-3.5-3.5L7 14M4 17.5h12a4.5 4.5 0 0 0 0-9",
  theme: "M12 3.5a8.5 8.5 0 1 0 0 17zM12 3.5a8.5 8.5 0 0 1 0 17",
  keyboard: "M3 6.5h18v11H3zM6.5 10h.5M10 10h.5M13.5 10h.5M17 10h.5M8 14h8",
  zoom: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};

/** @param {Element} element @param {Record<string, unknown>} properties */
function apply(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name === "data") Object.assign(/** @type {HTMLElement} */ (element).dataset, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {(Node|string|number|null|undefined|false)[]} children @returns {(Node|string)[]} */
const present = (children) =>
  children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : /** @type {Node|string} */ (child)));

/** Set an element's text where it differs: an unchanged live region stays quiet, a selection stays. */
export function write(/** @type {Element} */ element, /** @type {string} */ text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute where it differs; null removes it. */
export function mark(/** @type {Element} */ element, /** @type {string} */ name, /** @type {string|null} */ value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** Replace an element's children. @param {Element} parent @param {...(Node|string|number|null|undefined|false)} children */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

/** Bring a parent's children into this order, moving only those that stand elsewhere: focus and selection survive. */
export function arrange(/** @type {Element} */ parent, /** @type {Element[]} */ children) {
  children.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild?.remove();
}

/** A button with an icon. @param {keyof typeof ICONS} name @param {string} label @param {Record<string, unknown>} [properties] */
export function button(name, label, properties = {}) {
  return h("button", { type: "button", ...properties }, icon(name), h("span", {}, label));
}

/** A button that shows its icon only. @param {keyof typeof ICONS} name @param {string} label @param {Record<string, unknown>} [properties] */
export function iconButton(name, label, properties = {}) {
  const { class: more = "", ...rest } = properties;
  return h(
    "button",
    { type: "button", "aria-label": label, title: label, class: `bare ${more}`.trim(), ...rest },
    icon(name),
  );
}

/** Copy a text and say so on the button that was pressed. */
export async function copy(/** @type {string} */ text, /** @type {HTMLElement} */ from) {
  await (navigator.clipboard?.writeText(text) ?? copyByHand(text));
  from.dataset.done = "Copied";
  setTimeout(() => delete from.dataset.done, 1500);
}

/** Without TLS a browser offers no clipboard: select the text and copy that. */
function copyByHand(/** @type {string} */ text) {
  const area = h("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Call `draw` once before the next frame, however often the result is called; in a hidden tab within a second. */
export function oncePerFrame(/** @type {() => void} */ draw) {
  let waits = false;
  const run = () => {
    waits = false;
    draw();
  };
  return () => {
    if (waits) return;
    waits = true;
    if (document.hidden) setTimeout(run, 0);
    else requestAnimationFrame(run);
  };
}
