"""The list and the comparison in a real browser, and what holds for every view: access, width, keys."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from service.job import Job
from tests import said
from tests.browser import Tab, at_epoch, start, tab
from tests.conftest import Running, serve

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start


# The list


async def test_the_list_is_live_filtered_and_searched(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    await page.open()
    done = await start(shown, epochs=4, model="yolo11s.pt")
    await shown.events(done)
    running = await start(shown, epochs=8, until=4, gate=str(gate), pause=0.02, model="yolo11m.pt")
    await at_epoch(shown, running, 4)
    rows = page.page.locator(".job-row")
    await expect(rows.first).to_contain_text("4/8")  # without a reload
    await expect(rows.nth(1).locator(".job-best")).to_contain_text("0.6")
    await expect(page.page).to_have_title("1 running · Trainings")
    await page.page.get_by_role("button", name="completed").click()
    await expect(page.page.get_by_role("link", name="yolo11m")).to_have_count(0)
    gate.touch()
    await expect(page.page.get_by_role("link", name="yolo11m")).to_have_count(1)
    await page.page.keyboard.press("/")
    await page.page.keyboard.type("11s")
    await expect(page.page.get_by_role("link", name="yolo11m")).to_have_count(0)
    await expect(page.page.get_by_role("link", name="yolo11s")).to_have_count(1)


async def test_who_comes_back_finds_the_list_as_it_was_left(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=2)
    await shown.events(job_id)
    await page.open()
    await page.page.get_by_role("button", name="completed").click()
    await page.page.get_by_label("Search trainings").fill(job_id)
    await page.page.get_by_label(job_id).check()
    await page.go(job_id)
    await page.sees("yolov8n on shapes")
    await page.go("")
    await expect(page.page.get_by_label(job_id)).to_be_checked()
    await expect(page.page.get_by_role("link", name="Compare 1")).to_be_visible()
    await expect(page.page.locator(".job-row")).to_have_count(1)
    await expect(page.page.get_by_role("button", name="completed")).to_have_attribute("aria-pressed", "true")


async def test_places_in_the_queue_are_shown(page: Tab, shown: Running, tmp_path: Path) -> None:
    gates = [tmp_path / f"gate{number}" for number in range(3)]
    for gate in gates:
        await start(shown, "wait", gate=str(gate))
    waiting = await start(shown, epochs=2)
    await page.open()
    await page.sees("number 1 in the queue")
    await page.sees("number 2 in the queue")
    other = await page.another(waiting)
    await other.sees("Waiting, number 2 in the queue")
    gates[0].touch()
    await other.sees("Waiting, number 1 in the queue")
    await expect(page.page.get_by_text("number 2 in the queue")).to_have_count(0)
    await page.sees("number 1 in the queue")
    late = await page.another(waiting)
    await late.sees("Waiting, number 1 in the queue")
    for gate in gates[1:]:
        gate.touch()
    await late.sees("completed")


async def test_a_dataset_has_the_name_that_tells_it_from_others(page: Tab) -> None:
    await page.open()
    paths = ["/sets/coco8/data.yaml", "/sets/pose/data/data.yaml", "/sets/dataset", "/sets/roads.yml", "/data", ""]
    names = await page.run(f"{paths}.map((await import('/static/data/format.js')).dataset)")
    assert names == ["coco8", "pose", "sets", "roads", "data", "–"]


# The comparison


async def test_runs_are_compared_under_an_address_to_share(page: Tab, shown: Running) -> None:
    one = await start(shown, epochs=5, lr0=0.01)
    two = await start(shown, epochs=9, lr0=0.002, model="yolo11n.pt")
    await shown.events(one)
    await shown.events(two)
    await page.open()
    for job_id in (one, two):
        await page.page.get_by_label(job_id).check()
    await page.page.get_by_role("link", name="Compare 2").click()
    assert page.page.url.endswith(f"#/compare/{one},{two}")
    chart = "view._charts.get('metric:metrics/mAP50(B)')"
    await page.until(f"{chart}?.data.xs.length === 9")
    lines = await page.run(f"{chart}.data.lines.map(line => line.values.filter(v => v !== null).length)")
    assert lines == [5, 9]
    titles = await page.page.locator(".chart-title").all_inner_texts()
    assert titles[:4] == ["mAP50", "mAP50-95", "Precision", "Recall"]
    differing = page.page.locator("table", has_text="Arguments that differ").locator("tbody th")
    await expect(differing).to_have_text(["model", "epochs", "lr0"], use_inner_text=True)
    best = page.page.get_by_role("region", name="The trainings").locator("tbody tr", has=page.page.locator("b"))
    await expect(best).to_have_count(1)  # the better one stands out
    await page.page.get_by_role("button", name=f"Remove {one}").click()
    await page.until(f"location.hash === '#/compare/{two}'")


async def test_a_comparison_over_time_tells_a_value_of_each_run_within_its_time(page: Tab, shown: Running) -> None:
    jobs = [await start(shown, epochs=4, seconds=2.0), await start(shown, epochs=8, seconds=1.5)]
    for job_id in jobs:
        await shown.events(job_id)
    await page.open(f"/compare/{','.join(jobs)}")
    await page.until("view.runs?.every(run => run.isOver)")
    await page.page.get_by_label("Over").select_option("time")
    await page.run("(window.chart = view._charts.get('metric:metrics/mAP50(B)'), 1)")
    await page.until("chart._plot && chart.data.xs.join() === '1.5,2,3,4,4.5,6,7.5,8,9,10.5,12'")

    async def told(place: int) -> list[str]:
        await page.run(f"chart._point({place})")
        return await page.run("[...chart.element.querySelectorAll('.legend b')].map(value => value.textContent)")

    one, two = await page.run("view.runs.map(run => run.epochs.get('metric:metrics/mAP50(B)'))")
    assert await told(4) == [f"{one[1] + (one[2] - one[1]) * 0.25:.3f}", f"{two[2]:.3f}"], "between two of its epochs"
    assert await told(0) == ["–", f"{two[0]:.3f}"], "before its first epoch's end nothing is known"
    assert await told(10) == ["–", f"{two[7]:.3f}"], "nor after its last one"


async def test_a_comparison_of_nothing_leads_on(browser: Browser, shown: Running, tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service, tab(browser, service.url) as page:
        await page.open()
        await page.sees("Nothing trained yet")
        await expect(page.page.get_by_role("main").get_by_role("link", name="New training")).to_have_count(1)
        await page.go("/compare/")
        await page.sees("Nothing has been trained yet.")
        await page.page.get_by_role("link", name="Start a training").click()
        await page.until("location.hash === '#/new'")
    job_id = await start(shown, epochs=2)
    await shown.events(job_id)
    async with tab(browser, shown.url) as page:
        await page.open("/compare/")
        await page.page.get_by_label("Add a training").select_option(job_id)
        await page.until(f"location.hash === '#/compare/{job_id}'")


async def test_an_unknown_address_has_a_way_on(page: Tab) -> None:
    await page.open("nonexist")
    await page.sees("There is no training nonexist.")
    await page.page.get_by_role("link", name="All trainings").click()
    await page.page.get_by_role("heading", name="Trainings").wait_for()


async def test_what_colour_tells_is_told_without_ours_too(browser: Browser, shown: Running) -> None:
    """A system may force its own few colours: a bar and the chosen tab are then drawn with those."""
    job_id = await filled(shown)
    async with tab(browser, shown.url, forced_colors="active") as page:
        await page.open(job_id)
        await page.until("view.run?.isOver")
        style = "getComputedStyle(document.querySelector({0})).{1}"
        assert await page.run(style.format("'.tabs [aria-selected=true]'", "backgroundColor")) != await page.run(
            style.format("'.tabs [aria-selected=false]'", "backgroundColor")
        )
        assert await page.run(style.format("'progress'", "borderTopStyle")) == "solid"
        assert await page.run(style.format("'progress'", "getPropertyValue('--fill')")) == "Highlight"
        await page.go("")
        assert await page.run(style.format("'.segments [aria-pressed=true]'", "backgroundColor")) != await page.run(
            style.format("'.segments [aria-pressed=false]'", "backgroundColor")
        )


# Every view


VIEWS = [
    "",
    "/new",
    "{job}",
    "{job}/pictures",
    "{job}/classes",
    "{job}/log",
    "{job}/files",
    "{job}/arguments",
    "{job}/events",
]


async def filled(shown: Running) -> str:
    job_id = await start(shown, epochs=6, fit_params={"preview": 1}, say=["one", "two"])
    await shown.events(job_id)
    return job_id


async def settled(page: Tab, job_id: str, view: str) -> None:
    await page.go(view.format(job=job_id))
    ready = {"": "document.querySelector('.job-row')", "/new": "document.querySelector('.training-form:not([hidden])')"}
    await page.until(ready.get(view, "view.run?.isOver ?? view.runs?.every(run => run.isOver)"))


async def test_every_view_is_accessible_and_fits_a_phone(browser: Browser, shown: Running) -> None:
    job_id = await filled(shown)
    async with tab(browser, shown.url, bypass_csp=True) as page:
        await page.open()
        other = await start(shown, epochs=2, lr0=0.5)
        await shown.events(other)
        for view in [*VIEWS, f"/compare/{job_id},{other}"]:
            await settled(page, job_id, view)
            if view.endswith("classes"):
                await page.sees("circle")
            assert await page.faults() == [], view
            await page.page.set_viewport_size({"width": 390, "height": 844})
            await page.until("document.documentElement.scrollWidth === 390")  # charts follow a frame later
            if "compare" in view:
                assert await page.faults() == [], "what scrolls can have the focus"
            await page.page.set_viewport_size({"width": 1280, "height": 860})
        await page.page.emulate_media(color_scheme="dark")
        for view in ("", "/new", "{job}", "{job}/log"):
            await settled(page, job_id, view)
            assert await page.faults() == [], f"{view}, dark"


async def test_keys_lead_everywhere(page: Tab, shown: Running) -> None:
    await shown.events(await start(shown, epochs=2))
    job_id = await filled(shown)
    await page.open()
    await page.until("document.querySelector('.job-row')")
    press = page.page.keyboard.press
    names = "[...document.querySelectorAll('.job-name')]"
    assert await page.run("document.activeElement === document.body")
    await press("k")
    assert await page.run(f"document.activeElement === {names}.at(-1)")
    await page.run("document.activeElement.blur()")
    for key, place in (("j", 0), ("j", 1), ("k", 0), ("ArrowDown", 1), ("ArrowUp", 0)):
        await press(key)
        assert await page.run(f"document.activeElement === {names}[{place}]"), key
    await press("Enter")
    await page.until(f"view.id === '{job_id}'")
    await press("4")
    await page.until("location.hash.endsWith('/log')")
    await page.page.get_by_role("tab", name="Log").focus()
    await press("ArrowRight")
    await page.until("location.hash.endsWith('/files')")
    await press("?")
    await page.sees("all trainings", "dialog")
    await press("Escape")
    await press("n")
    await page.until("location.hash === '#/new'")
    await press("l")
    await page.until("document.querySelector('.job-row')")
    assert os.path.basename(page.page.url) == "#"


async def test_the_theme_is_kept(page: Tab) -> None:
    await page.open()
    await page.badge("Live")
    await page.page.keyboard.press("t")
    await page.page.keyboard.press("t")
    await page.page.reload()
    await page.badge("Live")
    assert await page.run("document.documentElement.dataset.theme") == "dark"
    assert await page.run("getComputedStyle(document.body).colorScheme") == "dark"


async def test_older_trainings_are_read_on_request(browser: Browser, tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service, tab(browser, service.url) as page:
        for number in range(230):
            request = {"model": "yolov8n.yaml", "hyperparameters": {}, "fit_params": {"data": "/d.yaml"}}
            service.state["store"].create(Job(id=f"job-{number}", request=request, created_at=1e9 + number))
        await page.open()
        rows = page.page.locator(".job-row")
        more = page.page.get_by_role("button", name="Show older")
        await expect(rows).to_have_count(100)
        await more.click()
        await expect(rows).to_have_count(200)
        await more.click()
        await expect(rows).to_have_count(230)
        await expect(more).to_be_hidden()


async def test_counts_filters_and_search_are_of_all_trainings(browser: Browser, tmp_path: Path) -> None:
    """The page itself knows the newest 200 only."""
    async with serve(tmp_path / "data") as service, tab(browser, service.url) as page:
        store = service.state["store"]
        for number in range(330):
            data = "/sets/Größe.yaml" if number == 2 else "/d.yaml"
            request = {"model": "yolov8n.yaml", "hyperparameters": {}, "fit_params": {"data": data}}
            store.create(Job(id=f"job-{number}-", request=request))
        for number in (0, 1, 2, 280):
            store.append(f"job-{number}-", 1, {"event": "cancelled", "reason": "cancelled"}).result()
        await page.open()
        rows, status = page.page.locator(".job-row"), page.page.get_by_role("group", name="Status")
        await expect(status.get_by_role("button")).to_have_text(["all330", "queued326", "cancelled4"])
        await page.sees("100 of 330")
        await status.get_by_role("button", name="cancelled").click()
        await expect(rows).to_have_count(4)
        await expect(page.page.get_by_role("button", name="Show older")).to_be_hidden()
        search = page.page.get_by_label("Search trainings")
        await search.fill("GRÖSSE")
        await expect(rows).to_have_count(1)
        await expect(status.get_by_role("button")).to_have_text(["all1", "cancelled1"])
        await search.fill("nowhere")
        await page.sees("No training fits the filter.")
        await search.fill("D.yaml job-1")
        await status.get_by_role("button", name="all").click()
        await page.sees("100 of 111")  # 1, 10 to 19, 100 to 199
        await page.page.get_by_role("button", name="Show older").click()
        await expect(rows).to_have_count(111)
        store.append("job-150-", 1, said.failed()).result()
        await expect(status.get_by_role("button")).to_have_text(["all111", "queued109", "failed1", "cancelled1"])
        store.append("job-151-", 1, said.cancelled()).result()
        store.delete("job-151-")
        await expect(status.get_by_role("button", name="all")).to_have_text("all110")
        await expect(rows).to_have_count(110)


async def test_the_list_does_not_wait_for_the_chart_library(page: Tab, shown: Running) -> None:
    await shown.events(await start(shown, epochs=2))
    await page.context.route("**/uPlot.esm.js", lambda route: None)  # never answered
    await page.open()
    await page.page.locator(".job-row").first.wait_for()


async def test_a_job_is_shown_before_the_chart_library_has_come(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=2)
    await shown.events(job_id)
    held: list[Route] = []
    await page.context.route("**/uPlot.esm.js", lambda route: held.append(route))
    await page.open(job_id)
    await page.sees("Epoch 2 of 2")
    await expect(page.page.locator(".chart").first).to_be_visible()
    await expect(page.page.locator(".plot canvas")).to_have_count(0)
    await held[0].continue_()
    await expect(page.page.locator(".plot canvas").first).to_be_visible()


async def test_rows_say_why_a_training_failed_and_what_tells_it_from_others(page: Tab, shown: Running) -> None:
    jobs = [
        await start(shown, epochs=2, imgsz=96, lr0=0.002, fit_params={"preview": 1}),
        await start(shown, "fail"),
        await start(shown, "kill_self"),
    ]
    for job_id in jobs:
        await shown.events(job_id)
    await page.open()
    row = [page.page.locator(".job-row", has=page.page.get_by_label(job_id)) for job_id in jobs]
    await expect(row[0]).to_contain_text(f"2 epochs · 96 px · do learn · lr0 0.002 · {jobs[0]}")
    snapshots = [await shown.snapshot(job_id) for job_id in jobs]
    await expect(row[1].locator(".job-detail")).to_contain_text(snapshots[1]["error"])
    assert (await row[2].locator(".job-detail").inner_text()).startswith(f"{snapshots[2]['reason']}: ")


async def test_what_a_lost_line_leaves_is_not_shown_as_live(browser: Browser, tmp_path: Path) -> None:
    async with serve(tmp_path / "data", program="tests.showcase:steer") as service:
        await start(service, "learn_and_wait", epochs=4, gate=str(tmp_path / "gate"))
        opened = tab(browser, service.url, gone=True)
        page = await opened.__aenter__()
        await page.open()
        await page.sees("left", ".job-progress")
    await page.badge("Server gone")
    await page.until("document.querySelector('.jobs').dataset.stale === ''")
    assert "left" not in await page.text(".job-progress")
    assert "2/4" in await page.text(".job-progress") or "3/4" in await page.text(".job-progress")
    await opened.__aexit__(None, None, None)


async def test_a_text_is_copied(browser: Browser, shown: Running) -> None:
    job_id = await filled(shown)
    async with tab(browser, shown.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        await page.open(f"{job_id}/log")
        await page.until("view.run?.isOver")
        copied = page.page.locator(".log-tools button", has_text="Copy")
        await copied.click()
        await expect(copied).to_have_attribute("data-done", "Copied")
        assert await page.page.evaluate("navigator.clipboard.readText()") == "one\ntwo"
        await page.run("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        by_hand = page.page.locator("[title='Copy the id']")
        await by_hand.click()
        await expect(by_hand).to_have_attribute("data-done", "Copied")
