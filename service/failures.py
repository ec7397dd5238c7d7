"""Why an attempt failed: one vocabulary, found from exception, signal and log, with a hint for whoever started it.

Names and texts of errors were read in the sources of Ultralytics 8.4.190, torch 2.15 and Python.
"""

import errno
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Unpack

from typing_extensions import TypedDict

from AI.model_trainer.errors import TrainerError
from service.new_events import Failure, NewFailed

#: Reason → what can be done about it.
HINTS: Mapping[str, str] = {
    "out_of_memory": "Lower batch or imgsz, use a smaller model, set cache=False, or free memory on the machine.",
    "invalid_data": "Correct the dataset. The error names the file or the split; the log names each bad image.",
    "weights_unavailable": "Put the weights into the folder that the error names, or train from random ones (.yaml).",
    "dataset_unavailable": "Put the dataset's archive into the folder that the error names, then start it again.",
    "unsafe_file": "The error names a file that was not loaded. Use weights and model files that hold only data.",
    "nan": "Lower lr0, raise warmup_epochs, or train with amp=False. Check the labels for errors.",
    "import_error": "Install the package that the error names into the Python environment of the service.",
    "disk_full": "Free space in the data folder (delete old jobs), or raise --max-file-bytes. Then resume the job.",
    "timeout": "The job ran for its max_runtime_seconds. Resume it, or start it with a higher limit.",
    "stalled": "There was no progress for --stalled-seconds. Check the log and the dataset's disk, then resume.",
    "killed": "A person or the system killed the worker. Resume the job. If it happens again, check the memory.",
    "crashed": "Native code crashed; the log has its stack. Resume the job, or change device, amp or the library.",
    "exited": "The worker exited without a result. Read its last log lines.",
    "worker_lost": "How the worker ended is not known. Read its last log lines, then resume the job.",
    "interrupted": "The service ended while the job ran, and does not resume it by itself. Resume the job.",
    "internal": "This is a fault of the service. Read the service's own log.",
    "error": "The training raised an exception. The log has the traceback.",
}

#: Part of an error's text → a hint that says more than the hint of its reason.
_SPECIAL_HINTS = {
    "Expected more than 1 value per channel when training": (
        "At this size, batch norm needs more than one image in a batch. Raise imgsz or batch. Or add or remove an"
        " image, so that the last batch does not have only one."
    )
}

#: Full name of an error's class → reason. Names, because torch is not imported. The library's errors have a reason.
_CLASSES = {
    "builtins.MemoryError": "out_of_memory",
    "torch.OutOfMemoryError": "out_of_memory",
    "builtins.ImportError": "import_error",
    "service.errors.UnfitDataset": "invalid_data",
}
_NUMBERS = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "disk_full",
    errno.ENOMEM: "out_of_memory",
}
#: Reason → what an error's text, or the last lines of a dying process, may contain. The first match counts.
_TEXTS = (
    ("disk_full", ("no space left on device", "disk quota exceeded", "file too large", "disk is full")),
    (
        "out_of_memory",
        (
            *("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory"),
            *("std::bad_alloc", "_alloc_failed", "unable to allocate", "insufficient shared memory"),
            r"memory allocation of \d+ bytes failed",  # Rust: polars
        ),
    ),
    ("nan", ("nan persisted", "nan/inf")),
    (
        "invalid_data",
        (
            *(r"dataset '.*' error", "images? not found", r"no (valid |training )?images ", "no labels found"),
            *("error loading data from", "fraction must select", "data yaml", "requires equal numbers of boxes"),
        ),
    ),
)
_PATTERNS = [(reason, re.compile("|".join(texts), re.IGNORECASE)) for reason, texts in _TEXTS]


def reason_of(error: BaseException) -> str:
    """The reason of an exception, or of the exception that caused it."""
    for link in _chain(error):
        own = link.reason if isinstance(link, TrainerError) else None
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(link).__mro__]
        known = own or next((_CLASSES[name] for name in names if name in _CLASSES), None)
        number = _NUMBERS.get(link.errno or 0) if isinstance(link, OSError) else None
        if found := known or number or reason_in([str(link)]):
            return found
    return "error"


def reason_in(lines: Iterable[str]) -> str | None:
    """The reason that a text contains a sign of, if any."""
    text = "\n".join(lines)
    return next((reason for reason, pattern in _PATTERNS if pattern.search(text)), None)


class Evidence(TypedDict, total=False):
    """What tells of a failure beside its text."""

    log_tail: list[str]
    exit_code: int
    signal: str


def failed(reason: str, error: str, **evidence: Unpack[Evidence]) -> NewFailed:
    """A `failed` event. Its `failure` has the evidence (exit code or signal, the last log lines) and a hint."""
    hint = next((hint for text, hint in _SPECIAL_HINTS.items() if text in error), HINTS[reason])
    failure: Failure = {"reason": reason, "evidence": error, "hint": hint, **evidence}
    return {"event": "failed", "reason": reason, "error": error, "failure": failure}


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
