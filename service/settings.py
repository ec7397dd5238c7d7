"""Every option of the service, once: its field here is its flag, its environment variable and its line in the docs."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.command_line import FLAGS

Item = TypeVar("Item")
#: Several values: as a flag given several times, as a variable separated by commas.
CommaSeparated = Annotated[
    tuple[Item, ...], NoDecode, BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)
]


def _host(text: str) -> str:
    """A name as a Host header is compared with it."""
    name = text.strip().lower()
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*|[\da-f:.]*:[\da-f:.]+", name, re.ASCII):
        raise ValueError(
            f"must be a name or an address, without scheme, port and path: train.example.org; got {text!r}"
        )
    return name


def _origin(text: str) -> str:
    """An origin as browsers write it."""
    try:
        found = urlsplit(text.strip().lower())
        port = found.port
    except ValueError:
        found, port = urlsplit(""), None
    if (
        found.scheme not in _PORTS
        or not found.hostname
        or found.path not in ("", "/")
        or found.query + found.fragment
        or found.username
    ):
        raise ValueError(f"must be a scheme, a host and perhaps a port: https://ops.example.org; got {text!r}")
    host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
    return f"{found.scheme}://{host}" + ("" if port in (None, _PORTS[found.scheme]) else f":{port}")


_PORTS = {"http": 80, "https": 443}
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]


class Settings(BaseSettings):
    """Deployment options, read once at start: an argument beats `YOLO_TRAINER_…`, which beats the default."""

    model_config = SettingsConfigDict(**FLAGS, env_prefix="YOLO_TRAINER_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(Path("var"), description="Folder of everything the service keeps: log, jobs, caches.")
    slots: int | None = Field(
        None, ge=1, le=64, description="Jobs that run at once; default: one per GPU, one on a machine without."
    )
    threads: str = Field(
        "all",
        pattern=r"^(all|stock|[1-9][0-9]{0,2})$",
        description="CPU threads of a training: all usable cores, Ultralytics' stock count, or a number.",
    )
    data_root: CommaSeparated[Path] = Field(
        (), description="Folder that datasets may lie in, repeatable; default: whatever the service may read."
    )
    model_root: CommaSeparated[Path] = Field(
        (),
        description="Folder that .pt and model files may lie in, repeatable; default: whatever the service may read.",
    )
    allowed_host: CommaSeparated[Host] = Field(
        (), description="Further names under which the service may be addressed (Host header), beside loopback's."
    )
    allowed_origin: CommaSeparated[Origin] = Field(
        (), description="Origins of other sites whose pages may call the service, e.g. https://ops.example.org."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Longest request body, in bytes.")
    max_streams: int = Field(
        10_000, ge=1, description="Event streams and followed logs open at once; one more is told to come back."
    )
    max_log_bytes: int = Field(16_000_000, ge=1_000, description="Log text kept of a job, in bytes.")
    cancel_grace_seconds: float = Field(
        5.0, ge=0, description="Seconds for which a cancelled worker may end by itself before SIGTERM, then SIGKILL."
    )
    stalled_seconds: float = Field(
        1_800.0, ge=0, description="Seconds without any progress after which a training has failed; 0: never."
    )
    max_waiting: int = Field(1_000, ge=0, description="Jobs that may wait for a slot; one more is refused (429).")
    keep_days: float | None = Field(
        None, gt=0, description="Days after which a job that has ended is deleted; default: never."
    )
    keep_jobs: int | None = Field(
        None, ge=0, description="Jobs that have ended of which the newest are kept; default: all."
    )
    auto_resume: bool = Field(
        True, description="Resume at the start what the service's end has interrupted; if not, it has failed."
    )
    allow_downloads: bool = Field(
        False, description="Get datasets that Ultralytics knows by name (coco8.yaml) from the net."
    )
    max_memory_bytes: int | None = Field(
        None,
        ge=200_000_000,
        description="Private memory of a training's processes beyond their start, in bytes (Linux); default: no limit.",
    )
    max_file_bytes: int = Field(
        10_000_000_000, ge=1_000_000, description="Longest file that a training may write, in bytes."
    )
    worker_env: CommaSeparated[str] = Field(
        (), description="Environment variable that trainings get as well, repeatable; see security.md."
    )
    offline: bool = Field(False, description="Download no weights: a model that is not there is refused at once.")
    heartbeat_seconds: float = Field(15.0, gt=0, description="Seconds of silence after which a stream gets a comment.")
    stall_seconds: float = Field(30.0, gt=0, description="Seconds after which a reader that takes nothing is dropped.")
    start_method: Literal["forkserver", "spawn"] | None = Field(
        None, description="How workers start; default: forkserver on Linux, spawn elsewhere."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Form of the service's own log, on stderr: text, or one JSON object a line."
    )
    #: A torch-free stand-in for the training, for tests and for trying the service out.
    program: str = Field("service.workers.worker:train", description="What a worker runs, as module:function.")

    @property
    def dataset_roots(self) -> tuple[Path, ...]:
        """Where datasets may lie; empty for anywhere. The demo's own, and those known by name, are always allowed."""
        return (*self.data_root, self.folder / "demo", self.folder / "datasets") if self.data_root else ()

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """Where models may lie; empty for anywhere. What was trained or downloaded here is always allowed."""
        return (*self.model_root, self.folder / "weights", self.folder / "jobs") if self.model_root else ()

    @property
    def folder(self) -> Path:
        """The data folder, absolute: workers change their directory."""
        return Path(os.path.abspath(self.data_dir.expanduser()))
