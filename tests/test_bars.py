"""What is left of Ultralytics' progress bars: a line for each that is finished."""

import gc
import io
import threading
from typing import Any

import pytest

from service.workers.bars import MAX_OPEN, Bars
from service.workers.output import clean


class _Stream(io.StringIO):
    """As the worker's stdout: what is `progress` to Ultralytics goes to the bars."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self.progress = bars.show


@pytest.fixture
def bar() -> Any:
    from ultralytics.utils.tqdm import TQDM

    return TQDM


def rows(bars: Bars) -> list[str]:
    return [clean(row) for row in bars.take()]


def test_a_finished_bar_leaves_its_text_and_its_numbers(bar: Any) -> None:
    bars = Bars()
    stream = _Stream(bars)
    for count in (number := bar(range(3), desc="Reading", file=stream)):
        number.set_description(f"{count + 1} read")
        assert rows(bars) == [], "one that runs leaves nothing yet"
    (row,) = rows(bars)
    assert row.startswith("3 read: 3/3 ")
    assert not set("━─╸%") & set(row)
    assert stream.getvalue().strip() == "", "no frame goes the other way"


def test_the_columns_of_a_row_stand_where_they_stood(bar: Any) -> None:
    bars = Bars()
    with bar(total=1, desc=("%11s" * 3) % ("1/2", "0G", "3.25"), file=_Stream(bars)) as running:
        running.update()
    assert rows(bars)[0].startswith("        1/2         0G       3.25: 1/1 ")


def test_a_bar_that_breaks_off_leaves_how_far_it_came(bar: Any) -> None:
    bars = Bars()
    for number in bar(range(4), desc="Training", file=_Stream(bars)):
        if number == 1:
            break
    assert rows(bars)[0].startswith("Training: 1/4 ")


def test_a_bar_that_is_only_shown_leaves_its_row(bar: Any) -> None:
    bars = Bars()
    bar(None, desc="train: Scanning labels.cache... 8 images", total=8, initial=8, file=_Stream(bars))
    gc.collect()
    assert rows(bars)[0].startswith("train: Scanning labels.cache... 8 images: 8/8 ")


def test_bytes_and_bars_without_an_end_are_cleaned_too(bar: Any) -> None:
    bars = Bars()
    with bar(total=2_000_000, desc="Downloading", unit="B", unit_scale=True, file=_Stream(bars)) as running:
        running.update(2_000_000)
    with bar(total=None, desc="Counting", file=_Stream(bars)) as running:
        running.update(7)
    download, counting = rows(bars)
    assert download.startswith("Downloading: 2.0MB ")
    assert counting.startswith("Counting: 7 ")


def test_rows_belong_to_the_thread_whose_bars_they_were(bar: Any) -> None:
    bars = Bars()
    other = threading.Thread(target=lambda: bar(total=1, desc="elsewhere", file=_Stream(bars)).close())
    other.start()
    other.join()
    bar(total=1, desc="here", file=_Stream(bars)).close()
    assert [row.partition(":")[0] for row in rows(bars)] == ["here"]


def test_bars_that_nobody_finishes_take_no_memory() -> None:
    bars = Bars()
    for number in range(MAX_OPEN * 3):
        bars.show(number, f"frame {number}")
    bars.show(0, "")
    assert bars.take() == []
    bars.show(MAX_OPEN * 3 - 1, "")
    assert bars.take() == [f"frame {MAX_OPEN * 3 - 1}"]
    assert len(bars._open) < MAX_OPEN
