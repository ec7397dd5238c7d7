"""Saying once that something beside a training has failed."""

import logging


class Complaint:
    """Logs the exception that is being handled, the first time only: what fails in every epoch is told once."""

    def __init__(self, logger: logging.Logger, text: str, action: str) -> None:
        self._logger = logger
        self._text = text
        self._action = action
        self._made = False

    def make(self) -> None:
        if not self._made:
            self._logger.exception(self._text, extra={"action": self._action})
        self._made = True
