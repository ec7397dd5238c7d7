"""The HTTP surface: what a client sends and what it gets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.workers import gpus
from tests.client import until
from tests.conftest import Running, serve
from tests.tiny import make_dataset

pytestmark = pytest.mark.timeout(60)  # the first start of a worker imports torch


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    async with serve(tmp_path / "data", program="tests.trainings:count") as running:
        yield running


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(make_dataset(tmp_path / "set"))


def payload(data: str, **changes: Any) -> dict[str, Any]:
    return {"model": "yolov8n.yaml", "hyperparameters": {"epochs": 3}, "fit_params": {"data": data}} | changes


async def test_a_training_is_accepted_runs_and_is_shown(service: Running, data: str) -> None:
    response = await service.http.post("/train", json=payload(data))
    assert response.status_code == 202
    accepted = response.json()
    job_id = accepted["job_id"]
    assert accepted == {
        "job_id": job_id,
        "status": "queued",
        "links": {
            "self": f"/jobs/{job_id}",
            "events": f"/jobs/{job_id}/events",
            **{name: f"/jobs/{job_id}/{name}" for name in ("logs", "artifacts", "cancel", "stop", "resume")},
        },
    }
    assert response.headers["location"] == f"/jobs/{job_id}"
    events = await service.events(job_id)
    assert [event["event"] for event in events if event["event"] not in ("tick", "log")] == [
        "queued",
        "started",
        *["epoch_end"] * 3,
        "completed",
    ]
    snapshot = await service.snapshot(job_id)
    assert snapshot["status"] == "completed"
    assert snapshot["model"] == "yolov8n.yaml"
    assert snapshot["fit_params"] == {"data": data}
    assert (snapshot["score"], snapshot["error"], snapshot["failure"], snapshot["reason"]) == (
        0.5,
        None,
        None,
        "finished",
    )
    assert snapshot["last_seq"] == events[-1]["seq"]
    assert snapshot["progress"]["epoch"] == 3
    assert isinstance(snapshot["updated_at"], float)
    assert snapshot["created_at"] <= snapshot["started_at"] <= snapshot["ended_at"]


async def test_the_worker_trains_on_a_clean_copy_of_the_dataset(service: Running, data: str) -> None:
    source = Path(data)
    source.write_text(source.read_text() + "download: |\n  raise SystemExit('ran')\nshell: rm -rf /\n")
    job_id = (await service.http.post("/train", json=payload(data))).json()["job_id"]
    await service.events(job_id)
    copy = (service.data / "jobs" / job_id / "data.yaml").read_text()
    assert "download" not in copy
    assert "shell" not in copy
    assert str(source.parent) in copy


async def test_a_job_whose_folder_cannot_be_written_is_none(service: Running, data: str) -> None:
    (service.data / "jobs").touch()
    response = await service.http.post("/train", json=payload(data))
    assert (response.status_code, "cannot be written" in response.json()["detail"]) == (503, True)
    assert (await service.http.get("/jobs")).json()["jobs"] == []


async def test_jobs_are_listed_newest_first_with_pages_and_a_filter(service: Running, data: str) -> None:
    ids = [(await service.http.post("/train", json=payload(data))).json()["job_id"] for _ in range(3)]
    for job_id in ids:
        await service.events(job_id)
    first = (await service.http.get("/jobs?limit=2")).json()
    assert [job["job_id"] for job in first["jobs"]] == ids[:0:-1]
    rest = (await service.http.get(first["next"])).json()
    assert ([job["job_id"] for job in rest["jobs"]], rest["next"]) == (ids[:1], None)
    assert len((await service.http.get("/jobs?status=completed")).json()["jobs"]) == 3
    assert (await service.http.get("/jobs?status=running")).json()["jobs"] == []
    for wrong in (
        "status=done",
        "status=failed,done",
        "limit=0",
        "limit=-1",
        "limit=5000",
        "cursor=x",
        f"q={'x' * 201}",
    ):
        assert (await service.http.get(f"/jobs?{wrong}")).status_code == 400


async def test_a_list_tells_how_many_there_are_whatever_its_page_shows(tmp_path: Path) -> None:
    none = dict.fromkeys(("queued", "running", "completed", "failed", "cancelled"), 0)
    async with serve(tmp_path / "data") as service:

        async def listed(**query: Any) -> tuple[list[str], dict[str, int]]:
            found = (await service.http.get("/jobs", params=query)).json()
            return [job["job_id"] for job in found["jobs"]], {**none, **found["counts"]}

        jobs = [await service.submit("count", epochs=1) for _ in range(3)] + [await service.submit("fail")]
        for job_id in jobs:
            await service.events(job_id)
        assert await listed(limit=1) == (jobs[3:], {**none, "completed": 3, "failed": 1})
        found = await listed(status="failed,completed", q=jobs[1].upper())
        assert found == ([jobs[1]], {**none, "completed": 1}), "counts are of the search, in all statuses"
        assert await listed(q="nowhere") == ([], none)
        rest = (await service.http.get("/jobs?status=completed&q=count&limit=2")).json()
        last = (await service.http.get(rest["next"])).json()
        pages = [*rest["jobs"], *last["jobs"]]
        assert [(job["job_id"], job["number"]) for job in pages] == list(zip(jobs[2::-1], (3, 2, 1), strict=True))


async def test_cancel_answers_202_again_and_409_once_the_job_has_ended(tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service:
        job_id = await service.submit("wait", gate=str(tmp_path / "never"))
        response = await service.http.post(f"/jobs/{job_id}/cancel")
        assert (response.status_code, response.json()["cancel_requested"]) == (202, True)
        events = await service.events(job_id)
        assert events[-1]["event"] == "cancelled"
        assert (await service.http.post(f"/jobs/{job_id}/cancel")).status_code == 202
        done = await service.submit("count")
        await service.events(done)
        response = await service.http.post(f"/jobs/{done}/cancel")
        assert (response.status_code, response.json()["detail"]) == (409, f"job {done} is completed")
        assert (await service.http.post("/jobs/nobody/cancel")).status_code == 404


async def test_a_waiting_job_tells_its_place_in_the_queue(tmp_path: Path) -> None:
    async with serve(tmp_path / "data") as service:
        gate = tmp_path / "gate"
        jobs = [await service.submit("wait", gate=str(gate)) for _ in range(3)]
        await until(lambda: service.state["store"].job(jobs[0]).progress)
        places = [(await service.snapshot(job_id))["queue_position"] for job_id in jobs]
        assert places == [None, 1, 2]
        gate.touch()
        for job_id in jobs:
            await service.events(job_id)


async def test_the_service_is_alive_at_once_and_ready_when_workers_can_start(service: Running) -> None:
    assert (await service.http.get("/healthz")).json() == {"status": "ok"}
    await asyncio.wait_for(asyncio.shield(service.state["readiness"].catalog), 30)
    response = await service.http.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})


async def test_a_service_whose_workers_cannot_start_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setattr("service.workers.worker.describe", leave)
    async with serve(tmp_path / "data", table=False) as service:
        response = await service.http.post("/train", json=payload(data))
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert "worker exit code 7" in response.json()["detail"]
        assert (await service.http.get("/readyz")).status_code == 503
        assert (await service.http.get("/healthz")).status_code == 200


def leave(queue: Any) -> None:
    raise SystemExit(7)


async def test_the_schema_is_the_one_that_payloads_are_checked_against(service: Running) -> None:
    schema = (await service.http.get("/schema/train")).json()
    assert schema["required"] == ["model", "fit_params"]
    hyperparameters = schema["properties"]["hyperparameters"]["properties"]
    fit_params = schema["properties"]["fit_params"]["properties"]
    assert hyperparameters["epochs"]["type"] == "integer"
    assert hyperparameters["epochs"]["minimum"] == 1
    assert all(rule.get("description") for rule in fit_params.values())
    assert not {"project", "save_dir", "resume", "cfg"} & fit_params.keys()
    assert set(fit_params) - set(hyperparameters) == {"data", "tick_interval", "preview", "strict_data"}
    assert len(hyperparameters) > 90
    # A client that fills defaults in must not override `hyperparameters`, which `fit_params` does.
    assert "default" in hyperparameters["epochs"]
    assert not [name for name in hyperparameters if "default" in fit_params[name]]


# What a request can get wrong


async def post(service: Running, body: Any, content_type: str = "application/json") -> tuple[int, dict[str, Any]]:
    response = await service.http.post("/train", content=body, headers={"Content-Type": content_type})
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert (await service.http.get("/jobs")).json()["jobs"] == []
    return response.status_code, problem


@pytest.mark.parametrize("body", [b"", b"{", b"{'a': 1}", b'{"model": NaN}', b"\xff\xfe", b"[" * 100_000])
async def test_a_body_that_is_not_json_is_a_400(service: Running, body: bytes) -> None:
    status, problem = await post(service, body)
    assert status == 400
    assert problem["detail"].startswith("the body is not JSON")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_of_another_type_is_a_415(service: Running, content_type: str) -> None:
    status, _ = await post(service, b"{}", content_type)
    assert status == 415


async def test_a_body_that_is_too_long_is_a_413(service: Running) -> None:
    status, problem = await post(service, b" " * 1_000_001)
    assert status == 413
    assert "1000000" in problem["detail"]


async def test_every_fault_of_a_payload_is_answered_at_once_with_its_place(service: Running, data: str) -> None:
    response = await service.http.post(
        "/train",
        json={
            "model": "yolov8m8",
            "hyperparameters": {"epoch": 3, "imgsz": "big", "project": "/etc", "lr0": 7},
            "fit_params": {"tick_interval": 0},
        },
    )
    assert response.status_code == 422
    errors = {error["pointer"]: error for error in response.json()["errors"]}
    assert set(errors) == {
        "/model",
        "/hyperparameters/epoch",
        "/hyperparameters/imgsz",
        "/hyperparameters/project",
        "/hyperparameters/lr0",
        "/fit_params/data",
        "/fit_params/tick_interval",
    }
    assert errors["/hyperparameters/epoch"]["suggestion"] == "epochs"
    assert errors["/model"]["suggestion"].startswith("yolov8m")
    assert (await service.http.get("/jobs")).json()["jobs"] == []


async def test_a_dataset_that_is_not_there_is_a_422(service: Running, tmp_path: Path) -> None:
    response = await service.http.post("/train", json=payload(str(tmp_path / "nothing.yaml")))
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error == {"pointer": "/fit_params/data", "detail": f"there is no file {tmp_path / 'nothing.yaml'}"}
    assert not (service.data / "jobs").exists()


async def test_unknown_addresses_and_methods_are_problems_too(service: Running) -> None:
    response = await service.http.get("/nothing")
    assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json")
    response = await service.http.get("/train")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert (await service.http.get("/jobs/nobody")).json()["detail"] == "no job 'nobody'"


async def test_a_payload_nested_without_end_is_refused_and_the_service_goes_on(service: Running, data: str) -> None:
    deep = "[" * 300 + "]" * 300
    body = f'{{"model": "yolov8n.yaml", "hyperparameters": {{"classes": {deep}}}, "fit_params": {{"data": "{data}"}}}}'
    status, problem = await post(service, body)
    assert (status, problem["errors"][0]["pointer"]) == (422, "")
    job_id = (await service.http.post("/train", json=payload(data))).json()["job_id"]
    assert (await service.events(job_id))[-1]["event"] == "completed"


async def test_datasets_outside_of_the_named_folders_are_refused(tmp_path: Path) -> None:
    inside, outside = make_dataset(tmp_path / "in" / "set"), make_dataset(tmp_path / "out")
    linked = tmp_path / "in" / "linked.yaml"
    linked.write_text(outside.read_text().replace("path:", "#") + f"path: {outside.parent}\n")
    options = {"program": "tests.trainings:count", "data_root": (tmp_path / "in",)}
    async with serve(tmp_path / "data", **options) as service:
        assert (await service.http.post("/train", json=payload(str(inside)))).status_code == 202
        for refused in (outside, linked):
            response = await service.http.post("/train", json=payload(str(refused)))
            assert response.status_code == 422
            assert "--data-root" in response.json()["errors"][0]["detail"]


# Who may call


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80", "[::1"])
async def test_a_foreign_host_is_refused(service: Running, host: str) -> None:
    response = await service.http.get("/jobs", headers={"Host": host})
    assert response.status_code in (400, 403)  # 400: what is no host at all, the server refuses itself
    assert "jobs" not in response.text or response.status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:80", "[::1]", "LOCALHOST"])
async def test_loopback_has_several_names(service: Running, host: str) -> None:
    assert (await service.http.get("/jobs", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
async def test_a_page_of_another_origin_may_neither_start_nor_read(service: Running, origin: str, data: str) -> None:
    headers = {"Origin": origin}
    assert (await service.http.post("/train", json=payload(data), headers=headers)).status_code == 403
    assert (await service.http.get("/jobs", headers=headers)).status_code == 403
    assert (await service.http.post("/demo", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403


async def test_its_own_page_and_allowed_origins_may(tmp_path: Path) -> None:
    async with serve(tmp_path / "data", allowed_origin=("https://ops.example",), allowed_host=("box.lan",)) as service:
        for headers in (
            {"Origin": service.url},
            {"Origin": "https://ops.example"},
            {"Host": "box.lan"},
            {"Host": "box.lan:8000", "Origin": "http://box.lan:8000"},
        ):
            assert (await service.http.get("/jobs", headers=headers)).status_code == 200
        origin = {"Origin": "https://ops.example"}
        allowed = (await service.http.get("/jobs", headers=origin)).headers["access-control-allow-origin"]
        assert allowed == "https://ops.example"
        sent = "content-type, idempotency-key, last-event-id"
        asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": sent}
        assert (await service.http.options("/train", headers=asked)).status_code == 200
        job_id = await service.submit("count")
        async with service.http.stream("GET", f"/jobs/{job_id}/events", headers=origin) as response:
            assert response.headers["access-control-allow-origin"] == "https://ops.example"
            assert "event: completed" in [line async for line in response.aiter_lines()]


async def test_another_address_than_loopback_is_refused() -> None:
    from service.errors import Forbidden
    from service.web.guard import check

    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost")], "server": ("192.0.2.7", 80)}
    with pytest.raises(Forbidden, match=r"192\.0\.2\.7"):
        check(scope, {"localhost"}, set())
    check(scope | {"server": ("127.0.0.1", 80)}, {"localhost"}, set())


# What the page asks for


async def test_datasets_under_the_roots_are_listed(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "sets" / "squares")
    async with serve(tmp_path / "data", data_root=(tmp_path / "sets",)) as service:
        answer = (await service.http.get("/datasets")).json()
    assert [entry["path"] for entry in answer["datasets"]] == [str(data)]
    assert answer["roots"] == [str(tmp_path / "sets")]
    assert "coco8.yaml" in answer["known"]
    assert answer["ready"] == []  # none is here, and nothing may be downloaded


async def test_what_a_training_can_have_is_told_beforehand(tmp_path: Path) -> None:
    archive = tmp_path / "data" / "datasets" / "coco8.zip"
    archive.parent.mkdir(parents=True)
    archive.touch()
    async with serve(tmp_path / "data", offline=True) as service:
        assert (await service.http.get("/datasets")).json()["ready"] == ["coco8.yaml"]
        models = (await service.http.get("/models")).json()
    assert models["offline"] is True
    assert models["gpus"] == len(gpus.gpus_to_use())
