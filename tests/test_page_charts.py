"""Charts as one looks at them: their axes, their zoom by mouse and fingers, their marks and dashes."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser import Tab, at_epoch, start, tab
from tests.conftest import Running

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]  # a browser and a service start

CHARTS = "view._open?.get('charts')?._charts"
SCALES = "Object.fromEntries(['x', 'y'].map(key => [key, [{0}.scales[key].min, {0}.scales[key].max]]))"


async def ended(shown: Running, page: Tab, **options: object) -> str:
    job_id = await start(shown, **options)
    await shown.events(job_id)
    await page.open(job_id)
    await page.until(f"view.run?.isOver && {CHARTS}?.get('mapboxes')?._plot")
    return job_id


async def spans(page: Tab, chart: str) -> dict[str, list[float]]:
    return await page.run(SCALES.format(f"{CHARTS}.get('{chart}')._plot"))


async def test_a_single_point_stands_amid_its_axis(page: Tab, shown: Running, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = await start(shown, epochs=4, until=1, gate=str(gate))
    await at_epoch(shown, job_id, 1)
    await page.open(job_id)
    await page.until(f"{CHARTS}?.get('mapboxes')?._plot")
    assert (await spans(page, "mapboxes"))["x"] == [0.5, 1.5]
    await page.page.locator(".chart", has_text="Memory").scroll_into_view_if_needed()
    await page.until(f"{CHARTS}?.get('memory')?._plot")
    low, high = (await spans(page, "memory"))["x"]
    assert high - low < 120, "a time that stands alone has a minute around it"
    gate.touch()
    await page.until("view.run.isOver")


async def test_values_that_are_all_zero_are_a_line_along_the_bottom(page: Tab, shown: Running) -> None:
    await ended(shown, page, epochs=3, slope=0)
    assert (await spans(page, "mapboxes"))["y"] == [0, 1]


async def test_the_axis_follows_the_data_and_what_is_dragged_over(page: Tab, shown: Running) -> None:
    await ended(shown, page, epochs=12, slope=0.2)
    y = (await spans(page, "mapboxes"))["y"]
    most = await page.run("Math.max(...view.run.epochs.get('metric:metrics/mAP50(B)'))")
    assert y[0] == 0
    assert most < y[1] < 1.2 * most < 0.5
    over = page.page.locator(".chart .plot .u-over").first
    await over.scroll_into_view_if_needed()
    box = await over.bounding_box()
    assert box is not None
    mouse = page.page.mouse
    await mouse.move(box["x"] + 50, box["y"] + 20)
    await mouse.down()
    await mouse.move(box["x"] + 55, box["y"] + 100, steps=4)  # down: this chart's values
    await mouse.up()
    zoomed = await spans(page, "mapboxes")
    assert y[0] < zoomed["y"][0] < zoomed["y"][1] < y[1]
    assert zoomed["x"] == [1, 12]
    assert await page.run(f"[...{CHARTS}.values()].filter(chart => chart.span).length") == 1
    await page.page.get_by_role("button", name="Show all").click()
    assert (await spans(page, "mapboxes"))["y"] == y


async def test_a_chart_is_enlarged_and_names_the_best_epoch(page: Tab, shown: Running) -> None:
    await ended(shown, page, epochs=5, rates=[1, 1, 2])
    assert await page.run(f"{CHARTS}.get('mapboxes').data.marks") == [{"x": 4, "label": "best"}]
    names = page.page.locator(".chart", has_text="Learning rate").locator(".legend-item span")
    await expect(names).to_have_text(["weights and norms", "biases"], use_inner_text=True)
    chart = page.page.locator(".chart").first
    small = await chart.bounding_box()
    await chart.get_by_role("button", name="Enlarge").click()
    await page.until(f"{CHARTS}.get('mapboxes')._plot.width > 1000")
    large = await chart.bounding_box()
    assert small is not None and large is not None
    assert large["width"] > 3 * small["width"]
    assert large["height"] > 1.5 * small["height"]
    await chart.get_by_role("button", name="Make smaller").click()
    await page.until(f"{CHARTS}.get('mapboxes')._plot.width < 500")


async def test_two_fingers_zoom_and_one_leaves_scrolling_to_the_page(browser: Browser, shown: Running) -> None:
    async with tab(browser, shown.url, has_touch=True, viewport={"width": 390, "height": 844}) as page:
        await ended(shown, page, epochs=12)
        over = page.page.locator(".chart .plot .u-over").first
        assert await over.evaluate("element => getComputedStyle(element).touchAction") == "pan-y"
        await over.scroll_into_view_if_needed()
        box = await over.bounding_box()
        assert box is not None
        client = await page.context.new_cdp_session(page.page)

        async def fingers(kind: str, *places: float) -> None:
            y = box["y"] + box["height"] / 2
            points = [{"x": box["x"] + box["width"] * place, "y": y, "id": i} for i, place in enumerate(places)]
            await client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        await fingers("touchStart", 0.4, 0.6)
        await fingers("touchMove", 0.2, 0.8)
        await fingers("touchEnd")
        low, high = (await spans(page, "mapboxes"))["x"]
        assert 3 < low < 6 < 7 < high < 10


async def test_dashes_tell_lines_apart_where_colours_are_forced(page: Tab, shown: Running) -> None:
    await ended(shown, page, epochs=4)
    await page.page.emulate_media(forced_colors="active")
    dashes = f"[...{CHARTS}.values()].map(each => each._plot?.series.slice(1).map(line => String(line.dash ?? '')))"
    await page.until(f"{dashes}.every(all => !all || new Set(all).size === all.length)")
