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
#: Several values. The flag is given several times; in the variable commas separate them.
CommaSeparated = Annotated[
    tuple[Item, ...], NoDecode, BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value)
]


def _host(text: str) -> str:
    """The name in the form in which it is compared with a Host header."""
    name = text.strip().lower()
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*|[\da-f:.]*:[\da-f:.]+", name, re.ASCII):
        raise ValueError(
            f"must be a name or an address, without scheme, port and path, such as train.example.org; got {text!r}"
        )
    return name


def _origin(text: str) -> str:
    """The origin in the form in which browsers write it."""
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
        raise ValueError(f"must be a scheme, a host and perhaps a port, such as https://ops.example.org; got {text!r}")
    host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
    return f"{found.scheme}://{host}" + ("" if port in (None, _PORTS[found.scheme]) else f":{port}")


_PORTS = {"http": 80, "https": 443}
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]


class Settings(BaseSettings):
    """Deployment options, read once at the start. A flag overrides `YOLO_TRAINER_…`, which overrides the default."""

    model_config = SettingsConfigDict(**FLAGS, env_prefix="YOLO_TRAINER_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(Path("var"), description="Folder of everything the service keeps: log, jobs, caches.")
    slots: int | None = Field(
        None, ge=1, le=64, description="Jobs that run at the same time; default: one per GPU, or one without a GPU."
    )
    threads: str = Field(
        "all",
        pattern=r"^(all|stock|[1-9][0-9]{0,2})$",
        description="CPU threads of a training: all (every usable core), stock (Ultralytics' own choice), or a number.",
    )
    data_root: CommaSeparated[Path] = Field(
        (), description="Folder that datasets may lie in, repeatable; default: every folder that the service can read."
    )
    model_root: CommaSeparated[Path] = Field(
        (),
        description="Folder that models may lie in, repeatable; default: every folder that the service can read.",
    )
    allowed_host: CommaSeparated[Host] = Field(
        (), description="Further host names (Host header) under which the service answers, besides localhost."
    )
    allowed_origin: CommaSeparated[Origin] = Field(
        (), description="Origins of other sites whose pages may call the service, e.g. https://ops.example.org."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Longest request body, in bytes.")
    max_streams: int = Field(
        10_000,
        ge=1,
        description="Event streams and followed logs that may be open; for further ones, clients must try again.",
    )
    max_log_bytes: int = Field(16_000_000, ge=1_000, description="Log text that is kept of each job, in bytes.")
    cancel_grace_seconds: float = Field(
        5.0,
        ge=0,
        description="Seconds in which a cancelled worker may end by itself; then it gets SIGTERM, then SIGKILL.",
    )
    stalled_seconds: float = Field(
        1_800.0, ge=0, description="Seconds without progress after which a training is ended as failed; 0: never."
    )
    max_waiting: int = Field(1_000, ge=0, description="Jobs that may wait for a slot; further ones are refused (429).")
    keep_days: float | None = Field(
        None, gt=0, description="Days after its end after which a job is deleted; default: never."
    )
    keep_jobs: int | None = Field(
        None, ge=0, description="How many jobs that have ended are kept, the newest ones; default: all."
    )
    auto_resume: bool = Field(True, description="Resume interrupted jobs when the service starts; otherwise they fail.")
    allow_downloads: bool = Field(False, description="Download datasets that Ultralytics knows by name (coco8.yaml).")
    max_memory_bytes: int | None = Field(
        None,
        ge=200_000_000,
        description="Private memory that each process of a training may add, in bytes (Linux); default: no limit.",
    )
    max_file_bytes: int = Field(
        10_000_000_000, ge=1_000_000, description="Largest file that a training may write, in bytes."
    )
    worker_env: CommaSeparated[str] = Field(
        (), description="Environment variable that is also passed to trainings, repeatable; see security.md."
    )
    offline: bool = Field(False, description="Download nothing; a training whose weights are missing is refused.")
    heartbeat_seconds: float = Field(
        15.0,
        gt=0,
        description="Seconds of silence after which a stream gets a comment, which keeps its connection open.",
    )
    stall_seconds: float = Field(
        30.0, gt=0, description="Seconds after which a client that stops reading is disconnected."
    )
    start_method: Literal["forkserver", "spawn"] | None = Field(
        None, description="How workers start; default: forkserver on Linux, spawn elsewhere."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Form of the service's own log on stderr: text, or one JSON object per line."
    )
    #: A torch-free stand-in for the training, for tests and for trying the service out.
    program: str = Field(
        "service.workers.programs:train", description="The function that a worker runs, as module:function."
    )

    @property
    def may_download(self) -> bool:
        """Whether datasets that are known by name are got from the net."""
        return self.allow_downloads and not self.offline

    @property
    def dataset_roots(self) -> tuple[Path, ...]:
        """Where datasets may lie; empty: anywhere. The demo's dataset and the known datasets are always allowed."""
        return (*self.data_root, self.folder / "demo", self.folder / "datasets") if self.data_root else ()

    @property
    def model_roots(self) -> tuple[Path, ...]:
        """Where models may lie; empty: anywhere. Models that were trained or downloaded here are always allowed."""
        return (*self.model_root, self.folder / "weights", self.folder / "jobs") if self.model_root else ()

    @property
    def folder(self) -> Path:
        """The data folder, absolute: workers change their directory."""
        return Path(os.path.abspath(self.data_dir.expanduser()))
