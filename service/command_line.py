"""Commands whose flags are the fields of a settings class: their help, and what is said of a wrong one."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

#: How a field becomes a flag: `data_dir` is `--data-dir`, one that is true or false has `--no-…`.
FLAGS = SettingsConfigDict(cli_kebab_case=True, cli_implicit_flags=True, cli_hide_none_type=True, cli_avoid_json=True)
#: What stands for no default in a help text; where one means something, the description says what.
_NO_DEFAULT = re.compile(r" \(default(: None|: \(\)| factory: .*)\)$")
#: A flag that may be given several times: what each is.
_MANY = re.compile(r"tuple\[(\w+),\.\.\.\]$")


class Command(BaseSettings):
    """A command with flags of its own; unlike the service's settings they are not read from the environment."""

    model_config = SettingsConfigDict(**FLAGS, frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


class Parser(argparse.ArgumentParser):
    """argparse's, with one line for an error and help without Python's own words."""

    def add_argument(self, *names: str, **about: object) -> argparse.Action:
        if isinstance(text := about.get("help"), str):
            about["help"] = _NO_DEFAULT.sub("", text)
        if isinstance(kind := about.get("metavar"), str):
            about["metavar"] = _MANY.sub(r"\1", kind)
        return super().add_argument(*names, **about)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; {self.prog} --help names the options\n")


def run(command: type[BaseSettings], name: str, arguments: Sequence[str]) -> None:
    """Make the command of these arguments, and call its `cli_cmd`. Exits with 2 where an argument is wrong."""
    parser = Parser(prog=name, description=command.__doc__, allow_abbrev=False)
    flags = CliSettingsSource[Parser](command, root_parser=parser, add_argument_method=Parser.add_argument)
    try:
        CliApp.run(command, cli_args=list(arguments), cli_settings_source=flags)
    except ValidationError as error:
        faults = [f"{item['loc'][0]}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()]
        parser.error("; ".join(faults))
