"""Configuration: one TOML file, `FAMULUS_*` variables and flags, to strict structs.

Later sources win: file, then environment, then flags. Every value ends in the settings struct of
the server or of one plugin, which refuses keys it does not know. A setting may name a variable
and a flag of its own, `Annotated[..., msgspec.Meta(extra={"env": "FAMULUS_X", "flag": "--x"})]`;
all others are `FAMULUS_<PLUGIN>__<KEY>`.
"""

from __future__ import annotations

import math
import os
import stat
import tomllib
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from famulus.log import LogFormat
from famulus.mistakes import NO_LINES, Lines, lines_of, meant, place, without_passwords
from famulus.plugin import Settings

S = TypeVar("S", bound=msgspec.Struct)

SETTINGS_TYPES_KEPT_MAX = 256
"""More than a server has plugins."""

_SWITCH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class ConfigError(Exception):
    """The configuration cannot be used; says of each mistake where, and what would be accepted."""

    def __init__(self, *mistakes: str) -> None:
        self.mistakes = tuple(map(without_passwords, mistakes))
        super().__init__("\n".join(self.mistakes))


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


def setting(*, env: str | None = None, flag: str | None = None, why: str = "") -> msgspec.Meta:
    """What `Annotated` a setting with: its own variable and flag, and the reason it is there."""
    extra = {key: value for key, value in (("env", env), ("flag", flag)) if value}
    return msgspec.Meta(description=why or None, extra=extra)


class ServerSettings(Settings, frozen=True, kw_only=True):
    """The kernel's own settings, table `[server]`."""

    host: Annotated[
        str, setting(env="FAMULUS_HOST", flag="--host", why="Address to listen on.")
    ] = "127.0.0.1"
    port: Annotated[
        int,
        msgspec.Meta(ge=0, le=65_535),
        setting(env="FAMULUS_PORT", flag="--port", why="Port to listen on; 0 for any."),
    ] = 8400
    data_dir: Annotated[
        str,
        setting(env="FAMULUS_DATA_DIR", flag="--data-dir", why="Where plugins keep their files."),
    ] = "famulus-data"
    plugins_dir: Annotated[
        str | None,
        setting(
            env="FAMULUS_PLUGINS_DIR",
            flag="--plugins-dir",
            why="A folder whose `.py` files are loaded as plugins.",
        ),
    ] = None
    hosts: Annotated[
        list[str],
        setting(
            why="Names that clients call it by, as `api.example.com`, `*.example.com`, or `*` for "
            "any. If not given: any, but where it listens on this machine only, names of that."
        ),
    ] = []
    cors_origins: Annotated[
        list[str],
        setting(
            why="Origins whose pages may use the API from a browser, as `https://app.example.com`."
        ),
    ] = []
    trusted_proxies: Annotated[
        list[str],
        setting(
            why="Addresses and networks of proxies, as `10.0.0.0/8`, whose `X-Forwarded-For` and "
            "`X-Forwarded-Proto` count; nobody else's do."
        ),
    ] = []
    tls_cert: Annotated[
        str | None, setting(why="File of the certificate and its chain (PEM), to serve HTTPS.")
    ] = None
    tls_key: Annotated[
        str | None,
        setting(why="File of its key (PEM), which others must not be able to read."),
    ] = None
    tls_handshake_s: Annotated[
        float, msgspec.Meta(gt=0), setting(why="Seconds in which a connection must be encrypted.")
    ] = 5.0
    hsts_s: Annotated[
        int,
        setting(
            why="Seconds for which browsers keep to HTTPS once they came by it; 0 says nothing. "
            "Not said where it listens on this machine alone, unless behind trusted proxies."
        ),
    ] = 31_536_000
    log_level: Annotated[
        typing.Literal["debug", "info", "warning", "error"],
        setting(env="FAMULUS_LOG_LEVEL", flag="--log-level", why="The least level logged."),
    ] = "info"
    log_format: Annotated[
        LogFormat,
        setting(
            env="FAMULUS_LOG_FORMAT",
            flag="--log-format",
            why="`json`, `pretty`, or by whether stderr is a terminal.",
        ),
    ] = "auto"
    log_requests: Annotated[
        bool, setting(why="Whether each request is a line of the log, at level `info`.")
    ] = True
    header_s: Annotated[float, setting(why="Seconds in which the headers must arrive.")] = 10.0
    header_bytes_max: Annotated[int, setting(why="Size of all headers together.")] = 65_536
    body_s: Annotated[float, setting(why="Seconds in which a JSON body must arrive.")] = 60.0
    body_bytes_max: Annotated[
        int, setting(why="Size of a JSON body; operations that take files set their own.")
    ] = 10_485_760
    stream_idle_s: Annotated[
        float, setting(why="Seconds a body with files may be silent while it arrives.")
    ] = 30.0
    stream_bytes_per_s_min: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="Pace that a body with files must keep, once `body_s` have passed."),
    ] = 1024
    linger_s: Annotated[
        float,
        setting(why="Seconds a body that is not read may still come, so that its answer is read."),
    ] = 10.0
    form_parts_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Fields and files of one form.")
    ] = 64
    form_field_bytes_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Size of one field of a form that is no file.")
    ] = 65_536
    form_header_bytes_max: Annotated[
        int,
        msgspec.Meta(ge=128),
        setting(why="Size of one header inside a form, which is where a file's name stands."),
    ] = 8192
    json_depth_max: Annotated[int, setting(why="Nesting of a JSON body.")] = 64
    connections_max: Annotated[
        int,
        setting(
            why="Open connections; further ones are answered 503, or closed where the server "
            "itself encrypts."
        ),
    ] = 12_000
    connections_per_address_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(
            why="Open connections of one address, trusted proxies apart; further ones are answered "
            "429, or closed likewise."
        ),
    ] = 4000
    backlog: Annotated[int, setting(why="Connections that may wait to be accepted.")] = 2048
    idle_s: Annotated[float, setting(why="Seconds a kept connection may idle.")] = 75.0
    heartbeat_s: Annotated[
        float, setting(why="Seconds of silence after which a stream sends a comment.")
    ] = 15.0
    send_s: Annotated[
        float, setting(why="Seconds a stream's reader may take for one send; then it is dropped.")
    ] = 30.0
    streams_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Open streams; further ones are answered 429.")
    ] = 10_000
    streams_per_key_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Open streams of one key, likewise.")
    ] = 5000
    start_s: Annotated[float, setting(why="Seconds a plugin may take to start.")] = 60.0
    stop_s: Annotated[float, setting(why="Seconds a plugin may take to stop.")] = 10.0
    drain_s: Annotated[
        float, setting(why="Seconds open requests and streams may go on at a stop.")
    ] = 25.0
    retry_failed_s: Annotated[
        float,
        setting(why="Seconds before a plugin that failed and that others need is tried again."),
    ] = 2.0
    retry_failed_max_s: Annotated[
        float, setting(why="What that pause grows to, doubled at each attempt.")
    ] = 60.0
    health_s: Annotated[float, setting(why="Seconds a health check may take.")] = 3.0
    notices_max: Annotated[
        int, setting(why="Notices that may wait for `on_event`; further ones are lost.")
    ] = 10_000


