"""Logging: one structlog logger a plugin, as JSON lines or for a person's eyes."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog

Log = structlog.typing.FilteringBoundLogger

LogFormat = Literal["auto", "json", "pretty"]

_SECRET = re.compile(r"(?i)\b(bearer\s+)\S+|\b((?:sk|fam)-[A-Za-z0-9]{2})[A-Za-z0-9_-]{6,}")


def redact(text: str) -> str:
    """The text with everything that has the form of a credential made unusable."""
    return _SECRET.sub(lambda found: (found[1] or found[2]) + "[redacted]", text)


def make_log(
    level: str = "info", log_format: LogFormat = "auto", *, stream: TextIO | None = None
) -> Log:
    """A logger that writes one event a line to `stream` (stderr where none is given)."""
    out = stream or sys.stderr
    pretty = log_format == "pretty" or (log_format == "auto" and out.isatty())
    logger: Log = structlog.wrap_logger(
        structlog.WriteLogger(out),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redacted,
            structlog.dev.ConsoleRenderer(colors=out.isatty()) if pretty else _as_json,
        ],
    )
    return logger


def _redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def _as_json(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


class ForwardToLog(logging.Handler):
    """Passes the standard library's records on, for libraries that log that way."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
        )
