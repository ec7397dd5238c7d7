"""What a training leaves that is to be equal, bit for bit, to what another one leaves."""

import csv
import hashlib
from pathlib import Path

#: The rows of results.csv without their times, and the digests of best.pt and last.pt.
Result = tuple[list[dict[str, str]], str, str]


def result(run: Path) -> Result:
    with (run / "results.csv").open() as table:
        rows = [{name: value for name, value in row.items() if name != "time"} for row in csv.DictReader(table)]
    return rows, digest(run / "weights" / "best.pt"), digest(run / "weights" / "last.pt")


def digest(weights: Path) -> str:
    """Of the tensors that a file of weights has."""
    from ultralytics.nn.tasks import torch_safe_load

    checkpoint = torch_safe_load(weights, safe_only=True)[0]
    found = hashlib.sha256()
    for name, tensor in (checkpoint.get("ema") or checkpoint["model"]).state_dict().items():
        found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()
