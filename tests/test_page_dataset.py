"""What is in a dataset, on a training's page and in the form."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser import Tab, start, tab
from tests.conftest import Running
from tests.tiny import make_dataset

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, shown: Running) -> AsyncIterator[Tab]:
    """A page that lets axe in."""
    async with tab(browser, shown.url, bypass_csp=True) as opened:
        yield opened


async def test_dropped_images_are_told_above_all_else(page: Tab, shown: Running) -> None:
    job_id = await start(shown, dropped=40, epochs=2)
    await shown.events(job_id)
    await page.open(job_id)
    await page.sees("train: 40 of 100 images are dropped (40%)", ".dataset-note[data-loud]")
    note = await page.page.locator(".dataset-note").bounding_box()
    tabs = await page.page.locator(".tabs").bounding_box()
    assert note is not None
    assert tabs is not None
    assert note["y"] < tabs["y"]
    await page.page.get_by_text("Dataset: 60 train, 10 val images, 40 dropped").click()
    rows = [await row.inner_text() for row in await page.page.locator(".census tbody tr").all()]
    assert [row.split() for row in rows] == [
        ["train", "100", "50", "10", "40", "30"],
        ["val", "10", "10", "0", "0", "30"],
        ["circle", "21", "17"],
    ]
    assert "/sets/images/0.jpg this is not an image: a Git LFS pointer" in await page.text(".bad-files")
    assert await page.faults() == []


async def test_a_sound_dataset_takes_one_line(page: Tab, shown: Running) -> None:
    job_id = await start(shown, dropped=0, epochs=2)
    await shown.events(job_id)
    await page.open(job_id)
    await page.sees("Dataset: 100 train, 10 val images", ".dataset-note:not([data-loud])")
    assert await page.page.locator(".census").is_hidden()


async def test_a_dataset_is_looked_through_before_a_training(page: Tab, shown: Running, tmp_path: Path) -> None:
    shown.state["inspections"]._program = "tests.showcase:look"
    await page.open("/new")
    check = page.page.get_by_role("button", name="Check", exact=True)
    await check.click()
    await page.sees("is required", "[data-name=data]")
    await page.field("data").fill("/nowhere/data.yaml")
    await check.click()
    await page.sees("there is no file /nowhere/data.yaml", "[data-name=data]")
    for dropped, verdict in (
        (0, "Fine: 100 train, 10 val images"),
        (30, "Look at this: 70 train, 10 val images, 30 dropped"),
    ):
        await page.field("data").fill(str(make_dataset(tmp_path / str(dropped))))
        assert await page.page.locator(".checked").inner_text() == "", "what was found was of another dataset"
        await check.click()
        await page.sees(verdict, ".checked")
        await page.sees("circle", ".checked")
    assert "train: 30 of 100 images are dropped" in await page.text(".checked .warnings")
    assert await page.faults() == []
