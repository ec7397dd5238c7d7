"""The log's writer: whoever puts a command hears of its end, also when the writer leaves or hangs."""

import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from service.errors import StoreUnavailable
from service.job import Job
from service.store.commands import Place
from service.store.store import Store
from service.store.transaction import Transaction
from tests import said

LINE = said.log("x")


def test_an_append_that_comes_beside_the_close_is_written_or_refused(tmp_path: Path) -> None:
    """It had seen that the store is open, and then put what nobody took any more: its future waited for ever."""
    store = Store(tmp_path)
    store.create(Job(id="a", request={}))
    closer = threading.Thread(target=store.close)

    class Slow(deque[Any]):
        def append(self, item: Any) -> None:
            closer.start()
            closer.join(0.2)  # as much as it can do before this is in the queue
            super().append(item)

    store._writer._queue = Slow()
    appended = store.append("a", 1, LINE)
    closer.join()
    assert appended.done()
    assert appended.result().last_seq == 2
    with pytest.raises(StoreUnavailable, match="shutting down"):
        store.append("a", 1, LINE)


def test_everything_that_was_put_is_settled_by_the_close(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create(Job(id="a", request={}))
    futures: list[Any] = []
    busy = threading.Event()

    def append() -> None:
        try:
            while True:
                futures.append(store.append("a", 1, LINE))
                if len(futures) >= 1_000:
                    busy.set()
        except StoreUnavailable:
            pass

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert busy.wait(10)
    store.close()
    for thread in threads:
        thread.join()
    assert all(future.done() for future in futures)


def test_a_commit_that_hangs_is_told_and_requests_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.writer.REQUEST_SECONDS", 0.0)
    store = Store(tmp_path)
    store.create(Job(id="a", request={}))
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(log: Transaction, order: tuple[str, ...]) -> None:
        hangs.set()
        goes_on.wait()

    monkeypatch.setattr(Transaction, "place", hang)
    hung = store._writer.put(Place(()), durable=False)
    hangs.wait()
    assert store.failing == "the log takes too long to write"
    with pytest.raises(StoreUnavailable, match="too long"):
        store.request_cancel("a")
    assert store.job("a").id == "a" and store.counts() == {"queued": 1}, "what is in memory is told meanwhile"
    goes_on.set()
    hung.result()
    assert store.failing is None
    store.close()


def test_a_fault_in_the_commit_itself_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer's thread used to end with it, and whoever waited for it waited for ever."""
    store = Store(tmp_path)
    store.create(Job(id="a", request={}))
    write_jobs, broken = Transaction.write_jobs, threading.Event()

    def break_once(transaction: Transaction) -> None:
        if not broken.is_set():
            broken.set()
            raise RuntimeError("no such luck")
        write_jobs(transaction)

    monkeypatch.setattr(Transaction, "write_jobs", break_once)
    assert store.append("a", 1, LINE).result(20).last_seq == 2
    assert broken.is_set()
    assert store.failing is None
    assert [record.seq for record in store.read("a")] == [1, 2]
    store.close()


def test_jobs_are_counted_as_they_change(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("a", "b", "c"):
        store.create(Job(id=name, request={}))
    store.append("a", 1, said.started())
    store.append("b", 1, said.failed()).result()
    assert store.counts() == {"running": 1, "failed": 1, "queued": 1}
    store.append("a", 1, said.completed()).result()
    store.delete("b")
    assert store.counts() == {"completed": 1, "queued": 1}
    store.close()
    again = Store(tmp_path)
    assert again.counts() == {"completed": 1, "queued": 1}
    again.close()
