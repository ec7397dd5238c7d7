"""A dataset in a zip. It is checked before a job exists; the job's worker unpacks it into the service's own folder."""

from pathlib import Path

from AI.model_trainer import archives
from AI.model_trainer.errors import BadArchive
from service.errors import UnfitDataset

#: Longest table of contents that is read before a job exists, in bytes. A longer one is left to the worker.
MAX_DIRECTORY = 20_000_000


def check(source: Path, task: str | None) -> None:
    """Raises UnfitDataset: when the archive cannot be unpacked, or holds no dataset."""
    if not source.is_file():
        raise UnfitDataset(f"there is no file {source}")
    try:
        if archives.directory_bytes(source) > MAX_DIRECTORY:
            return
        names = archives.contents(source)
    except BadArchive as error:
        raise UnfitDataset(str(error)) from None
    if task not in ("classify", None) and not any(name.endswith((".yaml", ".yml")) for name in names):
        raise UnfitDataset(
            f"{source.name} has no .yaml in it that describes the dataset: add a data.yaml and pack it again"
        )
