from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from edge_fairmot.cli.console import FIELDS, JsonFormatter, TextFormatter


def record(message: str, *arguments: Any, **fields: Any) -> logging.LogRecord:
    one = logging.LogRecord("edge_fairmot.x", logging.WARNING, "x.py", 1, message, arguments, None)
    if fields:
        setattr(one, FIELDS, fields)
    return one


def test_a_line_for_people() -> None:
    line = TextFormatter().format(record("%s lost", "camera"))
    assert line.endswith("WARNING camera lost")
    assert line.startswith("20")


def test_a_line_for_programs() -> None:
    document = json.loads(JsonFormatter().format(record("12 frames", frames=12, counts={"door": {"in": 1}})))
    assert document["level"] == "warning"
    assert (document["frames"], document["counts"]) == (12, {"door": {"in": 1}})
    assert document["message"] == "12 frames"
    assert document["time"].endswith("+00:00")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_passwords_are_not_logged_by_any_logger(formatter: logging.Formatter) -> None:
    line = formatter.format(record("cannot open 'rtsp://admin:hunter2@cam/1?key=hunter2': no route"))
    assert "hunter2" not in line
    assert "rtsp://***@cam/1" in line
