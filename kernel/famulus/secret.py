"""Secrets among the settings: where they are read from, and that they do not show themselves."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from famulus.mistakes import ConfigError


class Secret:
    """A secret given as text, as `env:NAME` or as `file:/path`. It never shows itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def from_reference(cls, reference: str, environment: Mapping[str, str]) -> Secret:
        """Resolve a reference. Raises ConfigError for a dead one, or a file that all may read."""
        scheme, _, rest = reference.partition(":")
        if scheme == "env":
            if rest not in environment:
                raise ConfigError(f"the environment variable {rest} is not set")
            return cls(environment[rest])
        if scheme == "file":
            return cls(_secret_file(Path(rest)))
        return cls(reference)

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def secrets_in(value: Any) -> Iterator[Secret]:
    """Every secret in settings, however deep."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from secrets_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from secrets_in(each)


def refuse_readable(path: Path, what: str) -> None:
    """Raise ConfigError for a secret file that is not there, or that everybody can read."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise ConfigError(f"{what} {path} can be read by everyone; chmod 600 it")
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from error


def _secret_file(path: Path) -> str:
    what = "the secret file"
    refuse_readable(path, what)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from error
