/** What is drawn again only where it differs from what is there: the page's one way to ask "has it changed?". */

import { arrange } from "./dom.js";

/** Remembers what was shown last. */
export class Shown {
  #text = "";

  /** Whether this differs from what was shown last; from now on it is what was shown. */
  isNews(/** @type {unknown[]} */ ...content) {
    const text = JSON.stringify(content);
    if (text === this.#text) return false;
    this.#text = text;
    return true;
  }

  forget() {
    this.#text = "";
  }
}

/**
 * Elements of things that have a key. What was made for a key stays, so that focus and selection survive.
 * @template Thing
 */
export class Kept {
  /** @type {Map<string, {element: Element, show: (thing: Thing) => void}>} */
  #made = new Map();
  #keyOf;
  #make;

  /** @param {(thing: Thing) => string} keyOf @param {() => {element: Element, show: (thing: Thing) => void}} make */
  constructor(keyOf, make) {
    this.#keyOf = keyOf;
    this.#make = make;
  }

  /** One element for each thing, in this order, after those that come first. */
  show(/** @type {Element} */ parent, /** @type {Thing[]} */ things, /** @type {Element[]} */ first = []) {
    const before = this.#made;
    this.#made = new Map();
    for (const thing of things) {
      const key = this.#keyOf(thing);
      const kept = before.get(key) ?? this.#make();
      kept.show(thing);
      this.#made.set(key, kept);
    }
    arrange(parent, [...first, ...[...this.#made.values()].map(({ element }) => element)]);
  }
}
