"""A training is asked for: its payload is checked, its dataset read, and it is a job on the disk. No HTTP in here."""

import hashlib
import secrets
import shutil
from dataclasses import dataclass

from service.datasets import description
from service.encoding import encode
from service.errors import CannotTrain, Fault, StoreUnavailable
from service.job import Job
from service.new_events import Request
from service.runner import Runner
from service.settings import Settings
from service.store.store import Store
from service.trainings import train_request
from service.trainings.catalog import Catalog
from service.trainings.requests import Arguments, TrainRequest
from service.trainings.train_request import Payload
from service.workers.tasks import task_of


@dataclass(frozen=True)
class Accepted:
    """What became of a request."""

    job: Job
    #: False: the same request came before, and this is the job that it made.
    is_new: bool


@dataclass(frozen=True)
class Submission:
    """Takes trainings. Any thread may call, and waits for the disk."""

    settings: Settings
    store: Store
    runner: Runner
    catalog: Catalog

    def check(self, body: bytes) -> TrainRequest:
        """The request that a body is. Of its dataset it only says what is wrong where something else is, too.

        Raises InvalidJson, InvalidPayload.
        """
        payload = train_request.read(body, self.catalog)
        weights = self.settings.folder / "weights" if self.settings.offline else None
        others = train_request.model_faults(payload, self.catalog, weights, self.settings.model_roots)
        if payload.faults or others:
            others += self._data_faults(payload, payload.model if not others else None)
        return payload.request(others)

    def submit(self, request: TrainRequest, key: str | None = None) -> Accepted:
        """The job of a request, on the disk and queued; `key` is the request's own name for itself.

        Raises CannotTrain: when the dataset is not there, or not fit for it. Raises KeyReused, QueueFull, NotReady,
        StoreUnavailable.
        """
        content = _content(request)
        digest = hashlib.sha256(encode(content)).hexdigest()
        if key is not None and (known := self.store.replayed(key, digest)):
            return Accepted(known, is_new=False)
        clean = self._dataset(request.model, request.hyperparameters, request.fit_params)
        job = Job(id=secrets.token_hex(6), request=content)
        folder = self.settings.folder / "jobs" / job.id
        is_new = False
        try:
            if clean is not None:
                description.write(clean, folder)
            made = self.runner.submit(job, key, digest)
            is_new = made.id == job.id
        except OSError as error:
            raise StoreUnavailable(f"the job's folder cannot be written: {error.strerror}") from error
        finally:
            if not is_new:  # refused, or the same request came twice at once
                shutil.rmtree(folder, ignore_errors=True)
        return Accepted(made, is_new)

    def _data_faults(self, payload: Payload, model: str | None) -> list[Fault]:
        """What is wrong with the dataset of a payload that is refused for something else: told in one answer."""
        hyperparameters, fit_params = (payload.section(name) for name in train_request.SECTIONS)
        if "data" not in fit_params or not payload.has(description.POINTER):
            return []
        try:
            self._dataset(model, hyperparameters, fit_params)
        except CannotTrain as error:
            return [fault for fault in error.faults if payload.has(fault.pointer)]
        return []

    def _dataset(
        self, model: str | None, hyperparameters: Arguments, fit_params: Arguments
    ) -> description.Dataset | None:
        """What a training may see of its dataset. Raises CannotTrain."""
        data, folder = fit_params["data"], self.settings.folder / "datasets"
        if isinstance(data, str):
            data = description.named(data, self.catalog.datasets, folder, self.settings.may_download)
        if data is None:  # what is still to be downloaded is read by the worker
            return None
        section = "fit_params" if "split" in fit_params else "hyperparameters"
        return description.read(
            data,
            task_of(model) if model is not None else None,
            self.settings.dataset_roots,
            arguments={**hyperparameters, **fit_params},
            split_pointer=f"/{section}/split",
        )


def _content(request: TrainRequest) -> Request:
    return {
        "model": request.model,
        "hyperparameters": {**request.hyperparameters},
        "fit_params": {**request.fit_params},
        "priority": request.priority,
        "max_runtime_seconds": request.max_runtime_seconds,
    }
