"""Errors as `application/problem+json` (RFC 9457)."""

from http import HTTPStatus

from starlette.responses import Response

from service.errors import InvalidPayload, ServiceError
from service.events import encode

#: RFC 9110's names where older Pythons have older ones.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
MEDIA_TYPE = "application/problem+json"


def problem(error: ServiceError) -> Response:
    """The answer to an error of ours; a payload's faults are listed with their JSON pointers."""
    faults = [fault.as_dict() for fault in error.faults] if isinstance(error, InvalidPayload) else None
    response = problem_response(error.status, str(error), errors=faults)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def problem_response(status: int, detail: str, *, errors: object = None) -> Response:
    """A problem of the generic type (`about:blank`), whose title is the status' phrase."""
    title = TITLES.get(status) or HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": int(status), "detail": detail}
    if errors is not None:
        body["errors"] = errors
    headers = {"X-Content-Type-Options": "nosniff"}  # it repeats what was sent
    return Response(encode(body), status_code=status, headers=headers, media_type=MEDIA_TYPE)
