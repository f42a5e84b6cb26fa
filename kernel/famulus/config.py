"""Configuration: one TOML file, `FAMULUS_*` variables and flags, to strict structs.

Later sources win: file, then environment, then flags. Every value ends in the settings struct of
the server or of one plugin, which refuses keys it does not know.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from famulus.decoding import decode_settings
from famulus.mistakes import ConfigError, Lines, lines_of, meant, place
from famulus.server_settings import ServerSettings
from famulus.setting_fields import settings_fields, variable_of

__all__ = [
    "Config",
    "ConfigError",
    "PluginConfig",
    "ServerSettings",
    "load_config",
    "plugin_settings",
]

S = TypeVar("S", bound=msgspec.Struct)

_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class PluginConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is configured about one plugin, its settings still undecoded."""

    name: str
    enabled: bool = True
    required: bool = False
    values: Mapping[str, Any] = {}
    """From the file and the variables that are named after the table."""
    flags: Mapping[str, Any] = {}
    """From the command line: over everything else."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was configured, by plugin."""

    server: ServerSettings
    plugins: Mapping[str, PluginConfig] = {}
    ports: Mapping[str, str] = {}
    """Port name to the plugin that shall provide it."""
    source: str = "defaults"
    lines: Lines = {}
    """Where the file has what."""
    of_server: PluginConfig = PluginConfig(name="server")
    """What was given of the server's own settings."""
    environment: Mapping[str, str] = {}

    def origin(self, table: str, key: str = "") -> str:
        """What gave a table, or a key of it: a variable, or else the file and its line."""
        wanted = variable_of(table, key)
        for name in self.environment:
            if name.upper() == wanted or (not key and name.upper().startswith(wanted)):
                return name
        full = table if table in ("server", "ports") else f"plugins.{table}"
        return place(self.source, self.lines, full, key)

    def plugin(self, name: str) -> PluginConfig:
        """The plugin's table, or an empty one; also that of `server`."""
        if name == "server":
            return self.of_server
        return self.plugins.get(name) or PluginConfig(name=name)


def load_config(
    path: Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
    mistakes: list[str] | None = None,
) -> Config:
    """Read all sources. `flags` is by table (`server` or a plugin's name), then by key.

    Raises ConfigError naming file, table and key of each mistake. With `mistakes`, they are added
    there instead, and the rest is read as if they had not been made.
    """
    env = dict(os.environ if environment is None else environment)
    where = str(path) if path else "defaults"
    found: list[str] = [] if mistakes is None else mistakes
    text = _text(path) if path else ""
    lines = lines_of(text)
    tables = _tables(_parsed(text, where), where, lines, found)
    for table, key, value in _from_environment(env):
        tables.setdefault(table, {})[key] = value
    given = {table: dict(values) for table, values in (flags or {}).items()}
    flagged = given.pop("server", {})
    server = tables.pop("server") | _own_variables(ServerSettings, env) | flagged
    ports = tables.pop("ports")
    for port in [port for port, plugin in ports.items() if not isinstance(plugin, str)]:
        at = place(where, lines, "ports", port)
        found.append(f"{at}: [ports] {port} must be a plugin's name, as text")
        del ports[port]
    plugins = {
        name: _plugin(name, tables.get(name, {}), given.get(name, {}), (where, lines), env, found)
        for name in dict.fromkeys([*tables, *given])
    }
    settings = ServerSettings()
    try:
        settings = decode_settings(
            ServerSettings,
            server,
            table="server",
            source=where,
            lines=lines,
            env=env,
            flags=flagged,
        )
    except ConfigError as error:
        found += error.mistakes
    if found and mistakes is None:
        raise ConfigError(*found)
    return Config(
        server=settings,
        of_server=PluginConfig(name="server", values=server, flags=flagged),
        plugins=plugins,
        ports=ports,
        source=where,
        lines=lines,
        environment=env,
    )


_TABLES = ("server", "ports", "plugins")


def _tables(
    document: Mapping[str, Any], where: str, lines: Lines, mistakes: list[str]
) -> dict[str, dict[str, Any]]:
    """The file's tables by name, a plugin's without its prefix."""
    for name in sorted(set(document) - set(_TABLES)):
        at = place(where, lines, name) if (name, "") in lines else place(where, lines, "", name)
        what = f"table [{name}]" if isinstance(document[name], dict) else f"setting {name!r}"
        near = meant(name, _TABLES, written="[{}]")
        mistakes.append(
            f"{at}: unknown {what}; there are [server], [ports] and [plugins.NAME]{near}"
        )

    def table(value: Any, name: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return dict(value)
        at = place(where, lines, *(name.rpartition(".")[::2] if "." in name else ("", name)))
        mistakes.append(f"{at}: [{name}] must be a table")
        return {}

    plugins = table(document.get("plugins", {}), "plugins")
    tables = {name: table(each, f"plugins.{name}") for name, each in plugins.items()}
    for name in ("server", "ports"):
        tables[name] = table(document.get(name, {}), name)
    return tables


def plugin_settings(config: Config, name: str, settings_type: type[S]) -> S:
    """A plugin's settings, with its own variables put in. Raises ConfigError."""
    given = config.plugin(name)
    own = _own_variables(settings_type, config.environment)
    values = {**given.values, **own, **given.flags}
    return decode_settings(
        settings_type,
        values,
        table=f"plugins.{name}",
        source=config.source,
        lines=config.lines,
        env=config.environment,
        flags=given.flags,
    )


def _own_variables(settings_type: type[msgspec.Struct], env: Mapping[str, str]) -> dict[str, Any]:
    return {
        field.name: env[variable]
        for field, _, variable, _ in settings_fields(settings_type)
        # Kubernetes gives FAMULUS_PORT this form beside a service that is called famulus.
        if variable and variable in env and not env[variable].startswith("tcp://")
    }


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, value in env.items():
        table, found, key = name.removeprefix("FAMULUS_").partition("__")
        if name.startswith("FAMULUS_") and found:
            yield table.lower(), key.lower(), value


def _plugin(
    name: str,
    table: Mapping[str, Any],
    flags: Mapping[str, Any],
    source: tuple[str, Lines],
    env: Mapping[str, str],
    mistakes: list[str],
) -> PluginConfig:
    switches = {}
    for key in ("enabled", "required"):
        given = flags.get(key, table.get(key))
        if given is None:
            continue
        value = _SWITCH.get(given.lower()) if isinstance(given, str) else given
        if not isinstance(value, bool):
            variable = variable_of(name, key)
            origin = variable if variable in env else place(*source, f"plugins.{name}", key)
            mistakes.append(f"{origin}: [plugins.{name}] {key} must be true or false")
            continue
        switches[key] = value
    return PluginConfig(name=name, values=_settings(table), flags=_settings(flags), **switches)


def _settings(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in ("enabled", "required")}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: it is not UTF-8") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
