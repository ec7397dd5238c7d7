/** Light, dark, or as the system has it. */

const KEY = "theme";
const THEMES = ["", "light", "dark"];

export function applyTheme() {
  const theme = localStorage.getItem(KEY) ?? "";
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  dispatchEvent(new Event("themechange"));
}

export function nextTheme() {
  const at = THEMES.indexOf(localStorage.getItem(KEY) ?? "");
  localStorage.setItem(KEY, THEMES[(at + 1) % THEMES.length]);
  applyTheme();
}
