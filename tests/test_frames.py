"""Any text in an event comes out of other people's readers as it went in: httpx-sse, and the eventsource package."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.encoding import encode
from service.events import DURABLE_TYPES
from service.frames import Record, frame
from tests.conftest import Running

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch

JS = Path(__file__).parent / "js"
TYPES = sorted(DURABLE_TYPES)
#: What readers of lines, of JSON, of UTF-8 and of event streams have stumbled over.
NASTY = (
    *("\r", "\n", "\r\n", "\n\n", "\0", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x7f", "\x85", "\u2028", "\u2029"),
    *(
        "\ufeff",
        "\ud800",
        "\udfff",
        "\ud83d\ude00",
        "\U0001f600",
        "\ufffe",
        "\uffff",
        "\U0010ffff",
        "\\",
        '"',
        "\\u2028",
    ),
    *("data: x", "\ndata: x\n\n", "\nevent: completed\ndata: {}\n\n", "id: 9\n", "retry: 1\n", ": x\n", "</script>"),
)
TEXT = st.lists(st.text(st.characters(exclude_categories=())) | st.sampled_from(NASTY), max_size=6).map("".join)
EVENTS = st.lists(st.tuples(st.sampled_from(TYPES), TEXT, TEXT), min_size=1, max_size=5)
WORST = [(name, text, text) for name, text in zip(TYPES * 9, NASTY, strict=False)]


def stream(events: list[tuple[str, str, str]]) -> tuple[bytes, list[tuple[str, str, str]]]:
    """The bytes of a stream, and what a reader must make of it."""
    records = [
        Record(number, name, encode({"event": name, key: value, "list": [value]}))
        for number, (name, key, value) in enumerate(events, 1)
    ]
    expected = [(record.type, record.data.decode(), str(record.seq)) for record in records]
    return b"retry: 1000\n: hb\n" + b": hb\n".join(map(frame, records)), expected


def readable(text: str) -> str:
    """A text as JSON in UTF-8 can hold it: surrogate pairs are one character, halves of them have no bytes."""
    paired = re.sub("[\ud800-\udbff][\udc00-\udfff]", lambda pair: json.loads(json.dumps(pair[0])), text)
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in paired)


def check(events: list[tuple[str, str, str]], expected: list[tuple[str, str, str]]) -> None:
    for (_, key, value), (name, data, _) in zip(events, expected, strict=True):
        assert data.splitlines() == [data], "httpx's iter_lines breaks lines where Python does"
        value = readable(value)
        assert json.loads(data) == {"event": name} | {readable(key): value} | {"list": [value]}


@given(EVENTS)
@example(WORST)
def test_httpx_sse_reads_what_was_written(events: list[tuple[str, str, str]]) -> None:
    content, expected = stream(events)
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)
    found = [(event.event, event.data, event.id) for event in httpx_sse.EventSource(response).iter_sse()]
    assert found == expected
    check(events, expected)


@pytest.fixture(scope="module")
def node() -> Iterator[subprocess.Popen[str]]:
    """The reader in JavaScript; its packages are installed once, into the temporary folder."""
    if not (shutil.which("node") and shutil.which("npm")):
        _missing("node and npm are not installed")
    folder = Path(tempfile.gettempdir()) / f"yolo-trainer-tests-js-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    changed = [
        shutil.copy(source, folder)
        for source in JS.iterdir()
        if source.is_file()
        and (not (folder / source.name).exists() or (folder / source.name).read_bytes() != source.read_bytes())
    ]
    if changed or not (folder / "node_modules" / "eventsource").is_dir():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
        if done.returncode:
            _missing(f"npm ci: {done.stderr[-300:]}")
    command = ["node", str(folder / "read.mjs"), *TYPES]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"not tested against the eventsource package: {reason}")
    pytest.skip(f"not tested against the eventsource package: {reason}")


@given(EVENTS)
@example(WORST)
@settings(deadline=None)
def test_eventsource_reads_what_was_written(node: subprocess.Popen[str], events: list[tuple[str, str, str]]) -> None:
    content, expected = stream(events)
    assert node.stdin is not None
    assert node.stdout is not None
    node.stdin.write(base64.b64encode(content).decode() + "\n")
    node.stdin.flush()
    assert [tuple(event) for event in json.loads(node.stdout.readline())] == expected


async def test_any_text_survives_the_way_from_a_worker_to_a_reader(service: Running) -> None:
    job_id = await service.submit("say", texts=[readable(text) for text in NASTY])
    found: list[Any] = []
    async with httpx_sse.aconnect_sse(service.http, "GET", f"/jobs/{job_id}/events") as source:
        async for event in source.aiter_sse():
            if event.event == "epoch_end":
                found.append(json.loads(event.data)["save_dir"])
            if event.event in ("completed", "failed"):
                break
    assert found == [readable(text) for text in NASTY]
