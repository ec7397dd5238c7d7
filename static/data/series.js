/** Columns of numbers over one axis, and what a chart does to them: smoothing, thinning. */

/** Rows in ascending order of x; each named column has a number or null per row. */
export class Columns {
  constructor() {
    /** @type {number[]} */
    this.xs = [];
    /** @type {Map<string, (number|null)[]>} */
    this.columns = new Map();
  }

  /** Put values at x; what was there before under the same names is replaced, so a repeated epoch makes one point. */
  set(/** @type {number} */ x, /** @type {Record<string, number|null|undefined>} */ values) {
    const row = this._row(x);
    for (const [name, value] of Object.entries(values)) {
      let column = this.columns.get(name);
      if (!column) this.columns.set(name, (column = new Array(this.xs.length).fill(null)));
      column[row] = value ?? null;
    }
  }

  /** The row of x, made where it is missing. */
  _row(/** @type {number} */ x) {
    const last = this.xs.length - 1;
    if (last < 0 || x > this.xs[last]) {
      this.xs.push(x);
      for (const column of this.columns.values()) column.push(null);
      return last + 1;
    }
    let [low, high] = [0, last];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.xs[middle] < x) low = middle + 1;
      else high = middle;
    }
    if (this.xs[low] !== x) {
      this.xs.splice(low, 0, x);
      for (const column of this.columns.values()) column.splice(low, 0, null);
    }
    return low;
  }

  get(/** @type {string} */ name) {
    return this.columns.get(name) ?? [];
  }

  /** Names that start so, in the order in which they came. */
  names(/** @type {string} */ prefix) {
    return [...this.columns.keys()].filter((name) => name.startsWith(prefix));
  }

  /** The newest number of a column. */
  last(/** @type {string} */ name) {
    return this.get(name).findLast((value) => value !== null) ?? null;
  }
}

/** A column's value at a row; where it has none, what a straight line between its neighbours has there; null outside of them. */
export function between(/** @type {number[]} */ xs, /** @type {(number|null)[]} */ values, /** @type {number} */ row) {
  let [before, after] = [row, row];
  while (before >= 0 && (values[before] ?? null) === null) before -= 1;
  while (after < xs.length && (values[after] ?? null) === null) after += 1;
  if (before < 0 || after === xs.length) return null;
  const [from, to] = [/** @type {number} */ (values[before]), /** @type {number} */ (values[after])];
  return before === after ? from : from + ((to - from) * (xs[row] - xs[before])) / (xs[after] - xs[before]);
}

/** Exponential moving average, its start freed of bias: `weight` 0 leaves values as they are, 0.99 all but irons them. */
export function smooth(/** @type {(number|null)[]} */ values, /** @type {number} */ weight) {
  let [sum, mass] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * weight + (1 - weight) * value;
    mass = mass * weight + (1 - weight);
    return sum / mass;
  });
}

/**
 * Rows that suffice to draw these columns between `from` and `to` on `pixels`: of each pixel's rows the first, the last,
 * and the lowest and highest of each column. What lies next to the range stays, so that lines run out of the picture.
 * @param {number[]} xs @param {(number|null)[][]} columns @param {number} from @param {number} to @param {number} pixels
 * @returns {number[]} ascending indices
 */
export function thin(xs, columns, from, to, pixels) {
  let [first, end] = [0, xs.length];
  while (first < xs.length && xs[first] < from) first += 1;
  while (end > first && xs[end - 1] > to) end -= 1;
  first = Math.max(0, first - 1);
  end = Math.min(xs.length, end + 1);
  if (end - first <= 2 * pixels) return Array.from({ length: end - first }, (_, i) => first + i);
  const kept = new Set();
  const width = (end - first) / pixels;
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const [start, stop] = [first + Math.floor(pixel * width), first + Math.floor((pixel + 1) * width)];
    kept.add(start).add(stop - 1);
    for (const column of columns) {
      let [low, high] = [-1, -1];
      for (let row = start; row < stop; row += 1) {
        const value = column[row];
        if (value === null || value === undefined) continue;
        if (low < 0 || value < /** @type {number} */ (column[low])) low = row;
        if (high < 0 || value > /** @type {number} */ (column[high])) high = row;
      }
      if (low >= 0) kept.add(low).add(high);
    }
  }
  return [...kept].sort((a, b) => a - b);
}
