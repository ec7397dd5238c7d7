"""The pictures of the machines in the documentation are those of the code."""

from tests import pictures


def test_the_pictures_of_the_machines_are_current() -> None:
    page = pictures.PAGE.read_text()
    assert pictures.drawn(page) == page, "run `python -m tests.pictures`"
