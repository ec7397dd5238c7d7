"""Who may call. It is decided by the address that a request came in on, its host name, and the page that sent it.

Every page that is open in the user's browser can reach a service on loopback. So a request must name one of our hosts;
otherwise a page could point its own host name at this service. And if a browser says which page sent it, that must be
one of ours.
"""

import re
from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden, InvalidHost, RequestRejected, UnsupportedMedia
from service.web.problem_json import problem

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
#: Where the page's scripts and styles are.
PAGE_FILES = ("/static/", "/vendor/")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What a page can send to any site without asking first: a form's body, and text.
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})

#: A name or an address, and perhaps a port. This is stricter than urlsplit, which also takes user names and paths.
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[\da-fA-F:.]+\](:\d+)?", re.ASCII)


class Guard:
    """ASGI middleware that answers what `check` refuses with a problem. It passes all other requests on unchanged."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = LOOPBACK_NAMES | set(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                check(scope, self._hosts, self._origins)
            except RequestRejected as error:
                await problem(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def check(scope: Scope, hosts: Collection[str], origins: Collection[str]) -> None:
    """Raises Forbidden: when the request reached another address than loopback, names a foreign host, or comes from a
    page of a foreign origin. Raises InvalidHost: when it names none, or several. Raises UnsupportedMedia: when it
    changes something and has the body of a form."""
    server = scope.get("server")
    if server is not None and not is_loopback(server[0]):
        raise Forbidden(
            f"the service answers on loopback only, but the request came in on {server[0]}: use 127.0.0.1, or a proxy"
        )
    headers = Headers(scope=scope)
    host = _host(headers)
    if _name(host) not in hosts:
        raise Forbidden(f"the host {host!r} is not allowed: start the service with --allowed-host to allow it")
    origin = headers.get("origin")
    if origin is None:
        _check_site(scope, headers, origins)
    elif origin not in origins and origin != f"{scope.get('scheme', 'http')}://{host}" and not _is_of_the_page(scope):
        raise Forbidden(
            f"a page of {origin!r} may not call this service at the host {host!r}: allow its origin with"
            " --allowed-origin; a proxy must pass on Host and X-Forwarded-Proto"
        )
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["method"] not in SAFE_METHODS and media_type in FORM_TYPES:
        raise UnsupportedMedia(f"send application/json, got {media_type}")


def _host(headers: Headers) -> str:
    found = headers.getlist("host")
    if len(found) != 1:
        raise InvalidHost(f"a request must have exactly one Host header, got {len(found)}")
    return found[0]


def _check_site(scope: Scope, headers: Headers, origins: Collection[str]) -> None:
    """Check a request without Origin (an image, a script, a link). Browsers say whether another site caused it."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return
    is_safe = scope["method"] in SAFE_METHODS
    follows_link = headers.get("sec-fetch-mode") == "navigate"
    # A picture in an allowed page has no Origin, but a Referer with the page's address.
    if not (is_safe and (follows_link or _origin(headers.get("referer", "")) in origins)):
        raise Forbidden("a page of another site may not call this service: allow its origin with --allowed-origin")


def _origin(address: str) -> str | None:
    try:
        page = urlsplit(address)
    except ValueError:  # such as an opened bracket
        return None
    return f"{page.scheme}://{page.netloc}"


def _is_of_the_page(scope: Scope) -> bool:
    """Whether it asks for a file of the page: that is let through, so that the page can say what is wrong."""
    return scope["method"] in SAFE_METHODS and scope["path"].startswith(PAGE_FILES)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches this address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return True  # a Unix socket's path, or a test client's name: no network is behind it


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if _HOST.fullmatch(host) else None
    except ValueError:
        return None
