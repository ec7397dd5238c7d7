/** What the axes of a chart span. */

/** @typedef {[number, number]} Span from, to */

/** Seconds on either side of a time that stands alone. */
const LONE_SECONDS = 30;

/**
 * By the data and not by what uPlot makes of it: of a single value it makes 0 to twice that.
 * @param {number[]} xs in ascending order @param {boolean} [isTime] @returns {Span}
 */
export function spanX(xs, isTime = false) {
  if (!xs.length) return [0, 1];
  const room = xs.length > 1 ? 0 : isTime ? LONE_SECONDS : 0.5;
  return [xs[0] - room, xs[xs.length - 1] + room];
}

/**
 * The values with some room; what can be no less than 0, or no more than 1, gets no room there.
 * @param {{range?: Span, isShare?: boolean}} options `range` is the least that is spanned; `isShare`: of 1, so never above
 * @param {number|null} low @param {number|null} high @param {boolean} isZoomed @returns {Span}
 */
export function spanY({ range, isShare = false }, low, high, isZoomed) {
  const [least, most] = (!isZoomed && range) || [Infinity, -Infinity];
  const [from, to] = [Math.min(least, low ?? 0), Math.max(most, high ?? 1)];
  const room = from === to ? Math.abs(from) * 0.1 || (isShare ? 1 : 0.5) : (to - from) * 0.06;
  const bottom = from === least ? from : from - room;
  const top = to === most && to > from ? to : to + room; // values that are all 0 are a line along the bottom
  return [from >= 0 ? Math.max(0, bottom) : bottom, isShare ? Math.min(1, top) : top];
}

/** A range of x no wider than the data; null where it would be all of them. @param {number[]} xs @param {Span} range @returns {Span|null} */
export function within(xs, [from, to]) {
  const [low, high] = [Math.max(from, xs[0]), Math.min(to, xs[xs.length - 1])];
  return low >= high || (low === xs[0] && high === xs[xs.length - 1]) ? null : [low, high];
}
