/** A list of any length of which only the rows in sight exist. All rows are of one height. */

import { h } from "./dom.js";

export class VirtualList {
  /**
   * @param {number} height of a row, in pixels
   * @param {(row: HTMLElement, index: number) => void} fill writes what stands at an index into a row
   * @param {Record<string, unknown>} [properties] of the element that scrolls
   */
  constructor(height, fill, properties = {}) {
    this._height = height;
    this._fill = fill;
    this._count = 0;
    /** @type {HTMLElement[]} rows that exist, in order */
    this._rows = [];
    this._first = -1;
    this._space = h("div", { class: "virtual-space" });
    this.element = h("div", { class: "virtual", tabindex: 0, ...properties }, this._space);
    this.element.addEventListener("scroll", () => this._draw(), { passive: true });
    new ResizeObserver(() => this._draw()).observe(this.element);
  }

  /** Show `count` rows, each written anew. */
  show(/** @type {number} */ count) {
    this._count = count;
    this._space.style.height = `${count * this._height}px`;
    this._first = -1;
    this._draw();
  }

  get isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollTop + clientHeight >= scrollHeight - this._height;
  }

  toEnd() {
    this.element.scrollTop = this._count * this._height;
  }

  /** Bring a row to the middle. */
  to(/** @type {number} */ index) {
    this.element.scrollTop = (index + 0.5) * this._height - this.element.clientHeight / 2;
    this._draw();
  }

  _draw() {
    const room = Math.ceil(this.element.clientHeight / this._height) + 2;
    const first = Math.max(0, Math.min(Math.floor(this.element.scrollTop / this._height), this._count - room));
    const shown = Math.min(room, this._count - first);
    if (first === this._first && shown === this._rows.length) return;
    this._first = first;
    while (this._rows.length < shown) {
      const row = h("div", { class: "virtual-row" });
      this._rows.push(row);
      this._space.append(row);
    }
    while (this._rows.length > shown) this._rows.pop()?.remove();
    this._rows.forEach((row, place) => {
      row.style.top = `${(first + place) * this._height}px`;
      this._fill(row, first + place);
    });
  }
}
