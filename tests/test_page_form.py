"""Starting a training in a real browser: the form, what it suggests, keeps, sends and is told."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser import Tab, start, tab
from tests.conftest import Running, serve
from tests.tiny import make_dataset, tiny_model

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start

SUBMIT = ".submit .primary"


async def test_only_what_differs_from_the_defaults_is_sent(page: Tab, shown: Running) -> None:
    await page.open("/new")
    await page.field("epochs").fill("7")
    await page.field("data").fill("/sets/it's/data.yaml")
    await page.page.get_by_text("More arguments").click()
    await page.page.get_by_label("Search arguments").fill("cosine")
    await page.field("cos_lr").select_option("true")
    await page.page.get_by_label("Start from").select_option("config")
    line = await page.page.locator(".curl").text_content() or ""
    assert line.startswith(f"curl -s {shown.url}/train -H 'Content-Type: application/json' -d '")
    assert '"model": "yolo11n.yaml"' in line
    assert '"hyperparameters": { "epochs": 7, "cos_lr": true }' in line
    assert '"preview": 4' in line  # the form's own wish: the service's default is none
    assert r"/sets/it'\''s/data.yaml" in line


async def test_faults_are_shown_at_their_fields(page: Tab) -> None:
    await page.open("/new")
    await page.field("model").fill("yolov8n.yaml")
    submit = page.page.get_by_role("button", name="Start training")
    await page.field("data").fill("/nowhere/data.yaml")
    await submit.click()
    await page.sees("there is no file /nowhere/data.yaml", "[data-name=data]")  # said by the service
    await expect(page.field("data")).to_have_attribute("aria-invalid", "true")
    await page.field("model").fill("yolov8n.yml")
    await submit.click()
    await page.page.locator("[data-name=model] .fault").wait_for()


async def test_a_training_is_started_again_from_its_arguments(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=3, lr0=0.05, fit_params={"preview": 2})
    await shown.events(job_id)
    await page.open(job_id)
    await page.page.get_by_role("link", name="Train again").click()
    await expect(page.field("lr0")).to_have_value("0.05")
    await expect(page.field("preview")).to_have_value("2")
    await expect(page.field("model")).to_have_value("yolov8n.yaml")


async def test_a_real_training_from_the_form_to_its_end(browser: Browser, tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "sets" / "squares")
    model = tiny_model(tmp_path)
    roots = (tmp_path / "sets",)
    async with (
        serve(tmp_path / "data", program="service.workers.programs:train", data_root=roots) as service,
        tab(browser, service.url) as page,
    ):
        await page.open("/new")
        await page.page.get_by_role("button", name="squares 2 classes").click()
        assert await page.field("data").input_value() == str(data)
        for name, value in {"model": str(model), "epochs": "3", "imgsz": "32", "batch": "4", "preview": "2"}.items():
            await page.field(name).fill(value)
        await page.page.get_by_text("More arguments").click()
        await page.page.get_by_label("Search arguments").fill("workers")
        await page.field("workers").fill("0")
        await page.page.get_by_role("button", name="Start training").click()
        await page.sees("tiny on squares")
        assert await page.run("sessionStorage.length") == 0, "what was started is no draft any more"
        await page.until("view.run?.isOver", 50)
        await page.sees("completed")
        job_id = await page.run("view.id")
        events = await service.events(job_id)
        epochs = [event["epoch"] for event in events if event["event"] == "epoch_end"]
        assert epochs == [1, 2, 3]
        await page.until("view._open.get('charts')._charts.get('mapboxes')._plot?.data[0].join() === '1,2,3'")
        maps = [event["metrics"]["metrics/mAP50(B)"] for event in events if event["event"] == "epoch_end"]
        assert await page.run("view.run.epochs.get('metric:metrics/mAP50(B)')") == maps
        assert await page.run("view.run.machine.xs.length") >= 3
        await page.page.get_by_role("tab", name="Classes").click()
        assert set(await page.page.locator("#panel tbody th").all_inner_texts()) == {"red", "green"}
        await page.page.get_by_role("tab", name="Pictures").click()
        shown = {event["path"] for event in events if event["event"] == "image"}
        await page.until(f"view.run.pictures.size === {len(shown)}")
        await page.until("[...document.querySelectorAll('.picture img')].some(img => img.naturalWidth)")


async def test_what_was_typed_is_kept_until_it_is_started(page: Tab) -> None:
    await page.open("/new")
    await page.until("document.querySelector('[name=model]')?.value")
    await page.go("")
    await page.go("/new")
    await page.until("document.querySelector('[name=model]')?.value")
    assert await page.page.locator(".note").is_hidden()  # nobody has typed anything
    await page.field("epochs").fill("7")
    await page.field("data").fill("/sets/mine/data.yaml")
    await page.go("")
    await page.go("/new")
    await page.sees("What was typed here before is back.")
    await page.page.reload()
    await expect(page.field("epochs")).to_have_value("7")
    await expect(page.field("data")).to_have_value("/sets/mine/data.yaml")
    await page.page.get_by_role("button", name="Begin afresh").click()
    await expect(page.field("epochs")).to_have_value("")
    await expect(page.field("model")).to_have_value("yolo11n.pt")


async def test_all_faults_of_an_answer_are_shown_at_once(page: Tab) -> None:
    await page.open("/new")
    await page.field("model").fill("yolov9n.yaml")
    await page.field("epochs").fill("0")
    await page.field("imgsz").fill("640")
    await page.sees("must be at least 1", "[data-name=epochs]")  # known beforehand, which holds nothing back
    await page.page.locator(SUBMIT).click()
    await page.sees("use yolov9t.yaml", "[data-name=model]")
    await page.sees("must be at least 1", "[data-name=epochs]")
    await page.sees("entries to correct", ".submit")
    assert await page.run("document.activeElement.name") == "model"
    await page.page.get_by_role("button", name="use yolov9t.yaml").click()
    assert await page.page.get_by_label("Family").input_value() == "yolov9"


async def test_the_pickers_follow_the_typed_name(page: Tab) -> None:
    await page.open("/new")
    await page.until("document.querySelector('[name=model]')?.value")
    picks = page.page.locator(".pick select")
    await expect(picks.first.locator("option")).to_have_text(["detect", "segment", "classify", "pose", "obb"])

    async def picked() -> list[str]:
        return [await pick.input_value() for pick in await picks.all()]

    await page.field("model").fill("yolov8s-pose.yaml")
    assert await picked() == ["pose", "yolov8", "s", "config"]
    await page.field("model").fill("/models/own.pt")
    assert await picked() == ["", "", "", ""]
    await page.page.get_by_label("Size", exact=True).select_option("n")  # and back to what is known
    assert await page.field("model").input_value() == "yolov8n-pose.pt"


async def test_training_again_opens_what_was_set_and_marks_what_is_changed(page: Tab, shown: Running) -> None:
    job_id = await start(shown, epochs=3, mosaic=0.5, model="yolov8n-pose.yaml")
    await shown.events(job_id)
    await page.open(f"/new/{job_id}")
    groups = page.page.locator(".group[open]")
    await expect(groups).to_have_count(1)
    await expect(groups.locator(".field")).to_have_count(1)
    await page.field("mosaic").fill("0.8")
    await page.sees("changed; before: 0.5", "[data-name=mosaic]")
    title = page.page.locator(".group > summary")
    await expect(title.filter(has_text="Keypoints")).to_be_visible()  # of this task
    await page.field("model").fill("yolov8n.yaml")
    await expect(title.filter(has_text="Keypoints")).to_be_hidden()


async def test_a_phone_reaches_the_start_and_is_not_zoomed(browser: Browser, shown: Running) -> None:
    async with tab(browser, shown.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        await page.open("/new")
        await expect(page.page.locator(SUBMIT)).to_be_in_viewport()
        size = "getComputedStyle(document.querySelector('[name=epochs]')).fontSize"
        assert await page.run(size) == "16px"
        ends = "[...document.querySelectorAll('.pick select, [name=model]')].map(e => e.getBoundingClientRect().right)"
        assert max(await page.run(ends)) == (await page.run(ends))[-1], "a picker sticks out"


async def test_nothing_is_suggested_that_would_be_refused(page: Tab) -> None:
    await page.open("/new")
    await page.until("document.querySelector('#datasets')")
    assert await page.run("document.querySelectorAll('#datasets option').length") == 0  # nothing may be downloaded
    await expect(page.field("data")).to_have_attribute("placeholder", "/data/my-dataset/data.yaml")
    await expect(page.field("device").locator("option")).to_have_text(["automatic", "cpu"])
    await page.sees("Time limit in seconds")


async def test_an_offline_service_begins_with_a_model_that_it_has(browser: Browser, tmp_path: Path) -> None:
    async with serve(tmp_path / "data", offline=True) as service, tab(browser, service.url) as page:
        await page.open("/new")
        await expect(page.field("model")).to_have_value("yolo11n.yaml")
        await page.page.get_by_label("Start from").select_option("weights")
        await page.sees("the service is offline: choose random weights")
