"""Logging: one structlog logger a plugin, as JSON lines or for a person's eyes."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

import msgspec
import structlog

from famulus.log_lines import Lines, line_of

if TYPE_CHECKING:
    from famulus_schemas.notices import RequestServed

Log = structlog.typing.FilteringBoundLogger

LogFormat = Literal["auto", "json", "pretty"]

_SECRET = re.compile(r"(?i)\b(bearer\s+)\S+|\b((?:sk|fam)-[A-Za-z0-9]{2})[A-Za-z0-9_-]{6,}")


SECRET_CHARS_MIN = 6
"""A shorter secret would be found in ordinary words."""


class Redactor:
    """Makes credentials unusable in what is logged: those it knows, and what has their form."""

    def __init__(self) -> None:
        self._known: re.Pattern[str] | None = None
        self._texts: set[str] = set()

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on, wherever they stand."""
        self._texts |= {each for each in secrets if len(each) >= SECRET_CHARS_MIN}
        if self._texts:
            # One that is part of another is looked for after it.
            longest_first = sorted(self._texts, key=len, reverse=True)
            self._known = re.compile("|".join(map(re.escape, longest_first)))

    def text(self, text: str) -> str:
        """The text without any."""
        if self._known is not None:
            text = self._known.sub("[redacted]", text)
        return redact(text)

    def value(self, value: Any) -> Any:
        """A value of an event without any, whatever it is; what is no plain value becomes text."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(each) for each in value]
        return self.text(repr(value))

    def __call__(
        self, _: Any, __: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        for key, value in event.items():
            event[key] = self.value(value)
        return event


def redact(text: str) -> str:
    """The text with everything that has the form of a credential made unusable."""
    return _SECRET.sub(lambda found: (found[1] or found[2]) + "[redacted]", text)


def make_log(
    level: str = "info",
    log_format: LogFormat = "auto",
    *,
    stream: TextIO | None = None,
    redactor: Redactor | None = None,
) -> Log:
    """A logger that writes one event a line to `stream` (stderr where none is given)."""
    out = stream or sys.stderr
    pretty = log_format == "pretty" or (log_format == "auto" and out.isatty())
    hides = redactor or Redactor()
    logger: Log = structlog.wrap_logger(
        Lines(out, hides.text),
        wrapper_class=_with_requests(structlog.make_filtering_bound_logger(level), pretty),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            hides,
            structlog.dev.ConsoleRenderer(colors=out.isatty()) if pretty else _as_json,
        ],
    )
    return logger


class TellRequest(Protocol):
    """Writes a request's line before long.

    Its id may be the client's own, and look like a key, unless it is said to be ours.
    """

    def __call__(self, served: RequestServed, *, has_own_id: bool = False) -> None: ...


class TellsRequests:
    """What our loggers can besides: write a request's line without making an event of it."""

    _logger: Lines

    def request_log(self) -> TellRequest | None:
        """What writes them; None where lines of their level are not written at all."""
        raise NotImplementedError


def request_log(log: Log) -> TellRequest | None:
    """As `TellsRequests.request_log`; of another's logger, what writes by its own ways."""
    bound = log.bind()
    if isinstance(bound, TellsRequests):
        return bound.request_log()
    return partial(_tell_slowly, log)


def flush(log: Log) -> None:
    """Write what waits to be written; in another's logger nothing does."""
    bound = log.bind()
    if isinstance(bound, TellsRequests):
        bound._logger.flush()


def _tell_slowly(log: Log, served: RequestServed, *, has_own_id: bool = False) -> None:
    line = line_of(served)
    fields = msgspec.structs.asdict(line)
    for name in ("event", "level", "timestamp"):
        del fields[name]
    log.info(line.event, **fields)


def _with_requests(base: type[Log], pretty: bool) -> type[Log]:
    class Logger(base, TellsRequests):  # type: ignore[misc, valid-type]
        """The logger of one level."""

        def request_log(self) -> TellRequest | None:
            """As TellsRequests.request_log."""
            if not self.is_enabled_for(logging.INFO):
                return None
            if pretty:
                return partial(_tell_slowly, self)
            return self._logger.soon

    return Logger


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
