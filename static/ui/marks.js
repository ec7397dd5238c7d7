/** Vertical lines in a chart where something happened: a resume, the best epoch. */

import { palette } from "./palette.js";

/** @typedef {{x: number, label: string}} Mark */

/** Draw them; a name that would run into the one before is left out. @param {import("uplot")} plot @param {Mark[]} marks */
export function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  const pxRatio = devicePixelRatio;
  let named = 0; // names end here
  ctx.save();
  ctx.lineWidth = pxRatio;
  ctx.strokeStyle = ctx.fillStyle = palette().axis;
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.font = `${10 * pxRatio}px system-ui, sans-serif`;
  for (const { x, label } of [...marks].sort((a, b) => a.x - b.x)) {
    const at = plot.valToPos(x, "x", true);
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.setLineDash([2 * pxRatio, 3 * pxRatio]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top - 10 * pxRatio);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(label).width + 8 * pxRatio;
    const from = at > bbox.left + bbox.width * 0.7 ? at - width : at;
    if (from < named) continue;
    ctx.fillText(label, from + 4 * pxRatio, bbox.top - 3 * pxRatio); // above the plot: no line runs through it
    named = from + width;
  }
  ctx.restore();
}
