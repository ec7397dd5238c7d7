"""A real Chromium for the tests of the page, and what must hold whatever a test does with it."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright

from service.job import Job
from tests.conftest import Running

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: No sandbox: tests run as root in containers. The rest keeps Chromium from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).parent.parent / "node_modules" / "axe-core" / "axe.min.js"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium. Skips where there is none; with CI set that is a failure."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium for the tests of the page: apt-get install chromium")
        pytest.skip("no Chromium: THE PAGE IS NOT TESTED; apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def tab(browser: Browser, url: str, *, gone: bool = False, **options: Any) -> AsyncIterator["Tab"]:
    """A fresh profile with one page. It may raise nothing, log no error and ask no other host.

    `gone`: the service goes away meanwhile, so failed requests are to be expected.
    """
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
    faults: list[str] = []
    watch(context, url, faults, gone)
    try:
        yield Tab(context, await context.new_page(), url)
        assert not faults, faults
    finally:
        await context.close()


def watch(context: BrowserContext, url: str, faults: list[str], gone: bool) -> None:
    def on_request(address: str) -> None:
        if not address.startswith((url, "data:", "blob:", "about:")):
            faults.append(f"asked {address}")

    def on_console(kind: str, text: str) -> None:
        # A browser logs every failed request; what the page made of it is what a test looks at.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            faults.append(f"console {kind}: {text}")

    def on_failure(address: str, why: str) -> None:
        if "ERR_ABORTED" not in why:  # left behind by a page that went elsewhere
            faults.append(f"failed {address} {why}")

    context.on("request", lambda request: on_request(request.url))
    context.on("weberror", lambda error: faults.append(f"raised {error.error}"))
    context.on("console", lambda message: on_console(message.type, message.text))
    if not gone:
        context.on("requestfailed", lambda request: on_failure(request.url, request.failure or ""))


class Tab:
    """A page of the service under test."""

    def __init__(self, context: BrowserContext, page: Page, url: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        page.set_default_timeout(20_000)

    async def open(self, address: str = "") -> None:
        """Go to what stands behind `#`."""
        if self.page.url != "about:blank":
            await self.page.goto("about:blank")  # else only the hash would change
        await self.page.goto(f"{self.url}/#{address}")

    async def go(self, address: str) -> None:
        """To another view of the page that is open already."""
        code = """to => (location.hash || '#') === to || new Promise(done => {
            addEventListener('hashchange', () => done(), { once: true });
            location.hash = to;
        })"""
        await self.page.evaluate(code, f"#{address}")

    async def another(self, address: str = "") -> "Tab":
        """One more tab of the same profile."""
        tab = Tab(self.context, await self.context.new_page(), self.url)
        await tab.open(address)
        return tab

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; `view` is what is shown."""
        code = f"async () => {{ const view = await (await import('/static/main.js')).current(); return {script}; }}"
        return await self.page.evaluate(code)

    async def until(self, script: str, seconds: float = 45) -> Any:
        """Wait for an expression in the page to be true; its value."""
        deadline = time.monotonic() + seconds
        while not (value := await self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}\n{await self.text('main')}"
            await asyncio.sleep(0.02)
        return value

    async def text(self, selector: str) -> str:
        return await self.page.inner_text(selector)

    async def sees(self, text: str, selector: str = "main") -> None:
        """Wait until a text is shown."""
        await self.page.locator(selector).get_by_text(text).first.wait_for()

    def field(self, name: str) -> Locator:
        """A control of the form."""
        return self.page.locator(f"[name={name}]")

    async def badge(self, start: str) -> str:
        """Wait until the line's badge begins so; all that it says."""
        return await self.until(f"(t => t.startsWith({start!r}) && t)(document.querySelector('.badge').textContent)")

    async def faults(self) -> list[str]:
        """What axe finds, however small. The context must bypass the policy, which would not let axe in."""
        await self.page.add_script_tag(path=AXE)
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{fault['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for fault in found["violations"]
            for node in fault["nodes"][:3]
        ]


# Trainings for the page to show


async def start(service: Running, do: str = "learn", *, model: str = "yolov8n.yaml", **options: Any) -> str:
    """Queue a program of `tests.trainings` as a training that looks like any other; returns the job's id."""
    fit_params = {"data": "/sets/shapes/data.yaml", **options.pop("fit_params", {})}
    request = {"model": model, "hyperparameters": {"do": do, **options}, "fit_params": fit_params}
    job = Job(id=os.urandom(6).hex(), request=request)
    await asyncio.to_thread(service.state["runner"].submit, job)
    return job.id


async def at_epoch(service: Running, job_id: str, epoch: int) -> None:
    """Wait until an epoch has ended."""
    async with asyncio.timeout(60):  # the first of a file waits for the forkserver too
        while not (await logged_epochs(service, job_id))[epoch - 1 :]:
            await asyncio.sleep(0.02)


async def logged_epochs(service: Running, job_id: str) -> list[int]:
    """The epochs that the log tells of, each once."""
    path = f"/jobs/{job_id}/events?types=epoch_end"
    events = (await service.http.get(path, headers={"Accept": "application/json"})).json()["events"]
    return sorted({event["epoch"] for event in events if event["event"] == "epoch_end"})
