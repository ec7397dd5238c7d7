"""What a client has already: ETags, and the answers to conditional requests (RFC 9110, 13)."""

import hashlib
import re
import time
from email.utils import parsedate_to_datetime

from starlette.responses import Response

from service.errors import PreconditionFailed, RangeNotSatisfiable
from service.web.state import Request

_TAG = re.compile(r'(W/)?("[^"]*")')
_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII)
#: Seconds after a change for which a client is not told its time, which has whole seconds (RFC 9110, 8.8.2.2).
FRESH_SECONDS = 2.0
#: Headers of a 200 that its 304 has, too.
_KEPT = ("cache-control", "content-security-policy", "etag", "last-modified", "vary", "x-content-type-options")


def tag(content: bytes) -> str:
    """A weak ETag of a content: the same for it as it is and compressed."""
    return f'W/"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def unless_known(request: Request, response: Response) -> Response:
    """The response, or a 304 where its client has it already. Raises PreconditionFailed: when it wants another one."""
    if request.method not in ("GET", "HEAD") or response.status_code not in (200, 206):
        return response
    sent, etag = request.headers, response.headers.get("etag")
    modified = _seconds(response.headers.get("last-modified"))
    is_fresh = modified > time.time() - FRESH_SECONDS  # it may change again within the second that it is told by
    if is_fresh:
        del response.headers["last-modified"]
    if etag and "if-match" in sent:
        if not _is_among(etag, sent["if-match"], weakly=False):
            raise PreconditionFailed("the file is not (or no longer) the one that If-Match names")
    elif modified and (since := _seconds(sent.get("if-unmodified-since"))) and modified > since:
        raise PreconditionFailed("the file was modified after the time in If-Unmodified-Since")
    if etag and "if-none-match" in sent:
        known = _is_among(etag, sent["if-none-match"], weakly=True)
    else:  # a time counts where no ETag is named
        since = _seconds(sent.get("if-modified-since"))
        known = bool(modified and since) and modified <= since and not is_fresh
    if not known:
        return response
    return Response(status_code=304, headers={name: value for name, value in response.headers.items() if name in _KEPT})


def part(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Where the wanted bytes begin and end; None for all. Several ranges, or what does not parse, are ignored.

    Raises RangeNotSatisfiable: when there are no such bytes.
    """
    found = _RANGE.fullmatch(request.headers.get("range", "")) if request.method == "GET" else None
    if found is None or found[1] + found[2] == "" or request.headers.get("if-range", etag) != etag:
        return None
    if not found[1]:  # the last ones
        start, stop = max(size - int(found[2]), 0), size
    else:
        start, stop = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and found[1] and int(found[2]) < int(found[1]):
        return None
    if start >= stop:
        raise RangeNotSatisfiable(size)
    return start, stop


def _is_among(etag: str, tags: str, *, weakly: bool) -> bool:
    if tags.strip() == "*":
        return True
    found = [(bool(weak), value) for weak, value in _TAG.findall(tags)]
    own = (etag.startswith("W/"), etag.removeprefix("W/"))
    if weakly:
        return own[1] in [value for _, value in found]
    return own in found and not own[0]


def _seconds(date: str | None) -> float:
    """A date of HTTP as Unix seconds; 0 for what is none."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return 0.0
