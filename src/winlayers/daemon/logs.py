"""What the daemon logs: a line each, as JSON for machines or as text for people.

Facts are given by ``extra`` and become fields: ``snapshot``, ``digest``, ``call``, ``engine``.
"""

from __future__ import annotations

import json
import logging
import sys
import time

LEVELS = ("debug", "info", "warning", "error")
_FACTS = ("engine", "call", "snapshot", "digest", "seconds")


class JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        seconds, fraction = divmod(record.created, 1)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        told = {
            "time": f"{moment}.{int(fraction * 1000):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        told |= {name: getattr(record, name) for name in _FACTS if hasattr(record, name)}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


class TextFormatter(logging.Formatter):
    """A line for people; facts follow as ``name=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = f"{record.levelname.lower()}: {record.getMessage()}"
        facts = [f"{name}={getattr(record, name)}" for name in _FACTS if hasattr(record, name)]
        text = " ".join((line, *facts))
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def begin_logging(level: str, *, as_json: bool) -> None:
    """Log to standard error.

    Args:
        level: one of ``LEVELS``.
        as_json: objects, not text.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logger = logging.getLogger("winlayers")
    logger.handlers[:] = [handler]
    logger.propagate = False
    set_level(level)


def set_level(level: str) -> None:
    """Log from another level on."""
    logging.getLogger("winlayers").setLevel(level.upper())
