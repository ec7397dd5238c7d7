"""What a worker is left with: limits on what it may use, and an environment that says nothing of others.

It keeps accidents and greedy inputs small. It is no wall against code: a worker runs as the service's own user, so that
nothing out of a file is run is what the other files see to (docs/security.md).
"""

import ctypes
import re
import resource
import sys
from collections.abc import Iterable
from dataclasses import dataclass

#: Variables that a worker gets: who and where it is, and what libraries are tuned with. No other one: any may be a
#: password, and its name need not say so.
_ALLOWED = re.compile(
    r"(PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TERM|TMPDIR|TEMP|TMP|VIRTUAL_ENV|CONDA_PREFIX"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY"
    r"|(XDG|PYTHON|MALLOC|OMP|GOMP|KMP|MKL|OPENBLAS|NUMEXPR|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|HIP|ROCM|ROCR|HSA|MIOPEN"
    r"|TORCH|PYTORCH|TRITON|MPL|YOLO|ULTRALYTICS)_?\w*)",
    re.IGNORECASE,
)
#: Names that are withheld even if they are allowed above.
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY|^YOLO_TRAINER_", re.IGNORECASE
)

_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


def withheld(environment: Iterable[str], passed: Iterable[str] = ()) -> dict[str, None]:
    """The names that a worker does not get of `environment`; `passed` are further ones that it does."""
    kept = set(passed)
    return {
        name: None
        for name in environment
        if name not in kept and (not _ALLOWED.fullmatch(name) or _SECRET.search(name))
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a worker, and all that it starts, may use; None: as much as the service itself."""

    #: Private memory of each process beyond what the worker begins with: a fork of the forkserver has its libraries
    #: loaded already. More is refused, and the training fails.
    memory_bytes: int | None = None
    #: The size of each file that is written.
    file_bytes: int | None = None
    #: How many files may be open: as many as when the service started. It has raised its own limit since, and some
    #: programs look at every number up to theirs.
    open_files: int | None = None


def enter(limits: Limits) -> None:
    """Limit this process and all that it starts, for good.

    No core dumps: they hold what the memory holds. On Linux, programs with more rights than the worker (sudo) do not
    get them.
    """
    _limit(resource.RLIMIT_CORE, 0)
    memory = limits.memory_bytes
    _limit(resource.RLIMIT_DATA, None if memory is None else _private_bytes() + memory)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    if limits.open_files is not None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, most))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _private_bytes() -> int:
    """What counts against RLIMIT_DATA of this process; 0 where it cannot be told."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return 0


def _limit(kind: int, value: int | None) -> None:
    if value is not None:
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))
