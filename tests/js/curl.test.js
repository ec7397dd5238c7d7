import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { curlLine } from "../../static/data/curl.js";

globalThis.location = { origin: "http://localhost:8000" };

test("a shell hands on exactly the payload, whatever is in its texts", () => {
  for (const text of [
    "plain",
    "it's",
    "''",
    '$(exit 1) `x` \\ "',
    "line\n  break",
    "鳥 é 🙂",
    "",
    "x".repeat(20_000),
  ]) {
    const payload = { model: text, fit_params: { data: `/sets/${text}` }, nested: [1, null, { a: [] }] };
    const command = curlLine(payload).replace(/^curl .* -d /s, "printf %s ");
    assert.deepEqual(JSON.parse(execFileSync("/bin/sh", ["-c", command], { encoding: "utf8" })), payload);
  }
});

test("it is one line to this service", () => {
  const line = curlLine({ a: { b: 1 } });
  assert.ok(line.startsWith("curl -s http://localhost:8000/train "));
  assert.ok(!line.includes("\n"));
});
