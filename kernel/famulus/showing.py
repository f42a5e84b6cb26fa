"""Settings as they are shown: what counts, where it comes from, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from famulus.config import Config
from famulus.mistakes import place, without_passwords
from famulus.plugin import Settings
from famulus.secret import Secret
from famulus.setting_fields import settings_fields, variable_of

HIDDEN = "***"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One setting."""

    key: str
    value: Any
    """Of what can be written in TOML, without secrets."""
    origin: str = "default"
    """The flag, the variable or the line of the file that gave it."""
    is_hidden: bool = False
    why: str = ""
    variable: str = ""


def shown_settings(config: Config, table: str, settings: Settings) -> Iterator[Shown]:
    """The settings of a table, `server` or a plugin's name, as they count."""
    plugin = config.plugin(table)
    for field, why, env, flag in settings_fields(type(settings)):
        value = getattr(settings, field.name)
        yield Shown(
            key=field.name,
            value=_reference(config, plugin.values, field.name, env) or plain(value)
            if isinstance(value, Secret)
            else plain(value),
            origin=_origin(config, table, field.name, env, flag, plugin.flags),
            is_hidden=isinstance(value, Secret),
            why=why,
            variable=env or "",
        )


def _reference(
    config: Config, values: Mapping[str, Any], key: str, variable: str | None
) -> str | None:
    """How a secret is referred to; None for one that was given as it is."""
    given = config.environment.get(variable or "") or values.get(key)
    is_one = isinstance(given, str) and given.startswith(("env:", "file:"))
    return given if is_one and isinstance(given, str) else None


def _origin(
    config: Config,
    table: str,
    key: str,
    variable: str | None,
    flag: str | None,
    flags: Mapping[str, Any],
) -> str:
    if key in flags:
        return flag or "command line"
    for name in (variable, variable_of(table, key)):
        if name and name in config.environment:
            return name
    full = table if table == "server" else f"plugins.{table}"
    at = place(config.source, config.lines, full, key)
    is_given = at != config.source or key in config.plugin(table).values
    return at if is_given else "default"


def plain(value: Any) -> Any:
    """A value of what TOML and JSON have, without secrets and passwords of URLs."""
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {without_passwords(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value


def toml(value: Any) -> str:
    """A plain value as it is written in TOML; what is not given inside of one is left out."""
    if value is None:
        return '""'
    if isinstance(value, dict):
        given = {key: each for key, each in value.items() if each is not None}
        return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in given.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return msgspec.json.encode(value).decode()


# --- an example ---------------------------------------------------------------------------------


def example(tables: Mapping[str, type[Settings]]) -> str:
    """A file of every setting with its default: what begins with `#` and no space is one.

    With these `#` taken away, it is a configuration that changes nothing.
    """
    lines = [
        "# Every setting of Famulus and its plugins, with its default and what it is for.",
        "# Take away the # before a setting to change it. Secrets are given as env:NAME or",
        "# file:/path. Each setting can also be given by a variable, FAMULUS_<PLUGIN>__<KEY>.",
        "#",
        "# Each plugin's table takes enabled = false and required = true, too.",
    ]
    for title, settings_type in tables.items():
        fields = list(settings_fields(settings_type))
        if fields:
            lines += ["", f"[{title}]"]
        for field, why, env, flag in fields:
            ways = ", ".join(each for each in (env, flag) if each)
            lines.append(f"# {why or field.name}" + (f" [{ways}]" if ways else ""))
            lines.append(_example_of(field))
    return "\n".join(lines)


def _example_of(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return f"# {field.name} must be given."
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory()
    if default is None or isinstance(default, Secret):
        return f"# {field.name} has no default."
    return f"#{field.name} = {toml(plain(default))}"
