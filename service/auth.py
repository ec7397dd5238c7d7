"""Who may call: the address a request came in on, the name it was sent to, and the page it was sent from.

A service on loopback is still reached by every page the user's browser has open. So a request must name a host that is
ours (else a page could rebind its own name to us) and, where a browser says so, come from an origin that is ours.
"""

from collections.abc import Collection, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden
from service.problems import problem

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Pure ASGI middleware: answers 403 to what `check` refuses; what it lets through it does not touch."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = LOOPBACK_NAMES | set(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                check(scope, self._hosts, self._origins)
            except Forbidden as error:
                await problem(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def check(scope: Scope, hosts: Collection[str], origins: Collection[str]) -> None:
    """Raises Forbidden: when the request reached another address than loopback, names a foreign host, or comes from a
    foreign origin."""
    server = scope.get("server")
    if server is not None and not _is_loopback(server[0]):
        raise Forbidden(f"the service answers on loopback only, this came in on {server[0]}")
    headers = Headers(scope=scope)
    host = headers.get("host", "")
    if _name(host) not in hosts:
        raise Forbidden(f"host {host!r} is not this service; --allowed-host names further ones")
    origin = headers.get("origin")
    if origin is not None and origin not in origins and not _same_origin(origin, host, scope):
        raise Forbidden(f"origin {origin!r} may not call this service; --allowed-origin names others")
    # A browser that sends no Origin (a plain GET) still says whether another site caused the request.
    site = headers.get("sec-fetch-site", "none")
    if origin is None and scope["method"] not in SAFE_METHODS and site not in ("none", "same-origin"):
        raise Forbidden("a page of another site may not call this service")


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return True  # a Unix socket's path, or a test client's name: no network is behind it


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _same_origin(origin: str, host: str, scope: Scope) -> bool:
    return origin == f"{scope.get('scheme', 'http')}://{host}"
