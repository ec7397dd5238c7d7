/** The demo: a training on generated shapes, one click away. */

import { post, Problem } from "../data/api.js";
import { jobAddress } from "../router.js";

/** @param {HTMLButtonElement} from @param {HTMLElement} trouble where to say what went wrong */
export async function startDemo(from, trouble) {
  from.disabled = true;
  trouble.hidden = true;
  try {
    location.hash = jobAddress((await post("demo")).job_id);
  } catch (error) {
    trouble.textContent = /** @type {Problem} */ (error).message;
    trouble.hidden = false;
  } finally {
    from.disabled = false;
  }
}
