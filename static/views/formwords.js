/** What the form calls its arguments, and what it says of them: the words that most people use. */

import { plural } from "../data/format.js";

/** @typedef {import("../ui/field.js").Words} Words */

/** Arguments that stand at the top. @type {Record<string, Words>} */
const COMMON = {
  epochs: { label: "Epochs", hint: "How often each training image is seen." },
  imgsz: {
    label: "Image size",
    hint: "The longer side in pixels, a multiple of 32. Left out: that of the weights, else 640 (224 to classify).",
  },
  batch: { label: "Batch size", hint: "Images in one step; -1 fits them to the GPU." },
  patience: { label: "Patience", hint: "Epochs without getting better until it ends." },
  optimizer: { label: "Optimizer", hint: "auto chooses the learning rate too." },
  lr0: { label: "Learning rate", hint: "At the start, where the optimizer is not auto." },
  preview: { label: "Previews", hint: "Validation images drawn after each epoch." },
};
/** The model by hand, beside its pickers. @type {Words} */
export const MODEL = {
  label: "Name or path",
  hint: "Or by hand: a name such as yolov8s.pt or yolov8s.yaml, or a file's absolute path.",
};
/** The service's own. @type {Record<string, Words>} */
export const OWN = {
  priority: { label: "Priority", hint: "Of those that wait, the highest runs first." },
  max_runtime_seconds: { label: "Time limit in seconds", hint: "A run that takes longer is ended." },
};

/** Arguments that stand at the top, in order. @param {number|undefined} gpus how many are here; undefined: not known @returns {Record<string, Words>} */
export const commonWords = (gpus) => ({ ...COMMON, device: deviceWords(gpus) });

/** GPUs are given out by the service; one can only do without. @returns {Words} */
function deviceWords(/** @type {number|undefined} */ gpus) {
  const here = gpus ? `${plural(gpus, "GPU")} here, given out by the service.` : "This machine has no GPU.";
  return {
    label: "Device",
    standard: "automatic",
    hint: gpus === undefined ? "GPUs are given out by the service." : here,
  };
}
