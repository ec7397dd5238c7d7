"""The log's contract: numbered without holes, committed before shown, closed by one final event."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from service.errors import DataDirInUse, JobFinal, JobNotFound, LogClosed, LogDamaged, StaleAttempt, StoreUnavailable
from service.job import Job
from service.snapshot import Best, Status
from service.store.store import Store, listing
from service.store.transaction import Change
from tests import said
from tests.client import until


def job(name: str = "a") -> Job:
    return Job(id=name, request={"model": "m", "hyperparameters": {}, "fit_params": {"data": "/d.yaml"}})


def log(line: str) -> dict[str, object]:
    return said.log(line)


def test_a_new_job_has_its_queued_event_as_number_one(store: Store) -> None:
    created = store.create(job())
    assert (created.status, created.last_seq, created.number) == (Status.QUEUED, 1, 1)
    (record,) = store.read("a")
    event = orjson.loads(record.data)
    assert record.seq == event["seq"] == 1
    assert (event["event"], event["job_id"], event["attempt"]) == ("queued", "a", 1)
    assert event["fit_params"] == {"data": "/d.yaml"}


def test_numbers_have_no_holes_whoever_appends(store: Store) -> None:
    store.create(job())
    threads = [
        threading.Thread(target=lambda n=n: [store.append("a", 1, log(f"{n}.{i}")) for i in range(200)])
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.append("a", 1, said.completed()).result()
    records = [*store.read("a", 0, 600), *store.read("a", 600, 600)]
    assert [record.seq for record in records] == list(range(1, 1003))
    lines = [orjson.loads(record.data)["lines"][0] for record in records[1:-1]]
    for n in range(5):
        assert [line for line in lines if line.startswith(f"{n}.")] == [f"{n}.{i}" for i in range(200)]


def test_a_tick_is_not_logged_but_is_in_the_snapshot(store: Store) -> None:
    store.create(job())
    after = store.append("a", 1, said.tick(2, losses={"box": float("nan")})).result()
    assert after.last_seq == 1
    assert len(store.read("a")) == 1
    progress = store.job("a").snapshot()["progress"]
    assert (progress["event"], progress["epoch"], progress["losses"]) == ("tick", 2, {"box": None})


def test_exactly_one_final_event_ends_an_attempt(store: Store) -> None:
    store.create(job())
    store.append("a", 1, said.completed(0.5)).result()
    for late in ("failed", "completed", "cancelled", "log", "tick", "interrupted"):
        with pytest.raises(LogClosed):
            store.append("a", 1, said.__dict__[late]()).result()
    assert store.job("a").status == "completed"
    assert store.job("a").score == 0.5
    assert store.job("a").last_seq == 2


def test_the_next_attempt_goes_on_in_the_same_log(store: Store) -> None:
    store.create(job())
    store.append("a", 1, said.failed()).result()
    with pytest.raises(StaleAttempt):
        store.append("a", 3, said.queued()).result()
    again = store.append("a", 2, said.queued()).result()
    assert (again.status, again.attempt, again.error, again.last_seq) == ("queued", 2, None, 3)
    with pytest.raises(StaleAttempt):
        store.append("a", 1, log("from a zombie")).result()
    with pytest.raises(LogClosed):
        store.append("a", 2, said.queued()).result()


def test_whatever_ends_an_acknowledged_cancel_is_cancelled(store: Store) -> None:
    store.create(job())
    assert store.request_cancel("a").cancel_requested
    assert store.request_cancel("a").cancel_requested
    ended = store.append("a", 1, said.completed(1.0)).result()
    assert (ended.status, ended.score) == ("cancelled", None)
    assert store.request_cancel("a").status == "cancelled"


def test_a_job_that_ended_by_itself_cannot_be_cancelled(store: Store) -> None:
    store.create(job())
    store.append("a", 1, said.completed()).result()
    with pytest.raises(JobFinal):
        store.request_cancel("a")
    with pytest.raises(JobNotFound):
        store.request_cancel("b")


def test_a_worker_cannot_forge_the_log_s_own_fields(store: Store) -> None:
    store.create(job())
    store.append("a", 1, {"event": "log", "seq": 99, "job_id": "b", "attempt": 7, "lines": []}).result()
    event = orjson.loads(store.read("a")[1].data)
    assert (event["seq"], event["job_id"], event["attempt"]) == (2, "a", 1)


def test_changes_are_on_the_disk_before_they_are_shown(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def look(changes: list[Change]) -> None:
        with sqlite3.connect(tmp_path / "log.db") as other:
            (count,) = other.execute("SELECT count(*) FROM events").fetchone()
        other.close()
        seen.append((changes[-1].job.last_seq, count))

    store = Store(tmp_path, look)  # type: ignore[arg-type]
    store.create(job())
    for number in range(20):
        store.append("a", 1, log(str(number)))
    store.close()
    assert seen[-1] == (21, 21)
    assert all(shown <= on_disk for shown, on_disk in seen)


def test_a_reopened_store_has_every_event_and_goes_on_counting(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.create(job("a"))
    first.create(job("b"))
    first.append("a", 1, said.started(1, "2.0"))
    first.append("b", 1, said.completed()).result()
    before = first.job("a").snapshot()
    first.close()
    second = Store(tmp_path)
    assert [job.id for job in second.unfinished()] == ["a"]
    assert second.job("a").snapshot() == before
    assert second.append("a", 1, log("on")).result().last_seq == 3
    second.close()


def test_a_data_folder_has_one_owner(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(DataDirInUse, match=r"one process owns one data folder: .* another --data-dir"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_jobs_are_listed_newest_first_in_pages(store: Store) -> None:
    for number in range(5):
        store.create(job(f"j{number}"))
    store.append("j1", 1, said.completed()).result()
    assert [found.id for found in store.jobs(limit=2)] == ["j4", "j3"]
    assert [found.id for found in store.jobs(before=4, limit=10)] == ["j2", "j1", "j0"]
    assert [found.id for found in store.jobs(statuses=["completed"])] == ["j1"]


def test_jobs_are_found_by_the_words_in_their_id_model_and_dataset(store: Store) -> None:
    sets = ["/Größe/Roads/data.yaml", "/sets/roads 2", "/sets/50%_off", None]
    for number, data in enumerate(sets):
        request = {"model": f"YOLO11{'ns'[number % 2]}.pt", "fit_params": {"data": data}}
        store.create(Job(id=f"j{number}", request=request))
    store.append("j1", 1, said.failed()).result()

    def found(search: str, *statuses: str) -> list[str]:
        return [job.id for job in store.jobs(search=search, statuses=statuses)]

    assert found("roads") == ["j1", "j0"]
    assert found("  YOLO11N   roads ") == found("roads GRÖSSE") == ["j0"], "all of its words, in any case"
    assert found("j3") == ["j3"]
    assert found("%_") == ["j2"], "no sign means another one"
    assert found("' OR 1") == found("roads%data") == []
    assert (found("yolo", "failed"), found("roads", "queued", "failed")) == (["j1"], ["j1", "j0"])
    assert [job.id for job in store.jobs(search="yolo", before=4, limit=2)] == ["j2", "j1"]
    assert (store.counts(), store.counts("roads")) == ({"queued": 3, "failed": 1}, {"queued": 1, "failed": 1})
    assert store.counts("nowhere") == {}


def test_a_closed_store_refuses_and_closes_twice(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.create(job())


def test_a_log_that_cannot_be_written_refuses_requests_and_keeps_events(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create(job())
    with sqlite3.connect(tmp_path / "log.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")  # a foreign writer holds the file for longer than the busy time-out
        appended = store.append("a", 1, log("kept"))
        with pytest.raises(StoreUnavailable):
            store.create(job("b"))
        assert not appended.done()
        other.execute("ROLLBACK")
    other.close()
    assert appended.result(20).last_seq == 2
    with pytest.raises(JobNotFound):
        store.job("b")
    store.close()


def test_a_place_in_the_queue_is_shown_and_not_written(tmp_path: Path) -> None:
    """Each start of a job moves all that wait: a thousand rows, for what a restart tells anew."""
    store = Store(tmp_path)
    store.create(job())
    store.place(["x", "y", "a"])
    store.append("a", 1, said.log()).result()
    assert store.places == ("x", "y", "a")
    assert [found.queue_position for found in (store.job("a"), *store.jobs(), *store.jobs(statuses=["queued"]))] == [
        3
    ] * 3
    store.place(["y", "a"])
    store.append("a", 1, said.log()).result()
    assert store.job("a").queue_position == 2
    store.close()
    again = Store(tmp_path)
    assert (again.job("a").queue_position, again.job("a").last_seq) == (2, 3), "with the next event it is"
    again.place(["a"])
    again.close()
    last = Store(tmp_path)
    assert last.job("a").queue_position == 2
    last.close()


async def test_a_refused_request_is_not_the_last_word(tmp_path: Path) -> None:
    """Nothing else waits for the writer: by itself it must find that the file can be written again."""
    store = Store(tmp_path)
    with sqlite3.connect(tmp_path / "log.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await asyncio.to_thread(store.create, job())
        assert store.failing
        other.execute("ROLLBACK")
    other.close()
    await until(lambda: store.failing is None)
    assert store.create(job()).last_seq == 1
    store.close()


def test_what_cannot_be_written_as_json_is_refused_and_the_log_goes_on(store: Store) -> None:
    store.create(job())
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(TypeError):
        store.append("a", 1, {**said.log(), "lines": deep}).result()
    with pytest.raises(TypeError):
        store.create(Job(id="b", request={"model": deep}))
    assert store.append("a", 1, log("on")).result().last_seq == 2
    assert [found.id for found in store.jobs()] == ["a"]


def test_a_listener_that_raises_does_not_stop_the_log(tmp_path: Path) -> None:
    def fail(changes: object) -> None:
        raise RuntimeError("no")

    store = Store(tmp_path, fail)
    assert store.create(job()).last_seq == 1
    assert store.append("a", 1, log("on")).result().last_seq == 2
    store.close()


def test_a_page_ends_early_where_events_are_large(store: Store) -> None:
    store.create(job())
    for _ in range(20):
        store.append("a", 1, log("x" * 50_000))
    store.append("a", 1, said.completed()).result()
    sizes, after = [], 0
    while records := store.read("a", after):
        sizes.append(sum(len(record.data) for record in records))
        after = records[-1].seq or 0
    assert after == 22
    assert max(sizes) < 320_000


# Older logs

#: The tables of version 1, as that version made them.
VERSION_1 = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, state BLOB NOT NULL
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE events (
    job INTEGER NOT NULL REFERENCES jobs (number), seq INTEGER NOT NULL, type TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def old_log(folder: Path) -> None:
    folder.mkdir()
    state = {
        "id": "old",
        "request": {"model": "Möbel.PT", "fit_params": {"data": "/Sets/old"}},
        "number": 1,
        "status": "completed",
        "last_seq": 1,
    }
    with sqlite3.connect(folder / "log.db") as log:
        log.executescript(VERSION_1)
        log.execute("INSERT INTO jobs (id, status, state) VALUES ('old', 'completed', ?)", (orjson.dumps(state),))
        log.execute("INSERT INTO events VALUES (1, 1, 'completed', ?)", (b'{"event":"completed"}',))
    log.close()


def test_a_log_of_the_first_version_is_brought_up_to_date_with_a_backup(tmp_path: Path) -> None:
    old_log(tmp_path / "data")
    for life in range(2):
        store = Store(tmp_path / "data")
        assert store.job("old").status == "completed"
        assert [job.id for job in store.jobs(search="MÖBEL sets")] == ["old"]
        assert [record.seq for record in store.read("old")] == [1]
        assert store.create(Job(id=f"job{life}", request={"model": "m"}), f"key{life}", "digest")
        assert store.deletions() == []
        store.close()
    with sqlite3.connect(tmp_path / "data" / "log.v1.db") as backup:
        assert backup.execute("PRAGMA user_version").fetchone() == (1,)
        assert backup.execute("SELECT id FROM jobs").fetchall() == [("old",)]
    backup.close()


def test_a_damaged_row_of_an_old_log_is_told_of_when_it_is_read(tmp_path: Path) -> None:
    old_log(tmp_path / "data")
    with sqlite3.connect(tmp_path / "data" / "log.db") as log:
        log.execute("INSERT INTO jobs (id, status, state) VALUES ('torn', 'failed', ?)", (b'{"id":',))
    log.close()
    with closing(Store(tmp_path / "data")) as store:
        assert store.job("old").status == "completed"
        with pytest.raises(LogDamaged):
            store.job("torn")


def test_a_new_log_has_the_tables_of_one_that_was_brought_up_to_date(tmp_path: Path) -> None:
    old_log(tmp_path / "old")
    tables = []
    for folder in ("old", "new"):
        Store(tmp_path / folder).close()
        with sqlite3.connect(tmp_path / folder / "log.db") as log:
            names = [name for (name,) in log.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")]
            tables.append({name: log.execute(f"PRAGMA table_info({name})").fetchall() for name in sorted(names)})
        log.close()
    assert tables[0] == tables[1]


def test_a_migration_that_was_cut_off_starts_again(tmp_path: Path) -> None:
    old_log(tmp_path / "data")
    (tmp_path / "data" / "log.v1.db").write_bytes(b"half a backup")
    Store(tmp_path / "data").close()
    with sqlite3.connect(tmp_path / "data" / "log.v1.db") as backup:
        assert backup.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
    backup.close()


def test_a_log_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    old_log(tmp_path / "data")
    with sqlite3.connect(tmp_path / "data" / "log.db") as log:
        log.execute("PRAGMA user_version = 99")
    log.close()
    with pytest.raises(StoreUnavailable, match="version 99"):
        Store(tmp_path / "data")
    assert not (tmp_path / "data" / "log.v99.db").exists()


def test_a_page_of_jobs_is_found_by_an_index(store: Store) -> None:
    for sql in (
        "SELECT state FROM jobs WHERE number < 9 ORDER BY number DESC LIMIT 3",
        "SELECT number FROM jobs WHERE status = 'failed' AND number < 9 AND instr(search, 'x') ORDER BY number DESC",
        "SELECT status, count(*) FROM jobs WHERE instr(search, 'x') GROUP BY status",
        "SELECT seq FROM events WHERE job = 1 AND seq > 5 ORDER BY seq LIMIT 3",
    ):
        plan = " ".join(str(row[3]) for row in store._query(f"EXPLAIN QUERY PLAN {sql}"))
        assert "USING" in plan and "TEMP B-TREE" not in plan, plan


def test_a_search_reads_no_job_that_it_does_not_show(store: Store) -> None:
    """Their states are kilobytes each; the index has all that a search needs."""
    for sql, arguments in (listing.page(["failed", "queued"], "a b", 9, 3), listing.counts("a b")):
        plan = [str(row[3]) for row in store._query(f"EXPLAIN QUERY PLAN {sql}", *arguments)]
        tables = [step for step in plan if step.startswith(("SEARCH jobs", "SCAN jobs"))]
        assert tables, plan
        assert all("COVERING INDEX jobs_by_status" in step or "rowid=?" in step for step in tables), plan


def test_the_best_epoch_is_kept_while_ticks_and_worse_ones_follow(store: Store) -> None:
    store.create(job())
    for epoch, fitness in ((1, 0.2), (2, 0.5), (3, 0.4)):
        best = max(0.5 if epoch > 1 else 0.2, fitness)
        store.append("a", 1, said.epoch_end(epoch, metrics={"m": fitness}, fitness=fitness, best_fitness=best))
    store.append("a", 1, said.tick(4)).result()
    assert store.job("a").best == Best(2, 0.5, {"m": 0.5})
    store.append("a", 1, said.train_end(4, best_epoch=2, score=0.6, metrics={"m": 0.6})).result()
    assert store.job("a").best == Best(2, 0.6, {"m": 0.6})


def test_jobs_are_left_though_one_of_them_was_just_deleted(store: Store) -> None:
    store.create(job())
    store.leave(["gone", "a"], 10)
    assert store.job("a").left
