"""What a service logs: lines for people, or one JSON object a line. Never a camera's password."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from typing import Any

from edge_fairmot.sources.address import without_secrets

FIELDS = "fields"
"""Name of the attribute of a record that holds what a program may want to read beside the message."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)


class TextFormatter(logging.Formatter):
    """Time, level and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        return f"{_moment(record)} {record.levelname:<7} {_message(record, self)}"


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": "info", "logger": ..., "message": ...}`` and the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        document: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record, self),
        }
        return json.dumps(document | getattr(record, FIELDS, {}), default=str)


def begin_logging(level: str, form: str) -> None:
    """Log to stderr from now on, whatever was set up before.

    Parameters
    ----------
    level : str
        As in ``info``.
    form : str
        ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    # Ours are without secrets already; a library's need not be.
    return _ADDRESS.sub(lambda found: without_secrets(found[0]), message)
