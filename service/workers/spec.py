"""What a worker is told, and what the attempt that it makes may take.

The runner (for a training) and the inspections (for a dataset) write a spec; a worker's program reads it. It is the one
thing that is pickled, and it goes one way only: from the service to its own worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.going_on import GoOn
from service.workers.limits import Limits

#: What the service asks of a worker: to begin, first, and then perhaps to end.
BEGIN, STOP, CANCEL = b"begin", b"stop", b"cancel"
#: Whether a stop has come.
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """What every worker is told."""

    #: `module:function`; the function is given this spec.
    program: str
    #: The job's id, or a name of the inspection's own.
    id: str
    #: The worker's own folder: it works there, and finds the checked copy of the dataset there.
    folder: Path
    #: Label caches, kept for the next worker that reads the same dataset.
    cache_dir: Path
    #: Datasets that are known by name, and what zips held.
    datasets_dir: Path
    #: As the request had them: Ultralytics' arguments, and the library's.
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    fit_params: Mapping[str, object] = field(default_factory=dict)
    #: Whether nothing may be downloaded.
    offline: bool = False
    #: What it may use of the machine.
    limits: Limits = field(default_factory=Limits)
    #: Begin as if a stop had come already: one came before the attempt before was interrupted.
    stop: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSpec(Spec):
    """What the worker of a training is told."""

    attempt: int
    model: str
    #: Official weights are looked for here, and downloaded to here.
    weights_dir: Path
    #: CPU threads: `all`, `stock`, or a number.
    threads: str = "all"
    #: The GPU, as CUDA_VISIBLE_DEVICES names it; None: the CPU.
    device: str | None = None
    plan: GoOn = GoOn()  # noqa: RUF009 (immutable)
    #: The `last.pt` that the plan goes on from; None: it begins with the first epoch.
    checkpoint: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectSpec(Spec):
    """What the worker that looks through a dataset is told; `fit_params` are those that bear on the dataset."""

    #: None: what the dataset's file tells.
    task: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What an attempt may take; its worker is not told."""

    #: Seconds from a cancel to SIGTERM.
    grace_seconds: float = 5.0
    #: Seconds without any sign of progress; 0: as long as it likes.
    stalled_seconds: float = 0.0
    #: Seconds from its start to its end; None: as long as it likes.
    runtime_seconds: float | None = None
    #: Bytes of text that its log may have.
    log_bytes: int = 16_000_000
