"""Why an attempt failed: one vocabulary, found from exception, signal and log, with a hint for whoever started it.

Names and texts of errors were read in the sources of Ultralytics 8.4.190, torch 2.15 and Python.
"""

import errno
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Unpack

from typing_extensions import TypedDict

from AI.model_trainer.errors import TrainerError
from service.events import Failure, NewFailed

#: Reason → what can be done about it.
HINTS: Mapping[str, str] = {
    "out_of_memory": "Lower batch or imgsz, take a smaller model or cache=False; or free memory on the machine.",
    "invalid_data": "Mend the dataset: the error names the file or the split; the log has the line of each bad image.",
    "weights_unavailable": "Put the weights into the folder that the error names, or train from random ones (.yaml).",
    "dataset_unavailable": "Put the dataset's archive into the folder that the error names, then start it again.",
    "unsafe_file": "Take weights and model files that hold nothing but data: the error names what was not loaded.",
    "nan": "Lower lr0, raise warmup_epochs, or train with amp=False; look for broken labels.",
    "import_error": "Something that the model or an argument needs is not installed beside the service.",
    "disk_full": "Free room in the data folder (old jobs can be deleted), or raise --max-file-bytes; then resume.",
    "timeout": "It ran for its max_runtime_seconds: resume it, or give it more.",
    "stalled": "It showed no progress for --stalled-seconds: look at the log and the dataset's disk; then resume.",
    "killed": "Somebody, or the system, ended the worker; resume it. If that comes again, watch the machine's memory.",
    "crashed": "Native code broke off; the log has its stack. Resume, or change device, amp or the library's version.",
    "exited": "The worker left without a result; its last lines say more.",
    "worker_lost": "The worker ended after the process that could tell how: its last lines may say more; resume it.",
    "interrupted": "The service was lost again and again, or may not resume by itself: resume it.",
    "internal": "A fault of the service: its log says more.",
    "error": "The training raised; the log has the traceback.",
}

#: What an error's text has → a hint that says more than its reason's.
_SPECIAL_HINTS = {
    "Expected more than 1 value per channel when training": (
        "A batch of one image is too little for batch norm at this size: raise imgsz or batch, or take an image more or"
        " less, so that no image is left over for the last batch."
    )
}

#: By the class's full name, for torch is not imported here. The library's errors know their reason themselves.
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
#: What an error's text, or a dying process's last lines, say; the first that is found counts.
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
    """The reason behind an exception: its own, or that of what it was raised from."""
    for link in _chain(error):
        own = link.reason if isinstance(link, TrainerError) else None
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(link).__mro__]
        known = own or next((_CLASSES[name] for name in names if name in _CLASSES), None)
        number = _NUMBERS.get(link.errno or 0) if isinstance(link, OSError) else None
        if found := known or number or reason_in([str(link)]):
            return found
    return "error"


def reason_in(lines: Iterable[str]) -> str | None:
    """The reason that a text tells of, if any."""
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
