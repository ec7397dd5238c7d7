"""Where the generators of random numbers stand, as plain data that `torch.load(weights_only=True)` reads.

A training draws from four: Python's (mosaics, perspective, flips, sizes), NumPy's (colours, mixup), torch's (dropout,
the transforms of classification) and CUDA's.
"""

import random
from array import array
from typing import Any

import numpy as np
import torch
from typing_extensions import TypedDict


class RandomNumbers(TypedDict):
    """The four generators of one process."""

    python: tuple[int, bytes, float | None]
    numpy: tuple[str, bytes, int, int, float]
    torch: bytes
    #: One for each GPU; none where CUDA is not in use.
    cuda: list[bytes]


def read() -> RandomNumbers:
    """Where they stand now."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": (version, array("I", words).tobytes(), gauss),
        "numpy": (str(kind), np.asarray(keys).tobytes(), int(position), int(has_gauss), float(cached)),
        "torch": as_bytes(torch.get_rng_state()),
        "cuda": [as_bytes(state) for state in torch.cuda.get_rng_state_all()] if _has_cuda() else [],
    }


def put_back(state: RandomNumbers) -> None:
    """Have them go on from there."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(array("I", words)), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.frombuffer(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(as_tensor(state["torch"]))
    if state["cuda"] and _has_cuda():
        torch.cuda.set_rng_state_all([as_tensor(each) for each in state["cuda"]])


def as_bytes(state: Any) -> bytes:
    """Of a torch generator's state."""
    raw: bytes = state.numpy().tobytes()
    return raw


def as_tensor(state: bytes) -> Any:
    """A torch generator's state again."""
    return torch.frombuffer(bytearray(state), dtype=torch.uint8)


def _has_cuda() -> bool:
    return bool(torch.cuda.is_available() and torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
