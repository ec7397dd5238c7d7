// What the page's code is held to beside its types. Text never becomes markup, and a room uses only those before it.
import js from "@eslint/js";

const BROWSER = [
  ..."AbortController Blob CustomEvent Event EventTarget HTMLInputElement HTMLSelectElement Image IntersectionObserver MessageEvent MutationObserver Notification".split(
    " ",
  ),
  ..."Path2D ResizeObserver SharedWorker TextDecoderStream URL URLSearchParams addEventListener".split(" "),
  ..."cancelAnimationFrame clearInterval clearTimeout devicePixelRatio dispatchEvent document fetch getComputedStyle".split(
    " ",
  ),
  ..."history innerHeight innerWidth isSecureContext localStorage location matchMedia navigator performance queueMicrotask".split(
    " ",
  ),
  ..."removeEventListener requestAnimationFrame scrollTo scrollY sessionStorage setInterval setTimeout".split(" "),
  ..."structuredClone window".split(" "),
];

/** The ways from text to markup or code; the policy's Trusted Types refuse them too, but only once they run. */
const MARKUP = [
  "MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|srcdoc)$/]",
  "MemberExpression[object.name='document'][property.name=/^write(ln)?$/]",
  "NewExpression[callee.name=/^(DOMParser|Function)$/]",
  "CallExpression[callee.name='eval']",
].map((selector) => ({
  selector,
  message: "Text must not become markup or code: make elements with h() of ui/dom.js.",
}));

/** Rooms that a room must not use. */
const WALLS = { data: ["line", "ui", "views"], line: ["views"], ui: ["line", "views"] };

/** A wall as configuration. Types alone may be named across it: they are comments. */
const wall = ([room, others]) => ({
  files: [`static/${room}/**`],
  rules: {
    "no-restricted-imports": [
      "error",
      { patterns: others.map((other) => ({ group: [`../${other}/*`], message: `${room}/ must not use ${other}/.` })) },
    ],
  },
});

export default [
  { ignores: ["node_modules/**", ".venv/**"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    rules: {
      eqeqeq: "error",
      "no-duplicate-imports": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-param-reassign": "error",
      "no-shadow": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_$" }],
      "max-lines": ["error", 300],
    },
  },
  {
    files: ["static/**"],
    languageOptions: { globals: Object.fromEntries(BROWSER.map((name) => [name, "readonly"])) },
    rules: { "no-restricted-syntax": ["error", ...MARKUP], "no-console": "error" },
  },
  {
    files: ["tests/js/**"],
    languageOptions: {
      globals: Object.fromEntries(
        ["Buffer", "Event", "EventTarget", "Response", "console", "globalThis", "process", "setImmediate"].map(
          (name) => [name, "writable"],
        ),
      ),
    },
  },
  ...Object.entries(WALLS).map(wall),
];
