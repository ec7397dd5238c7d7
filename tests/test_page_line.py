"""The page's line to the service: shared by tabs, lost, found again, never a point twice."""

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from service.job import Job
from service.snapshot import Status
from tests import said
from tests.browser import Tab, at_epoch, logged_epochs, start, tab
from tests.client import until
from tests.conftest import Running, serve

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start


async def test_eight_tabs_share_one_stream(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    jobs = [await start(shown, epochs=4, until=2, gate=str(gate)) for _ in range(2)]
    for job_id in jobs:
        await at_epoch(shown, job_id, 2)
    await page.open()
    tabs = [page, *[await page.another(jobs[number % 2]) for number in range(7)]]
    for each in tabs:
        await each.badge("Live")
    assert shown.state["hub"].streams == 1
    gate.touch()
    for each in tabs[1:]:
        await each.until("view.run.isOver && view.run.epochs.xs.length === 4")
    await page.page.close()  # the line outlives the tab that opened it
    job_id = await start(shown, epochs=2)
    await tabs[1].open(job_id)
    await tabs[1].until("view.run?.isOver")


async def test_a_browser_without_shared_workers_has_a_line_of_its_own(browser: Browser, shown: Running) -> None:
    async with tab(browser, shown.url) as page:
        await page.context.add_init_script("delete window.SharedWorker")
        await page.open()
        await page.badge("Live")
        job_id = await start(shown, epochs=3)
        await page.open(job_id)
        await page.until("view.run?.isOver && view.run.epochs.xs.length === 3")


async def test_a_restart_is_survived_without_a_reload_or_a_doubled_point(browser: Browser, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    program = "tests.showcase:steer"
    async with serve(tmp_path / "data", program=program) as service:
        port, url = service.port, service.url
        running = await start(service, epochs=6, until=3, gate=str(gate))
        waiting = await start(service, epochs=5)
        await at_epoch(service, running, 3)
        opened = tab(browser, url, gone=True)
        page = await opened.__aenter__()
        await page.open(running)
        await page.until("view.run?.epochs.xs.length === 3")
        other = await page.another(waiting)
        await other.sees("Waiting, number 1 in the queue")
        await page.run("window.mark = 'the same page'")
    assert "trying again" in await page.badge("Server gone")
    await page.sees("last heard of at", "[data-stale] .summary")  # numbers that are not live do not look it
    # Drawn with the next frame, and this tab lies behind the other one.
    await expect(page.page.get_by_role("button", name="Cancel")).to_be_disabled()
    async with serve(tmp_path / "data", at=port, program=program) as service:
        await page.page.get_by_role("button", name="Try now").click()
        await page.badge("Live")
        gate.touch()
        await page.until("!view.element.hasAttribute('data-stale')")
        await page.until("view.run.isOver && view.run.epochs.xs.length === 6")  # it goes on by itself
        await other.until("view.run.isOver && view.run.epochs.xs.length === 5")
        for each, job_id in ((page, running), (other, waiting)):
            job = await service.snapshot(job_id)
            assert await each.run("view.run.job.status") == job["status"]
            assert await each.run("view.run.cursor") == job["last_seq"]
            assert await each.run("view.run.epochs.xs") == await logged_epochs(service, job_id)
            await each.badge("Ended")
        assert await page.run("window.mark") == "the same page"
        await opened.__aexit__(None, None, None)


async def test_a_job_that_is_resumed_goes_on_in_the_open_page(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=3)
    await shown.events(job_id)
    await page.open(job_id)
    await page.badge("Ended")
    store = shown.state["store"]

    def tell(event: dict[str, Any]) -> None:
        store.append(job_id, 2, event).result()

    def epoch(number: int) -> dict[str, Any]:
        results = {"metrics": {"metrics/mAP50(B)": number / 10}, "train_losses": {"box_loss": 1.0}, "val_losses": {}}
        where = {"epoch": number, "total_epochs": 5, "save_dir": ""}
        return {**said.epoch_end(fitness=0.1, best_fitness=0.5), **where, **results}

    going_on = {**said.queued(), "resume": {"epoch": 2, "finish": False}}
    started = {"event": "started", "pid": 0, "pid_started": ""}
    for event in (going_on, started, said.resumed(2, 5), *map(epoch, (3, 4))):
        await asyncio.to_thread(tell, event)
    await page.sees("attempt 2, exactly as if never interrupted")
    await page.badge("Live")
    await page.until("view.run.epochs.xs.join() === '1,2,3,4'")
    assert await page.run("view.run.epochs.get('metric:metrics/mAP50(B)')[2]") == 0.3  # the last of an epoch counts
    await page.sees("Epoch 4 of 5")
    await asyncio.to_thread(tell, epoch(5))
    await asyncio.to_thread(tell, {"event": "completed", "reason": "finished"})
    await page.badge("Ended")
    assert await page.run("view.run.epochs.xs") == await logged_epochs(shown, job_id) == [1, 2, 3, 4, 5]


async def test_a_job_is_cancelled_after_a_question_and_resumed_with_more_epochs(
    page: Tab, shown: Running, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=4, until=2, gate=str(gate))
    await at_epoch(shown, job_id, 2)
    await page.open(job_id)
    press = page.page.get_by_role
    await press("button", name="Cancel").click()
    await press("button", name="Back").click()
    assert (await shown.snapshot(job_id))["status"] == Status.RUNNING
    await press("button", name="Cancel").click()
    await press("button", name="Cancel the training").click()
    await page.sees("cancelled")
    await page.badge("Ended")
    gate.touch()
    await press("button", name="Resume").click()
    await page.sees("It goes on after epoch 2 of 4", "dialog")
    await page.page.get_by_label("Epochs in all").fill("6")
    await page.page.locator("dialog").get_by_role("button", name="Resume").click()
    await page.sees("completed")
    await page.badge("Ended")
    await page.sees("attempt 2")
    assert await page.run("view.run.epochs.xs") == await logged_epochs(shown, job_id) == [1, 2, 3, 4, 5, 6]
    assert await page.run("view.run.machine.get('cpu').filter((use) => use === null).length") == 1, "a gap between them"


async def test_a_job_is_stopped_after_its_epoch(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=4, until=2, gate=str(gate))
    await at_epoch(shown, job_id, 2)
    await page.open(job_id)
    await page.page.get_by_role("button", name="Stop").click()
    await page.page.locator("dialog").get_by_role("button", name="Stop").click()
    await page.sees("running · stopping after this epoch")
    gate.touch()
    await page.sees("completed · stopped")
    assert await page.run("view.run.epochs.xs") == [1, 2, 3]


async def test_a_job_is_deleted_for_good_after_a_question(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=2)
    await shown.events(job_id)
    await page.open(job_id)
    other = await page.another(job_id)
    await other.badge("Ended")
    await page.page.get_by_role("button", name="Delete").click()
    await page.page.get_by_role("button", name="Delete for good").click()
    await page.sees("Trainings")
    await expect(page.page.locator(".job-row", has_text=job_id)).to_have_count(0)
    assert (await shown.http.get(f"/jobs/{job_id}")).status_code == 404
    await other.sees(f"There is no training {job_id}.")
    await other.badge("Live")


async def test_an_end_is_told_to_who_looks_elsewhere(browser: Browser, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=4, until=2, gate=str(gate))
    await at_epoch(shown, job_id, 2)
    async with tab(browser, shown.url, permissions=["notifications"]) as page:
        await page.context.add_init_script(
            """window.told = [];
            window.Notification = class { constructor(title, options) { told.push([title, options.tag]); } close() {} };
            Notification.permission = "granted";
            Notification.requestPermission = async () => "granted";"""
        )
        await page.open(job_id)
        await page.page.get_by_role("button", name="Notify me").click()
        await expect(page.page.get_by_role("button", name="Notify me")).to_have_attribute("aria-pressed", "true")
        await page.run("Object.defineProperty(document, 'hidden', { get: () => true })")
        gate.touch()
        job = await page.until("view.run.isOver && window.told.length && view.run.job")
        assert await page.run("window.told") == [["yolov8n on shapes: completed", f"{job_id}-{job['last_seq']}"]]


async def test_an_end_that_came_while_the_tab_slept_is_shown(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=4, until=2, gate=str(gate))
    await at_epoch(shown, job_id, 2)
    await page.open(job_id)
    await page.badge("Live")
    client = await page.context.new_cdp_session(page.page)
    await client.send("Page.setWebLifecycleState", {"state": "frozen"})
    gate.touch()
    await until(lambda: shown.state["store"].job(job_id).is_final)
    await client.send("Page.setWebLifecycleState", {"state": "active"})
    await page.until("view.run.isOver && view.run.epochs.xs.length === 4")
    await page.badge("Ended")


def write_a_long_one(service: Running, job_id: str) -> None:
    """Ten thousand epochs and a hundred thousand lines, straight into the log."""
    store = service.state["store"]
    request = {"model": "yolov8n.yaml", "hyperparameters": {}, "fit_params": {"data": "/sets/long.yaml"}}
    store.create(Job(id=job_id, request=request))
    store.append(job_id, 1, {"event": "started", "pid": 0, "pid_started": ""})
    for epoch in range(1, 10_001):
        waves = {name: 0.5 + 0.4 * math.sin(epoch / 90 + len(name)) for name in ("box_loss", "cls_loss", "dfl_loss")}
        metrics = {f"metrics/{name}(B)": waves["box_loss"] for name in ("precision", "recall", "mAP50", "mAP50-95")}
        where = {"epoch": epoch, "total_epochs": 10_000, "metrics": metrics, "save_dir": ""}
        results = {"train_losses": waves, "val_losses": waves, "lr": {"lr/pg0": 0.01}, "epoch_seconds": 1.0}
        store.append(job_id, 1, {**said.epoch_end(), **where, **results})
        lines = [f"line {10 * epoch + number}" for number in range(10)]
        store.append(job_id, 1, {"event": "log", "stream": "stdout", "level": "info", "lines": lines})
    store.append(job_id, 1, {"event": "completed", "reason": "finished"}).result()


@pytest.mark.slow
async def test_ten_thousand_epochs_and_a_hundred_thousand_lines_stay_smooth(page: Tab, shown: Running) -> None:
    await asyncio.to_thread(write_a_long_one, shown, "long")
    began = time.monotonic()
    await page.open("long")
    await page.until("view.run?.isOver", 60)
    print(f"read in {time.monotonic() - began:.1f} s")
    assert await page.run("[view.run.epochs.xs.length, view.run.log.length]") == [10_000, 100_000]
    charts = "[...view._open.get('charts')._charts.values()]"
    await page.until(f"{charts}[0]._plot?.data[0].at(-1) === 10_000")
    assert 100 < await page.run(f"{charts}[0]._plot.data[0].length") < 4_000
    # What a person does, and the longest time for which the page could not answer meanwhile.
    await page.run(
        "(window.longest = 0, new PerformanceObserver(list => { for (const entry of list.getEntries())"
        " window.longest = Math.max(window.longest, entry.duration) }).observe({ type: 'longtask' }))"
    )
    await page.page.get_by_label("Smoothing").fill("0.9")
    await page.page.mouse.move(400, 600)
    await page.page.mouse.move(600, 600, steps=20)
    await page.page.keyboard.press("4")
    await page.sees("line 100009")
    assert await page.page.locator(".log-row").count() < 100
    await page.page.get_by_label("Search the log").fill("line 5000")
    await page.sees("of 11")
    await page.page.locator(".virtual.log").hover()
    for _ in range(20):
        await page.page.mouse.wheel(0, -2_000)
    assert await page.run("document.querySelectorAll('*').length") < 1_500
    print(f"longest task {await page.run('window.longest')} ms")
