"""Where a training stands at one moment, and what that says about the time it still needs."""

from dataclasses import dataclass, field

from AI.model_trainer.events import Numbers


@dataclass(frozen=True)
class Moment:
    """One moment of a training. Times are `time.monotonic()` seconds.

    The training's thread makes a new one after each batch; the tick thread only reads. So a tick never mixes
    two epochs, and neither thread waits for the other.
    """

    #: The training's start, set-up included.
    began: float
    total_epochs: int
    #: Counted from 1; 0 during set-up.
    epoch: int = 0
    #: Batches of this pass through the data: done, and all.
    batch: int = 0
    batches: int | None = None
    #: The same of a validation; None while there is none.
    val_batch: int | None = None
    val_batches: int | None = None
    #: When this pass began and last got on, and its pace so far (until its first batch: the pace of the one before).
    pass_began: float = 0.0
    batch_ended: float = 0.0
    images_per_second: float | None = None
    #: The epoch completed last and when; the one this run began after (0 unless it was resumed) and when.
    completed: int = 0
    epoch_ended: float = 0.0
    began_after: int = 0
    first_epoch_began: float = 0.0
    #: When a time limit (`time=`) is reached.
    deadline: float | None = None
    losses: Numbers = field(default_factory=dict)
    lr: Numbers = field(default_factory=dict)
    #: Of the newest validation.
    metrics: Numbers = field(default_factory=dict)

    def remaining_seconds(self, now: float) -> float | None:
        """Estimated seconds to the end of the last epoch; None while there is nothing to go by."""
        if self.deadline is not None:
            return max(0.0, self.deadline - now)
        if self.completed > self.began_after:
            return self._remaining_by_epochs(now)
        if self.batch and self.batches:
            return self._remaining_by_batches(now, self.batches)
        return None

    def _remaining_by_epochs(self, now: float) -> float:
        each = (self.epoch_ended - self.first_epoch_began) / (self.completed - self.began_after)
        left = self.total_epochs - self.completed
        # An epoch that takes longer than the mean is about to end, for all we know; those after it are still to come.
        return max(0.0, each * left - (now - self.epoch_ended), each * (left - 1))

    def _remaining_by_batches(self, now: float, batches: int) -> float:
        each = (self.batch_ended - self.pass_began) / self.batch
        left = batches * (self.total_epochs - self.epoch + 1) - self.batch
        return max(0.0, each * left - (now - self.batch_ended))
