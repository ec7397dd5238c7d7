"""One training in the page, in a real browser; the trainings are torch-free programs."""

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser import Tab, at_epoch, logged_epochs, start, tab
from tests.conftest import Running

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start


#: The charts, and the epochs that are drawn in that of mAP.
CHARTS = "[...(view._open?.get('charts')?._charts.values() ?? [])]"
DRAWN = "view._open?.get('charts')?._charts.get('mapboxes')?._plot?.data[0]"


# One training


async def test_a_running_job_is_followed_to_its_end(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=6, until=3, gate=str(gate), pause=0.02)
    await at_epoch(shown, job_id, 3)
    await page.open(job_id)
    await page.sees("Epoch 3 of 6")
    await page.badge("Live")
    assert await page.text("h1") == "yolov8n on shapes"
    await page.until(f"{DRAWN}?.length === 3")
    await expect(page.page).to_have_title("50 % · yolov8n on shapes")
    assert (await page.page.get_attribute("#favicon", "href") or "").startswith("data:image/png")
    gate.touch()
    await page.sees("completed")
    await page.badge("Ended")
    await page.until(f"{DRAWN}.join() === '{','.join(map(str, await logged_epochs(shown, job_id)))}'")
    await page.until("document.title === 'completed · yolov8n on shapes'")
    await expect(page.page.locator("#spoken")).to_contain_text("completed")
    titles = await page.page.locator(".chart-title").all_inner_texts()
    assert titles[:5] == ["mAP", "Precision and recall", "Box loss", "Cls loss", "Dfl loss"]
    assert {"Learning rate", "Speed", "CPU and GPU", "Memory"} <= set(titles)


async def test_a_file_that_has_grown_takes_the_focus_from_no_other(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=2)
    await shown.events(job_id)
    await page.open(f"{job_id}/files")
    link = page.page.get_by_role("link", name="confusion_matrix.png")
    await link.focus()
    await page.run("(window.link = document.activeElement, 1)")
    run = Path((await shown.snapshot(job_id))["save_dir"])
    (run / "BoxPR_curve.png").write_bytes(bytes(7_000))
    await page.run("view._open.get('files')._look()")
    await page.sees("7.0 KB")
    await expect(link).to_be_focused()
    assert await page.run("document.activeElement === window.link")


async def test_each_tab_shows_what_the_training_left(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=5, fit_params={"preview": 4})
    await shown.events(job_id)
    await page.open(f"{job_id}/pictures")
    await page.until("document.querySelectorAll('.picture img').length === 9")
    slider = page.page.get_by_role("slider", name="Epoch")
    await expect(page.page.locator(".preview-epoch")).to_have_text("Epoch 5")
    await slider.press("ArrowLeft")
    await expect(page.page.locator(".preview-epoch")).to_have_text("Epoch 4")
    await page.until(
        "document.querySelector('.preview img').complete && document.querySelector('.preview img').naturalWidth"
    )
    frame = page.page.locator(".preview .picture")
    width = "document.querySelector('.preview img').clientWidth"
    whole = await page.run(width)
    await page.page.get_by_role("button", name="Predictions", exact=True).click()
    await expect(frame.locator("img")).to_have_attribute("alt", "Epoch 4: predictions")
    assert await page.run(width) > 1.2 * whole, "half a picture is shown larger"
    await page.page.locator(".picture", has_text="val_batch0_labels").click()
    await page.sees("val_batch0_labels.jpg · val labels · epoch 5 · 480 × 360 · 1 of 2", ".viewer")
    await page.page.keyboard.press("ArrowRight")
    await page.sees("val_batch0_pred.jpg", ".viewer")
    fits = "document.querySelector('.viewer-image').clientHeight > 0.8 * innerHeight"
    await page.until(f"{fits} && document.querySelector('.viewer-image').classList.contains('pixels')")
    await page.page.keyboard.press("Escape")
    await page.page.get_by_role("tab", name="Classes").click()
    names = page.page.get_by_role("tabpanel").locator("tbody th")
    await expect(names).to_have_text(["triangle", "square", "circle"])
    await page.page.get_by_role("button", name="Class", exact=True).click()
    await expect(names).to_have_text(["circle", "square", "triangle"])
    await page.page.get_by_role("tab", name="Files").click()
    await page.sees("confusion_matrix.png")
    heads = page.page.locator(".fold span:first-of-type")
    await expect(heads.filter(visible=True)).to_have_text(["Weights", "Plots", "Pictures"], use_inner_text=True)
    await expect(page.page.locator(".files a[target]")).to_have_count(0)
    await page.page.get_by_role("button", name="Plots").click()
    await expect(page.page.get_by_role("link", name="confusion_matrix.png")).to_be_hidden()
    await page.page.get_by_role("tab", name="Arguments").click()
    row = page.page.get_by_role("row", name="epochs")
    await row.get_by_text("100").wait_for()  # the default beside it
    await expect(row).to_contain_text("5")
    await page.page.get_by_role("tab", name="Events").click()
    await page.page.locator(".event-row", has_text="train_end").click()
    assert json.loads(await page.text(".event-json"))["best_epoch"] == 4
    await page.page.keyboard.press("1")
    assert page.page.url.endswith(f"#{job_id}/charts")


