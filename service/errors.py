"""Everything the service raises on purpose, one class per thing a caller can do something about.

    ServiceError
    ├── RequestRejected      the request is at fault; each class is one HTTP status
    │   ├── InvalidCursor        400
    │   ├── BeyondLog            400
    │   ├── InvalidJson          400
    │   ├── InvalidKey           400
    │   ├── InvalidHost          400
    │   ├── InvalidRange         400
    │   ├── Forbidden            403
    │   ├── JobNotFound          404
    │   ├── ArtifactNotFound     404
    │   ├── JobFinal             409
    │   ├── JobNotRunning        409
    │   ├── NothingToResume      409
    │   ├── JobNotFinal          409
    │   ├── PreconditionFailed   412
    │   ├── BodyTooLarge         413
    │   ├── UnsupportedMedia     415
    │   ├── UnsupportedCoding    415
    │   ├── RangeNotSatisfiable  416
    │   ├── InvalidPayload       422
    │   │   └── CannotTrain
    │   ├── KeyReused            422
    │   ├── QueueFull            429
    │   ├── TooManyChecks        429
    │   ├── TooManyStreams       503
    │   └── NotReady             503
    ├── LogRefused           the event log does not take this event
    │   ├── LogClosed
    │   └── StaleAttempt
    ├── CheckFailed          503: a dataset could not be checked
    ├── StoreUnavailable     503: the log could not be read or written; nothing was acknowledged
    │   └── LogDamaged           503: its file is damaged and must be repaired
    └── DataDirInUse         another process owns the data folder

Routes raise; one handler in `web.problem_json` turns a class into its `application/problem+json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

#: The media type of a problem (RFC 9457), and RFC 9110's names where older Pythons have older ones.
PROBLEM = "application/problem+json"
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


#: What tells a program one problem from another; docs/protocol.md says when each comes.
Code: TypeAlias = Literal[
    "artifact_not_found",
    "beyond_log",
    "body_too_large",
    "cannot_train",
    "check_failed",
    "forbidden",
    "http_error",
    "internal",
    "invalid_host",
    "invalid_json",
    "invalid_key",
    "invalid_parameter",
    "invalid_payload",
    "invalid_range",
    "invalid_request",
    "job_final",
    "job_not_final",
    "job_not_found",
    "job_not_running",
    "key_reused",
    "log_damaged",
    "method_not_allowed",
    "not_found",
    "not_ready",
    "nothing_to_resume",
    "precondition_failed",
    "queue_full",
    "range_not_satisfiable",
    "request_timeout",
    "store_unavailable",
    "too_many_checks",
    "too_many_connections",
    "too_many_streams",
    "unsupported_content_coding",
    "unsupported_media_type",
]


class PayloadFault(TypedDict):
    """One thing wrong with a body."""

    #: JSON pointer (RFC 6901) to the offending value; "" is the whole body.
    pointer: str
    detail: str
    #: The nearest thing that would have been accepted.
    suggestion: NotRequired[str]


class Problem(TypedDict):
    """What an error is answered with (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    #: For people; it may change.
    detail: str
    #: For programs; it does not change.
    code: Code
    #: Of a body: all that is wrong with it.
    errors: NotRequired[list[PayloadFault]]


def described(status: int, detail: str, code: Code) -> Problem:
    """A problem of the generic type (`about:blank`), whose title is the status' phrase. `code` tells which problem."""
    title = TITLES.get(status) or HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": int(status), "detail": detail, "code": code}


class ServiceError(Exception):
    """Base of all errors of the service; `status` is the HTTP status it is answered with."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    #: The word by which a program tells this from other problems of its status; docs/protocol.md lists them.
    code: ClassVar[Code] = "internal"
    #: Further headers of the answer.
    headers: Mapping[str, str] = {}
    #: Seconds after which the same request may succeed; None: repeating it does not help.
    retry_after: int | None = None


class RequestRejected(ServiceError):
    """Raised when a request cannot be served as it is; the message is shown to its sender."""

    status = HTTPStatus.BAD_REQUEST


class InvalidCursor(RequestRejected):
    """Raised when a parameter of a query, or Last-Event-ID, is unknown or does not parse."""

    code = "invalid_parameter"


class BeyondLog(RequestRejected):
    """Raised when `after` or `offset` names what a job's log has not, or not yet."""

    code = "beyond_log"


class InvalidJson(RequestRejected):
    """Raised when a body is not JSON."""

    code = "invalid_json"


class InvalidKey(RequestRejected):
    """Raised when an Idempotency-Key is empty, too long, or not printable ASCII."""

    code = "invalid_key"


class InvalidHost(RequestRejected):
    """Raised when a request of HTTP/1.1 has no Host, or several."""

    code = "invalid_host"


class InvalidRange(RequestRejected):
    """Raised when a Range does not parse."""

    code = "invalid_range"


class Forbidden(RequestRejected):
    """Raised when a request comes from an origin, for a host or at an address that is not allowed."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class JobNotFound(RequestRejected):
    """Raised when no job has the id that was asked for."""

    status = HTTPStatus.NOT_FOUND
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"no job {job_id[:100]!r}")


class ArtifactNotFound(RequestRejected):
    """Raised when a job has no file of the name that was asked for."""

    status = HTTPStatus.NOT_FOUND
    code = "artifact_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"no file {name[:200]!r}")


class JobFinal(RequestRejected):
    """Raised when a job has ended and can no longer do what was asked."""

    status = HTTPStatus.CONFLICT
    code = "job_final"


class JobNotRunning(RequestRejected):
    """Raised when a job that is not running is asked to stop."""

    status = HTTPStatus.CONFLICT
    code = "job_not_running"


class NothingToResume(RequestRejected):
    """Raised when a job cannot be resumed: it has not ended, has no checkpoint, or has done all epochs."""

    status = HTTPStatus.CONFLICT
    code = "nothing_to_resume"


class JobNotFinal(RequestRejected):
    """Raised when a job is to be deleted before it has ended."""

    status = HTTPStatus.CONFLICT
    code = "job_not_final"


class KeyReused(RequestRejected):
    """Raised when an Idempotency-Key comes again with another body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "key_reused"


class QueueFull(RequestRejected):
    """Raised when the queue is full (`--max-waiting`)."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "queue_full"
    retry_after = 60


class TooManyChecks(RequestRejected):
    """Raised when too many datasets are being checked at the same time."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_checks"
    retry_after = 5


class PreconditionFailed(RequestRejected):
    """Raised when a file has changed since the one that If-Match or If-Unmodified-Since names."""

    status = HTTPStatus.PRECONDITION_FAILED
    code = "precondition_failed"


class BodyTooLarge(RequestRejected):
    """Raised when a request body is longer than the service reads."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"


class UnsupportedMedia(RequestRejected):
    """Raised when a body has a content type that its call does not take."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class UnsupportedCoding(RequestRejected):
    """Raised when a body is compressed."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_content_coding"

    def __init__(self, coding: str) -> None:
        super().__init__(f"send the body uncompressed, got Content-Encoding: {coding[:40]}")
        self.headers = {"Accept-Encoding": "identity"}


class RangeNotSatisfiable(RequestRejected):
    """Raised when the requested range lies outside of the file."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"the range is outside of the file, which has {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}"}


class TooManyStreams(RequestRejected):
    """Raised when too many streams are open (`--max-streams`), or the service is shutting down."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "too_many_streams"
    retry_after = 20


class NotReady(RequestRejected):
    """Raised when the service cannot take trainings yet, or any more."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "not_ready"
    retry_after = 5


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a payload."""

    #: JSON pointer (RFC 6901) to the offending value; "" is the whole document.
    pointer: str
    detail: str
    #: The nearest thing that would have been accepted.
    suggestion: str | None = None

    def as_dict(self) -> PayloadFault:
        found: PayloadFault = {"pointer": self.pointer, "detail": self.detail}
        return found if self.suggestion is None else {**found, "suggestion": self.suggestion}


class UnfitDataset(ValueError):
    """Raised when a dataset cannot be trained on; `datasets.description` makes a fault of it."""


class UnreadSplit(UnfitDataset):
    """Raised when a training asks for a split (argument `split`) that its dataset does not have."""


@dataclass(eq=False)
class InvalidPayload(RequestRejected):
    """Raised when a payload has faults; it carries all of them."""

    faults: list[Fault] = field(default_factory=list)
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code: ClassVar[Code] = "invalid_payload"

    def __str__(self) -> str:
        return "; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in self.faults)


class CannotTrain(InvalidPayload):
    """Raised when a payload is well formed, but names what this machine has not, or cannot train with."""

    code = "cannot_train"


class LogRefused(ServiceError):
    """Base of the reasons for which an event log does not take an event."""


class LogClosed(LogRefused):
    """Raised when an event comes after the final one of its attempt."""


class StaleAttempt(LogRefused):
    """Raised when an event comes from another attempt than the job's current one."""


class CheckFailed(ServiceError):
    """Raised when a dataset could not be checked, for a reason that is not in its data."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "check_failed"


class StoreUnavailable(ServiceError):
    """Raised when the log cannot be read or written at the moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code: ClassVar[Code] = "store_unavailable"
    retry_after: int | None = 5


class LogDamaged(StoreUnavailable):
    """Raised when the log's file is damaged. Only `python -m service mend` or a backup helps."""

    code = "log_damaged"
    retry_after = None

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path} is damaged ({what}): stop the service, then put a backup of the data folder in its place,"
            f" or save what can be read with: python -m service mend --data-dir {path.parent}"
        )


class DataDirInUse(ServiceError):
    """Raised when another process owns the data folder."""
