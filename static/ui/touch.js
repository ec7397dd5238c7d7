/** Fingers on a chart: one moves the cursor, two zoom and shift. Up and down belongs to the page (`touch-action: pan-y`). */

/**
 * @param {import("uplot")} plot
 * @param {(range: [number, number]) => void} zoom is told what is to be seen, in values of x
 */
export function touch(plot, zoom) {
  const { over } = plot;
  /** Where each finger is, in pixels of the plot. @type {Map<number, number>} */
  const fingers = new Map();
  /** The values that the two fingers hold. */
  let held = [0, 0];
  const isFinger = (/** @type {PointerEvent} */ event) => event.pointerType === "touch";
  const put = (/** @type {PointerEvent} */ event) =>
    fingers.set(event.pointerId, event.clientX - over.getBoundingClientRect().left);
  const move = () => {
    const [one, two] = [...fingers.values()];
    if (two === undefined) return plot.setCursor({ left: one, top: over.clientHeight / 3 });
    if (Math.abs(two - one) < 8) return; // nearly one point: no number to divide by
    const scale = (held[1] - held[0]) / (two - one);
    const from = held[0] - one * scale;
    if (scale > 0) zoom([from, from + over.clientWidth * scale]);
  };
  over.addEventListener("pointerdown", (event) => {
    if (!isFinger(event)) return;
    put(event);
    held = [...fingers.values()].map((at) => plot.posToVal(at, "x"));
    move();
  });
  over.addEventListener("pointermove", (event) => {
    if (!isFinger(event) || !fingers.has(event.pointerId)) return;
    put(event);
    move();
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"]))
    over.addEventListener(end, (event) => fingers.delete(event.pointerId));
}