async def test_charts_zoom_smooth_and_share_a_cursor(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=30)
    await shown.events(job_id)
    await page.open(job_id)
    await page.until(f"{DRAWN}?.length === 30")
    charts = page.page.locator(".chart .plot .u-over")
    box = await charts.nth(0).bounding_box()
    assert box is not None
    mouse = page.page.mouse
    await mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    epoch = await page.until("document.querySelectorAll('.chart-at')[0].textContent")
    await expect(page.page.locator(".chart-at").nth(1)).to_have_text(epoch, use_inner_text=True)
    await mouse.down()
    await mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=3)
    await mouse.up()
    await page.until(f"{DRAWN}.length < 14")
    assert await page.run(f"{CHARTS}[2]._plot.data[0].length") < 14
    await page.page.get_by_role("button", name="Show all").click()
    await page.until(f"{DRAWN}.length === 30")
    await page.page.get_by_label("Smoothing").fill("0.9")
    raw, smooth = await page.run(f"{CHARTS}[0]._plot.data.slice(1, 3)")
    jumps = [sum(abs(b - a) for a, b in itertools.pairwise(line)) for line in (raw, smooth)]
    assert jumps[1] < jumps[0]
    await page.page.get_by_label("Log scale").check()
    assert await page.run(f"{CHARTS}[2]._plot.scales.y.distr") == 3
    await page.page.locator(".chart").first.focus()
    await page.page.keyboard.press("ArrowRight")
    await expect(page.page.locator(".chart-at").first).to_have_text("epoch 1", use_inner_text=True)


async def test_the_epoch_that_runs_is_drawn_until_it_has_ended(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, "learn_and_wait", epochs=4, gate=str(gate))
    await page.open(job_id)
    box = "view._open?.get('charts')?._charts.get('loss:box_loss')?._plot?.data[0].join()"
    await page.until(f"{box} === '1,2,2.5'")
    assert await page.run(f"{DRAWN}.join()") == "1,2"
    gate.touch()
    await page.until(f"view.run.isOver && {box} === '1,2,3,4'")


async def test_the_log_is_followed_searched_and_filtered(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=2, until=1, gate=str(gate), say=[f"line {n}" for n in range(3000)])
    await at_epoch(shown, job_id, 1)
    await page.open(f"{job_id}/log")
    await page.sees("line 2999")
    assert await page.page.locator(".log-row").count() < 80
    await page.page.keyboard.press("/")
    await page.page.keyboard.type("line 12")
    await page.sees("1 of 111")  # from where the list stood there is none: from the start
    assert "line 12" in await page.text(".log-row.current")
    await page.page.keyboard.press("Enter")
    await page.sees("2 of 111")
    await expect(page.page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    gate.touch()
    await page.until("view.run.isOver")
    await page.page.get_by_label("Level").select_option("serious")
    await page.sees("0 lines")
    download = page.page.get_by_role("link", name="Download", exact=True)
    answer = await shown.http.get(f"/{await download.get_attribute('href')}")
    assert answer.text.splitlines()[0] == "line 0"


async def test_why_a_job_failed_stands_first(page: Tab, shown: Running) -> None:
    job_id = await start(shown, "fail")
    await shown.events(job_id)
    await page.open(job_id)
    await page.sees("ValueError: no such luck", ".failure")
    await page.sees("about to fail", ".failure pre")
    await page.sees("It ended before its first epoch did.")
    await page.page.get_by_role("tab", name="Pictures").click()
    await page.sees("It drew no pictures.")


async def test_a_log_that_is_still_read_is_not_called_empty(browser: Browser, shown: Running) -> None:
    job_id = await start(shown, epochs=2)
    await shown.events(job_id)
    async with tab(browser, shown.url) as page:
        held = asyncio.Event()

        async def hold(route: Route) -> None:
            await held.wait()
            await route.continue_()

        await page.page.route("**/events?last_event_id=*", hold)
        await page.open(job_id)
        await page.sees("Loading …", ".tab-panel")
        await page.go(f"{job_id}/log")
        await page.sees("Loading …", ".log-tools")
        await page.go(f"{job_id}/pictures")
        await page.sees("Loading …", ".tab-panel")
        held.set()
        await page.until("view.run.isOver")


async def test_a_job_that_is_not_there_says_so(page: Tab) -> None:
    await page.open("nobody")
    await page.sees("There is no training nobody.")


# What a training says is text


async def test_nothing_that_an_event_says_becomes_markup(page: Tab, shown: Running) -> None:
    evil = "<img src=x onerror='window.caught=1'><svg onload='window.caught=1'>"
    job_id = await start(
        shown, epochs=2, names=[evil, "b"], say=[evil], model=f"/m/{evil}.yaml", fit_params={"data": evil}
    )
    await shown.events(job_id)
    for view in ("charts", "pictures", "classes", "log", "files", "arguments", "events"):
        await (page.go if view != "charts" else page.open)(f"{job_id}/{view}")
        await page.until("view.run?.isOver")
    await page.go(f"{job_id}/classes")
    await page.sees(evil, "tbody")
    await page.go(f"{job_id}/log")
    await page.sees(evil, ".log-row")
    for view in ("", f"/compare/{job_id}", f"/new/{job_id}"):
        await page.go(view)
        await page.page.get_by_text("img src=x").first.wait_for(state="attached")
    assert await page.run("window.caught ?? null") is None
    assert await page.run("document.querySelectorAll('img[src=x]').length") == 0


async def test_the_policy_forbids_markup(browser: Browser, shown: Running) -> None:
    said: list[str] = []
    context = await browser.new_context()
    page = await context.new_page()
    page.on("console", lambda message: said.append(message.text))
    await page.goto(shown.url)
    outcome = "try { document.body.innerHTML = '<b>x</b>'; return 'taken' } catch (error) { return error.name }"
    assert await page.evaluate(f"() => {{ {outcome} }}") == "TypeError"
    assert any("TrustedHTML" in text for text in said)
    await context.close()
