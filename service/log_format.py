"""The service's own log, on stderr: as text, or as one JSON object a line."""

import logging

from service.encoding import encode


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: `time`, `level`, `logger`, `message`, `job_id`, `action`, … if it has them."""

    _PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        about = {"time": record.created, "level": record.levelname.lower(), "logger": record.name}
        extra = {name: value for name, value in vars(record).items() if name not in self._PLAIN}
        if record.exc_info:
            extra["exception"] = self.formatException(record.exc_info)
        return encode({**about, "message": record.getMessage(), **extra}).decode()


def start(form: str) -> None:
    """Have this process log from now on."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if form == "json":
        logging.getLogger().handlers[0].setFormatter(JsonFormatter())
