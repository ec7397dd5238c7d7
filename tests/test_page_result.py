"""What a training that has ended offers: its best epoch's figures, its weights, and a word where it learned nothing."""

import pytest
from playwright.async_api import expect

from tests.browser import Tab, start
from tests.conftest import Running

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start


async def ended(shown: Running, **options: object) -> str:
    job_id = await start(shown, **options)
    await shown.events(job_id)
    return job_id


@pytest.mark.parametrize(
    ("marks", "first", "labels"),
    [
        ("B", "mAP50-95", ["mAP50-95", "mAP50", "precision", "recall"]),
        ("BM", "mAP50-95, masks", ["mAP50-95, masks", "mAP50, masks", "precision, masks", "recall, masks"]),
        ("BP", "mAP50-95, keypoints", ["mAP50-95, keypoints", "mAP50, keypoints", "precision, keypoints"]),
        ("C", "top-1", ["top-1", "top-5"]),
    ],
)
async def test_the_figures_are_those_of_the_tasks_own_main_metric(
    page: Tab, shown: Running, marks: str, first: str, labels: list[str]
) -> None:
    job_id = await ended(shown, epochs=4, marks=marks)
    await page.open(job_id)
    await page.until("view.run?.isOver && document.querySelectorAll('.tile').length > 1")
    assert (await page.page.locator(".figures > div").first.locator("dt").all_inner_texts())[: len(labels)] == labels
    await page.go("")
    await page.sees(first, f".job-row:has-text('{job_id}')")


async def test_a_training_that_has_ended_shows_its_best_epoch_before_its_last(page: Tab, shown: Running) -> None:
    job_id = await ended(shown, epochs=5)
    best = (await shown.snapshot(job_id))["best"]
    await page.open(job_id)
    groups = page.page.locator(".figures > div")
    await page.sees("Best: epoch 4", ".figures")
    await expect(groups.nth(0).locator("dd").first).to_have_text(
        f"{best['metrics']['metrics/mAP50-95(B)']:.3f}", use_inner_text=True
    )
    await page.sees("Last: epoch 5", ".figures")
    last = await page.run("view.run.epochs.last('metric:metrics/mAP50-95(B)')")
    await expect(groups.nth(1).locator("dd").first).to_have_text(f"{last:.3f}", use_inner_text=True)


async def test_the_best_weights_are_one_click_away_with_the_line_to_use_them(page: Tab, shown: Running) -> None:
    job_id = await ended(shown, epochs=3)
    await page.open(job_id)
    await page.sees("Download best.pt (5.4 KB)", ".result")
    await page.sees('from ultralytics import YOLO; model = YOLO("best.pt")', ".result")
    address = await page.page.get_by_role("link", name="Download best.pt").get_attribute("href")
    assert len((await shown.http.get(str(address))).content) == 5_400
    assert await page.page.locator(".result-why").is_hidden()
    await page.page.get_by_role("button", name="Train longer").click()
    await page.sees("It goes on after epoch 3", "dialog")


async def test_a_training_that_learned_nothing_is_told_why_and_what_next(page: Tab, shown: Running) -> None:
    job_id = await ended(shown, epochs=3, slope=0)
    await page.open(job_id)
    await page.sees("every result is 0.000 after 3 epochs", ".result")
    assert "so few epochs from random weights: train longer" in await page.text(".result")
    job_id = await ended(shown, do="fail_at_once")
    await page.go(job_id)
    await page.sees("Why it failed")
    await page.sees("No epoch", ".summary")
    assert await page.page.locator(".result").is_hidden()
