"""Values to settings structs: strict, and every mistake told with where it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from famulus.mistakes import NO_LINES, ConfigError, Lines, meant, place
from famulus.secret import Secret
from famulus.setting_fields import settings_fields, takes_list, variable_of

S = TypeVar("S", bound=msgspec.Struct)


def decode_settings(
    settings_type: type[S],
    values: Mapping[str, Any],
    *,
    table: str,
    source: str,
    env: Mapping[str, str],
    lines: Lines = NO_LINES,
    flags: Collection[str] = (),
) -> S:
    """Values to a settings struct; text stands for numbers and lists where variables gave it.

    `flags` are the keys that the command line gave. Raises ConfigError saying where each mistake
    is.
    """

    def where(key: str) -> str:
        origin = _origin(settings_type, table, key, env, flags)
        return origin or place(source, lines, table, key)

    def hook(wanted: type, value: Any) -> Any:
        if wanted is not Secret or not isinstance(value, str):
            raise ValueError("Expected text, `env:NAME` or `file:/path`")
        try:
            return Secret.from_reference(value, env)
        except ConfigError as error:
            # As a ValueError, msgspec adds the key's name to it.
            raise ValueError(str(error)) from error

    types = {field.name: field.type for field, *_ in settings_fields(settings_type)}
    mistakes = []
    for key in [key for key in values if key not in types]:
        has = f"it has {', '.join(types) or 'none'}{meant(key, types)}"
        mistakes.append(f"{where(key)}: [{table}] has no setting {key!r}; {has}")
    given = {key: _split(types[key], value) for key, value in values.items() if key in types}
    for key, value in given.items():
        # Each by itself: together, only the first mistake would be told.
        try:
            msgspec.convert(value, types[key], strict=False, dec_hook=hook)
        except msgspec.ValidationError as error:
            mistakes.append(f"{where(key)}: [{table}]: {_with_key(str(error), key)}")
    if mistakes:
        raise ConfigError(*mistakes)
    try:
        settings = _converted(given, settings_type, hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where('')}: [{table}]: {_without_value(str(error))}") from error
    for path, value in _numbers(settings):
        if value < 0 or not math.isfinite(value):
            at = where(path.partition(".")[0])
            mistakes.append(f"{at}: [{table}]: `{path}` must be a number from 0 up")
    if mistakes:
        raise ConfigError(*mistakes)
    return settings


def _converted(
    given: Mapping[str, Any], settings_type: type[S], hook: Callable[[type, Any], Any]
) -> S:
    """Raises msgspec.ValidationError."""
    if given or any(field.required for field, *_ in settings_fields(settings_type)):
        return msgspec.convert(given, settings_type, strict=False, dec_hook=hook)
    # Most plugins are told nothing, for which msgspec would read all annotations once more.
    try:
        return settings_type()
    except (ValueError, TypeError) as error:
        raise msgspec.ValidationError(str(error)) from error


def _origin(
    settings_type: type[msgspec.Struct],
    table: str,
    key: str,
    env: Mapping[str, str],
    flags: Collection[str],
) -> str | None:
    """The flag or the variable that gave a setting; None where it is from the file."""
    own = {
        field.name: (variable, flag) for field, _, variable, flag in settings_fields(settings_type)
    }
    variable, flag = own.get(key, (None, None))
    if key in flags:
        return flag or "command line"
    for each in (variable, variable_of(table.removeprefix("plugins."), key)):
        if each in env:
            return each
    return None


def _numbers(settings: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in settings by its path. None of them can mean anything below zero."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, msgspec.Struct):
                yield from _numbers(one, f"{prefix}{name}.")
            elif isinstance(one, int | float) and not isinstance(one, bool):
                yield f"{prefix}{name}", one


def _split(annotation: Any, value: Any) -> Any:
    """A variable gives a list as text with commas."""
    if isinstance(value, str) and takes_list(annotation):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _with_key(message: str, key: str) -> str:
    if " - at `$" in message:
        return message.replace("`$", f"`{key}")
    return f"{message} - at `{key}`"


def _without_value(message: str) -> str:
    return message.replace("`$.", "`").replace("`$`", "the table")
