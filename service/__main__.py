"""The command line: `python -m service serve`, `demo` and `mend`."""

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings

from service import command_line, log_format
from service.app import create_app
from service.command_line import Command
from service.demo import Demo
from service.errors import ServiceError
from service.settings import Settings
from service.store.mend import mend
from service.store.store import Store
from service.web import server

PROGRAM = "python -m service"


class Serve(Settings):
    """Serve the page and the API."""

    def cli_cmd(self) -> None:
        try:
            log_format.start(self.log_format)
            Store(self.folder).close()  # so that what is wrong with it is one line
            listener = server.listen(self.host, self.port)
        except (ServiceError, OSError) as error:
            sys.exit(f"error: {error}")
        server.serve(create_app(self), listener)


class Mend(Command):
    """Save what can be read of a damaged log.db into a new one, while the service is stopped."""

    data_dir: Path = Field(Path("var"), description="Folder of everything the service keeps.")

    def cli_cmd(self) -> None:
        try:
            saved = mend(self.data_dir.expanduser().absolute())
        except (ServiceError, sqlite3.Error, OSError) as error:
            sys.exit(f"error: {error}")
        _say(f"saved {saved.jobs} jobs and {saved.events} events; the damaged log is {saved.old}")
        if saved.lost_jobs or saved.lost_events:
            _say(f"lost {saved.lost_jobs} jobs and {saved.lost_events} events, which could not be read")


COMMANDS: dict[str, type[BaseSettings]] = {"serve": Serve, "demo": Demo, "mend": Mend}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that these arguments (by default those of this process) name."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in COMMANDS:
        command_line.run(COMMANDS[name], f"{PROGRAM} {name}", rest)
    elif name in ("-h", "--help"):
        _say(f"usage: {PROGRAM} COMMAND [OPTION ...]; COMMAND --help names its options\n")
        for command, kind in COMMANDS.items():
            _say(f"  {command:5}  {kind.__doc__}")
    else:
        _say(f"error: there is no command {name!r}; the commands are {', '.join(COMMANDS)}", error=True)
        sys.exit(2)


def _say(line: str, *, error: bool = False) -> None:
    print(line, file=sys.stderr if error else sys.stdout)


if __name__ == "__main__":
    main()
