"""What a user of a generated client writes: start a training, wait for its end, read its events.

`test_generated_clients` makes `yolo_trainer_client` from the OpenAPI document, has mypy check this, and runs it.
"""

import json
import sys
import time

from yolo_trainer_client import Client
from yolo_trainer_client.api.default import events, show_job, train
from yolo_trainer_client.models import (
    Accepted,
    CompletedEvent,
    EpochEndEvent,
    EventPage,
    Snapshot,
    Status,
    TrainRequest,
    TrainRequestFitParams,
    TrainRequestHyperparameters,
)


def snapshot_of(client: Client, job_id: str) -> Snapshot:
    found = show_job.sync(job_id, client=client)
    assert isinstance(found, Snapshot), found
    return found


def main(url: str, data: str) -> None:
    with Client(base_url=url, headers={"Accept": "application/json"}, raise_on_unexpected_status=True) as client:
        body = TrainRequest(
            model="yolov8n.yaml",
            fit_params=TrainRequestFitParams(data=data),
            hyperparameters=TrainRequestHyperparameters(epochs=2),
        )
        accepted = train.sync(client=client, body=body)
        assert isinstance(accepted, Accepted), accepted
        while (snapshot := snapshot_of(client, accepted.job_id)).status in (Status.QUEUED, Status.RUNNING):
            time.sleep(0.05)
        page = events.sync(accepted.job_id, client=client)
        assert isinstance(page, EventPage), page
        epochs = [event.epoch for event in page.events if isinstance(event, EpochEndEvent)]
        scores = [event.score for event in page.events if isinstance(event, CompletedEvent)]
        print(json.dumps({"status": snapshot.status.value, "epochs": epochs, "scores": scores}))


if __name__ == "__main__":
    main(*sys.argv[1:])
