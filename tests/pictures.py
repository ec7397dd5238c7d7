"""The pictures of the machines in docs/architecture.md, drawn from the tables that the code uses.

`python -m tests.pictures` writes them anew; tests/test_pictures.py holds the page to them.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

from service.going_on import DECISIONS, EVALUATIONS, REFUSALS
from service.workers import inputs
from service.workers.attempt import Stage
from service.workers.transitions import TABLE, Row

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"


def _words(name: str) -> str:
    """`WorkerGone` → worker gone."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _input(row: "Row[inputs.Input]") -> str:
    return _words(row.on.__name__) + (f": {row.when.text}" if row.when else "")


def _first_line(function: Callable[..., object]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


def attempt() -> str:
    """What moves an attempt from stage to stage, and all that it does."""
    ways: dict[tuple[Stage, Stage], list[str]] = {}
    for row in TABLE:
        for stage in row.at:
            if row.to is not None:
                ways.setdefault((stage, row.to), []).append(_input(row).replace(": ", ", ").replace("`", ""))
    arrows = [f"    {start} --> {end}: {' / '.join(inputs)}" for (start, end), inputs in ways.items()]
    drawing = ["```mermaid", "stateDiagram-v2", "    [*] --> starting", *arrows, "    over --> [*]", "```"]
    head = ["| in | on | what is done | then |", "|---|---|---|---|"]
    rows = [
        f"| {', '.join(row.at)} | {_input(row)} | {_first_line(row.do)} | {f'**{row.to}**' if row.to else ''} |"
        for row in TABLE
    ]
    return "\n".join([*drawing, "", *head, *rows])


def going_on() -> str:
    """What becomes of a job that the service left, of a resume, and when only the evaluation is left."""
    found = [f"| {when} | {what} |" for when, _, what, _ in DECISIONS]
    refused = [f"| {when} | `{why}` |".replace("{{", "{").replace("}}", "}") for when, _, why in REFUSALS]
    left = [f"- {when}" for when, _ in EVALUATIONS]
    return "\n".join(
        [
            *("| the service finds that | the job's log gets |", "|---|---|", *found, ""),
            *("| a resume is asked for, but | 409 |", "|---|---|", *refused, ""),
            *(
                "A next attempt does nothing but the final evaluation, unless more epochs are asked for, when",
                "",
                *left,
            ),
        ]
    )


PICTURES: dict[str, Callable[[], str]] = {"attempt": attempt, "going_on": going_on}


def drawn(page: str) -> str:
    """The page with each picture as it is now."""
    for name, draw in PICTURES.items():
        between = re.compile(rf"(<!-- picture: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        picture = draw().replace("\\", r"\\")
        page, count = between.subn(rf"\g<1>{picture}\n\g<2>", page)
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} places for the picture {name!r}")
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
