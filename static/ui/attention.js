/** What reaches a person who looks elsewhere: the tab's title and icon, a notification, a screen reader's voice. */

/** @typedef {import("../data/types.js").Job} Job */

const HINT = "notify";
const COLOURS = {
  queued: "#6b7280",
  running: "#2563eb",
  completed: "#15803d",
  failed: "#b91c1c",
  cancelled: "#a16207",
};

export function title(/** @type {string} */ text) {
  if (document.title !== text) document.title = text;
}

/** Say something once to a screen reader, politely. */
export function say(/** @type {string} */ text) {
  const region = /** @type {HTMLElement} */ (document.getElementById("spoken"));
  if (region.textContent !== text) region.textContent = text;
}

let drawn = "";

/** A ring that closes as the job goes on, in its status' colour; null: the plain icon. */
export function favicon(/** @type {Job|null} */ job, /** @type {number} */ share = 0) {
  const rounded = Math.round(share * 40) / 40;
  const wanted = job ? `${job.status} ${rounded}` : "";
  if (wanted === drawn) return;
  drawn = wanted;
  const link = /** @type {HTMLLinkElement} */ (document.getElementById("favicon"));
  if (!job) {
    link.type = "image/svg+xml";
    link.href = "static/favicon.svg";
    return;
  }
  link.type = "image/png";
  link.href = ring(COLOURS[job.status], job.status === "running" ? rounded : 1, job.status);
}

/** @param {string} colour @param {number} share @param {string} status */
function ring(colour, share, status) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  pen.lineWidth = 12;
  pen.lineCap = "round";
  pen.strokeStyle = "#9ca3af66";
  pen.beginPath();
  pen.arc(32, 32, 25, 0, 7);
  pen.stroke();
  pen.strokeStyle = colour;
  pen.beginPath();
  pen.arc(32, 32, 25, -Math.PI / 2, -Math.PI / 2 + Math.max(0.02, share) * 2 * Math.PI);
  pen.stroke();
  pen.lineWidth = 9;
  pen.beginPath();
  for (const [x, y, isStart] of MARKS[status] ?? []) isStart ? pen.moveTo(x, y) : pen.lineTo(x, y);
  pen.stroke();
  return canvas.toDataURL("image/png");
}

/** A sign in the ring, so that colour is not all there is. @type {Record<string, [number, number, number?][]>} */
const MARKS = {
  completed: [
    [21, 33, 1],
    [29, 41],
    [43, 24],
  ],
  failed: [
    [23, 23, 1],
    [41, 41],
    [41, 23, 1],
    [23, 41],
  ],
  cancelled: [
    [22, 32, 1],
    [42, 32],
  ],
};

// Notifications

export const canNotify = () => typeof Notification !== "undefined" && isSecureContext;
export const isNotifying = () =>
  canNotify() && Notification.permission === "granted" && localStorage.getItem(HINT) === "yes";

/** Turn notifications on or off; whether they are on now. */
export async function toggleNotifications() {
  const on = !isNotifying() && (await Notification.requestPermission()) === "granted";
  localStorage.setItem(HINT, on ? "yes" : "no");
  return on;
}

/** Tell that a job has ended, where that is wanted and nobody is looking. Several tabs make one notification. */
export function notify(/** @type {Job} */ job, /** @type {string} */ name, /** @type {string} */ text) {
  if (!isNotifying() || !document.hidden) return;
  const shown = new Notification(`${name}: ${job.status}`, { body: text, tag: `${job.job_id}-${job.last_seq}` });
  shown.onclick = () => {
    window.focus();
    shown.close();
  };
}