def variable_of(table: str, key: str) -> str:
    """The variable that is named after a setting."""
    return f"FAMULUS_{table}__{key}".upper()


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


Described = tuple[msgspec.structs.FieldInfo, str, str | None, str | None]


# Kept, since a start asks for each type's several times, and annotations are slow to read.
@lru_cache(maxsize=SETTINGS_TYPES_KEPT_MAX)
def settings_fields(settings_type: type[msgspec.Struct]) -> tuple[Described, ...]:
    """Each field with its reason, its own variable and its own flag."""
    return tuple(map(_described, msgspec.structs.fields(settings_type)))


def _described(field: msgspec.structs.FieldInfo) -> Described:
    why, env, flag = "", None, None
    for meta in _metas(field.type):
        why = meta.description or why
        extra = meta.extra or {}
        env, flag = extra.get("env", env), extra.get("flag", flag)
    return field, why, env, flag


def _metas(annotation: Any) -> list[msgspec.Meta]:
    return [part for part in typing.get_args(annotation)[1:] if isinstance(part, msgspec.Meta)]


def _plain(annotation: Any) -> Any:
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def takes_list(annotation: Any) -> bool:
    """Whether a setting holds several values."""
    return typing.get_origin(_plain(annotation)) in (list, tuple)


def _split(annotation: Any, value: Any) -> Any:
    """A variable gives a list as text with commas."""
    if isinstance(value, str) and takes_list(annotation):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


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


def _with_key(message: str, key: str) -> str:
    if " - at `$" in message:
        return message.replace("`$", f"`{key}")
    return f"{message} - at `{key}`"


def _without_value(message: str) -> str:
    return message.replace("`$.", "`").replace("`$`", "the table")
