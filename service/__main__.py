"""The command line: `python -m service serve` and `python -m service demo`."""

import inspect
import logging
import socket
import sys
from typing import Annotated, Any

import typer
import uvicorn
from pydantic import ValidationError

from service import demo
from service.app import create_app
from service.errors import ServiceError
from service.events import encode
from service.settings import Settings
from service.store import mend
from service.store.store import Store
from service.web.guard import is_loopback

log = logging.getLogger(__name__)

#: What whoever listens on more than loopback has to know.
ELSEWHERE = (
    "only requests to a loopback address of this machine are answered; docs/operations.md"
    " has what a proxy on this machine needs"
)

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

#: Seconds that open responses get at the end before their connections are closed.
GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """Uvicorn's server, which says where it listens once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port, *_ = listener.getsockname()
            name = f"[{host}]" if ":" in host else host
            print(f"listening on http://{name}:{port}", file=sys.stderr, flush=True)  # noqa: T201 (the promise)


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: `time`, `level`, `logger`, `message`, `job_id`, `action`, … if it has them."""

    _PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        about = {"time": record.created, "level": record.levelname.lower(), "logger": record.name}
        extra = {name: value for name, value in vars(record).items() if name not in self._PLAIN}
        if record.exc_info:
            extra["exception"] = self.formatException(record.exc_info)
        return encode({**about, "message": record.getMessage(), **extra}).decode()


def serve(**options: Any) -> None:
    """Serve the page and the API."""
    try:
        settings = Settings(**{name: value for name, value in options.items() if value not in (None, [])})
        _start_log(settings.log_format)
        Store(settings.folder).close()  # so that what is wrong with it is one line
        listener = _listen(settings.host, settings.port)
    except ValidationError as error:
        raise typer.BadParameter(
            "; ".join(f"{item['loc'][0]}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors())
        ) from None
    except (ServiceError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    config = uvicorn.Config(
        create_app(settings),
        loop="auto",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    if not is_loopback(address := listener.getsockname()[0]):
        log.warning("%s: %s", address, ELSEWHERE)
    Server(config).run(sockets=[listener])


def _start_log(form: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if form == "json":
        logging.getLogger().handlers[0].setFormatter(JsonFormatter())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2_048)
    # Connections inherit it. asyncio sets it only for sockets that name their protocol, which these do not: without it
    # an answer of two writes waits 40 ms for the reader's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _flags() -> inspect.Signature:
    """One flag per setting; None means that it was not given."""
    parameters = []
    for name, field in Settings.model_fields.items():
        many = field.default == ()
        default = "" if field.default in (None, ()) else f" [default: {field.default}]"
        option = typer.Option(help=f"{field.description}{default}", show_default=False)
        kind: Any = list[str] | None if many else (bool if field.annotation is bool else str) | None
        annotation: Any = Annotated[kind, option]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return inspect.Signature(parameters)


FLAGS = _flags()
serve.__signature__ = FLAGS  # type: ignore[attr-defined]
serve.__annotations__ = {name: parameter.annotation for name, parameter in FLAGS.parameters.items()}
cli.command()(serve)
cli.command(name="demo")(demo.run)
cli.command(name="mend")(mend.run)

if __name__ == "__main__":
    cli()
