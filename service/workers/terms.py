"""What holds for every training of a service, and what follows for one: its spec, its bounds, its folder."""

from dataclasses import dataclass, field
from pathlib import Path

from AI.model_trainer.checkpoints import generation
from service.job import Job
from service.workers.limits import Limits
from service.workers.spec import Bounds, TrainSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """The settings that bear on trainings."""

    data_dir: Path
    #: What a worker runs, as `module:function`.
    program: str = "service.workers.programs:train"
    threads: str = "all"
    offline: bool = False
    limits: Limits = field(default_factory=Limits)
    max_log_bytes: int = 16_000_000
    grace_seconds: float = 5.0
    stalled_seconds: float = 0.0

    def spec(self, job: Job, device: str | None) -> TrainSpec:
        """What the worker of the job's newest attempt is told; `device` is its GPU, None for the CPU."""
        last = generation(self.checkpoints(job), job.plan.after_epoch).last
        return TrainSpec(
            program=self.program,
            id=job.id,
            attempt=job.attempt,
            model=job.request["model"],
            hyperparameters=job.request.get("hyperparameters", {}),
            fit_params=job.request["fit_params"],
            plan=job.plan,
            checkpoint=last if job.plan.after_epoch else None,
            stop=job.stop_requested,  # before an interruption
            folder=self._folder(job),
            cache_dir=self.data_dir / "cache" / "labels",
            datasets_dir=self.data_dir / "datasets",
            weights_dir=self.data_dir / "weights",
            offline=self.offline,
            threads=self.threads,
            limits=self.limits,
            device=device,
        )

    def bounds(self, job: Job) -> Bounds:
        """What the attempt may take."""
        return Bounds(
            grace_seconds=self.grace_seconds,
            stalled_seconds=self.stalled_seconds,
            runtime_seconds=job.request.get("max_runtime_seconds"),
            log_bytes=max(0, self.max_log_bytes - job.log_bytes),
        )

    def checkpoints(self, job: Job) -> Path:
        """The folder of the copies that the job can go on from."""
        return self._folder(job) / "checkpoints"

    def _folder(self, job: Job) -> Path:
        return self.data_dir / "jobs" / job.id
