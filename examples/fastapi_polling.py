"""Train in the background of a web application and poll: the library alone, without the service.

    pip install fastapi uvicorn
    uvicorn examples.fastapi_polling:app

    curl -X POST http://127.0.0.1:8000/train -H 'content-type: application/json' \
         -d '{"model": "yolov8n.yaml", "hyperparameters": {"epochs": 3}, "fit_params": {"data": "/abs/data.yaml"}}'
    curl http://127.0.0.1:8000/jobs/<job_id>

This is as much as fits on a page: jobs live in memory, whoever may call it may train on any path, and a crash of the
training takes the application with it. The service beside this example has answers to all of that.
"""

import threading
import uuid
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel

from AI.model_trainer import train_from_payload

app = FastAPI(title="YOLO training, by polling")

#: What `GET /jobs/<id>` shows, by id. A job is only ever changed by its own background task.
jobs: dict[str, dict[str, Any]] = {}

#: One training at a time; the others are queued until it is their turn.
one_at_a_time = threading.Lock()


class Payload(BaseModel):
    """What `train_from_payload` takes."""

    model: str
    hyperparameters: dict[str, Any] = {}
    fit_params: dict[str, Any]


@app.post("/train", status_code=202)
async def start(payload: Payload, background: BackgroundTasks) -> dict[str, Any]:
    """Accept a training; it runs in a thread after the answer is sent."""
    job_id = uuid.uuid4().hex
    jobs[job_id] = {"job_id": job_id, "status": "queued", "progress": None, "score": None, "error": None}
    background.add_task(train, jobs[job_id], payload.model_dump())
    return jobs[job_id]


@app.get("/jobs/{job_id}")
async def show(job_id: str) -> dict[str, Any]:
    """The job's status and its newest event."""
    if job_id not in jobs:
        raise HTTPException(404, f"there is no job {job_id}")
    return jobs[job_id]


def train(job: dict[str, Any], payload: dict[str, Any]) -> None:
    """Run one training and keep its job up to date."""

    def progress(event: dict[str, Any]) -> None:
        job["progress"] = event

    with one_at_a_time:
        job["status"] = "running"
        try:
            payload["fit_params"]["progress_callback"] = progress
            _, score = train_from_payload(payload)
        except Exception as error:
            job.update(error=f"{type(error).__name__}: {error}", status="failed")
        else:
            job.update(score=score, status="completed")
