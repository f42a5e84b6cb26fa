"""Keeps what README.md says about the code equal to the code.

    python ops/docs.py --check     # exit 1 and show the difference where it is not
    python ops/docs.py --write     # make it so

What stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->` is written here.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from famulus import Plugin, Secret, hookspecs
from famulus.cli import command_line
from famulus.config import load_config
from famulus.discover import Found, discover
from famulus.gauges import kernel_gauges
from famulus.kernel import Kernel
from famulus.operations import Operation
from famulus.server_settings import ServerSettings
from famulus.setting_fields import settings_fields
from famulus_schemas import errors, ports
from famulus_schemas.errors import Fault
from famulus_schemas.gauges import Gauge
from famulus_schemas.ports import ALL_PORTS, Port
from famulus_schemas.records import RecordStore, SystemRecords

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

_SECTION = re.compile(r"<!-- begin: (?P<name>.+?) -->\n.*?<!-- end: (?P=name) -->", re.DOTALL)
_BANNER = re.compile(r"^# --- (.+?)\.? -+$", re.MULTILINE)


# --- what there is -------------------------------------------------------------------------------


def ours() -> dict[str, Found]:
    """The plugins of this repository; a stranger's that is installed beside them is not told."""
    return {each.name: each for each in discover() if each.source.endswith("(package famulus)")}


def plugin_types() -> dict[str, type[Plugin[Any]]]:
    """Our plugins' classes by name."""
    return {name: found.load() for name, found in ours().items()}


def hook_signature(function: Callable[..., Any]) -> str:
    """A hook as one implements it, less `self`."""
    word = "async " if inspect.iscoroutinefunction(function) else ""
    return f"{word}{function.__name__}{inspect.signature(function)}".replace("'", "")


def hook_functions() -> list[Callable[..., Any]]:
    """Every hook, in the order of life."""
    return [each for each in vars(hookspecs).values() if hasattr(each, "famulus_spec")]


def protocol_of(port: Port[Any]) -> type[Any]:
    """The Protocol that whoever fills a port keeps to."""
    if port is ports.RECORDS:
        return RecordStore
    if port is ports.RECORDS.system:
        return SystemRecords
    [name] = [name for name, value in vars(ports).items() if value is port]
    hint = typing.get_type_hints(ports, vars(ports))[name]
    [protocol] = typing.get_args(hint)
    return typing.cast("type[Any]", protocol)


def fault_catalogue() -> list[Fault]:
    """Every error that a client can meet, ours and those that plugins add."""
    found = _faults(errors)
    for plugin_type in plugin_types().values():
        package = importlib.import_module(plugin_type.__module__.partition(".")[0])
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            found |= _faults(importlib.import_module(module.name))
    return list(dict.fromkeys(found.values()))


def _faults(module: Any) -> dict[str, Fault]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Fault)}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    yield from _commands("famulus", command_line().whole())


def _commands(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    for name, each in sorted(command.commands.items()):
        yield from _commands(f"{words} {name}", each)


def served_operations() -> list[Operation]:
    """What a server of our plugins serves, in the order of the paths."""
    kernel = Kernel(load_config(None, environment={}), found=list(ours().values()))
    kernel.plan()
    kernel.lifecycle.construct()
    return sorted(kernel.planned_operations(), key=lambda each: (each.path, each.method))


class Metric(msgspec.Struct, frozen=True):
    """A metric as Prometheus names it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


def metrics() -> list[Metric]:
    """Every metric of a server of our plugins: what is counted, and what can be read."""
    from famulus_metrics.catalog import Catalog
    from famulus_metrics.exposition import process_metrics
    from famulus_metrics.tally import Histogram

    found = [
        Metric(
            each.name,
            "histogram" if isinstance(each, Histogram) else "counter",
            each.labels,
            each.help,
        )
        for each in Catalog().all()
    ]
    found += [
        Metric(name, "counter" if each.is_total else "gauge", each.labels, each.help)
        for name, each in _gauges().items()
    ]
    # The library names a total by what stands before `_total`.
    found += [
        Metric(
            f"{each.name}_total" if each.type == "counter" else each.name,
            each.type,
            (),
            each.documentation,
        )
        for each in process_metrics()
    ]
    return found


def _gauges() -> dict[str, Gauge]:
    """What can be read of the server and of each plugin, of those that are off too."""
    found = kernel_gauges(Kernel(load_config(None, environment={}), found=[]))
    for plugin_type in plugin_types().values():
        if hasattr(plugin_type, "register_gauges"):
            # Listing them touches nothing that a start would have made.
            plugin: Any = plugin_type(plugin_type.settings_type(), typing.cast("Any", None))
            found += plugin.register_gauges()
    return {each.name: each for each in found}


# --- how it is told ------------------------------------------------------------------------------


def hooks() -> str:
    """Each hook's signature and promise, under the banner of its time of life."""
    source = inspect.getsource(hookspecs)
    parts = []
    for banner, body in zip(*_split(source), strict=True):
        named = [each for each in hook_functions() if f"def {each.__name__}(" in body]
        rows = [f"- `{hook_signature(each)}`  \n  {inspect.getdoc(each)}" for each in named]
        parts.append("\n".join([f"**{banner}**", "", *rows]))
    return "\n\n".join(parts)


def _split(source: str) -> tuple[list[str], list[str]]:
    pieces = _BANNER.split(source)
    return pieces[1::2], pieces[2::2]


def port_list() -> str:
    """Each port, what its provider does, and who that is."""
    types = plugin_types()
    rows = []
    for port in ALL_PORTS:
        protocol = protocol_of(port)
        names = [f"`{name}`" for name, each in types.items() if port in each.provides]
        filled = f" Provided by {', '.join(names)}." if names else ""
        rows.append(f"- `{port.name}`: `{protocol.__name__}`. {_first_line(protocol)}{filled}")
    return "\n".join(rows)


def plugin_table() -> str:
    """Each plugin, and what it is for."""
    rows = ["| plugin | what it does |", "| --- | --- |"]
    for name, plugin_type in plugin_types().items():
        folder = plugin_type.__module__.partition(".")[0]
        rows.append(f"| [`{name}`](plugins/{folder}) | {_first_line(plugin_type)} |")
    return "\n".join(rows)


def settings() -> str:
    """Each table of settings, the server's own first."""
    tables: dict[str, type[msgspec.Struct]] = {"server": ServerSettings}
    tables |= {f"plugins.{name}": each.settings_type for name, each in plugin_types().items()}
    parts = []
    for title, settings_type in tables.items():
        rows = list(setting_rows(settings_type))
        if not rows:
            continue
        head = ["| setting | default | what it is |", "| --- | --- | --- |"]
        table = "\n".join([*head, *rows])
        summary = f"<summary><code>[{title}]</code></summary>"
        parts.append(f"<details>\n{summary}\n\n{table}\n\n</details>")
    return "\n\n".join(parts)


def setting_rows(settings_type: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """A row for each setting, and for each setting of a table inside it."""
    for field, why, env, flag in settings_fields(settings_type):
        names = "".join(f" `{name}`" for name in (flag, env) if name)
        default = _default(field)
        yield f"| `{prefix}{field.encode_name}` | {default} | {_cell(why)}{names} |"
        inner, is_list = _inner(field.type)
        if inner is not None:
            dots = "[]." if is_list else "."
            yield from setting_rows(inner, f"{prefix}{field.encode_name}{dots}")


def _inner(annotation: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct inside an annotation, and whether there is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation, False
    is_list = typing.get_origin(annotation) is list
    for argument in typing.get_args(annotation):
        found, inside = _inner(argument)
        if found is not None:
            return found, is_list or inside
    return None, False


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        assert field.default_factory is not msgspec.NODEFAULT
        value = field.default_factory()
    if value is None or value in ([], {}, ()) or isinstance(value, msgspec.Struct | Secret):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def command_list() -> str:
    """Each command with its own flags; those of settings are told with the settings."""
    rows = []
    for words, command in commands():
        own = [each for each in command.params if "__" not in str(each.name)]
        usage = " ".join([words, *(_usage(each) for each in own if each.name != "config_file")])
        summary = (command.help or "").split("\n\n")[0].replace("\n", " ")
        rows.append(f"- `{usage}`  \n  {summary}")
    return "\n".join(rows)


def _usage(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        value = "" if parameter.is_flag else f" {str(parameter.name).upper()}"
        return f"[{parameter.opts[0]}{value}]"
    name = str(parameter.name).upper()
    return f"[{name}...]" if parameter.nargs == -1 else name


def error_table() -> str:
    """Each error with its status, its code and the form of its message."""
    rows = ["| status | `code` | `message` |", "| --- | --- | --- |"]
    for fault in sorted(fault_catalogue(), key=lambda each: each.status):
        code = f"`{fault.code}`" if fault.code else ""
        rows.append(f"| {fault.status} | {code} | {_cell(fault.text)} |")
    return "\n".join(rows)


def operation_table() -> str:
    """Each operation that is served."""
    rows = [
        f"| `{each.method} {each.path}` | {_cell(each.summary)} |" for each in served_operations()
    ]
    return "\n".join(["| operation | |", "| --- | --- |", *rows])


def metric_table() -> str:
    """Each metric with its type and what it tells apart."""
    rows = [
        f"| `{each.name}` | {each.type} | {', '.join(f'`{one}`' for one in each.labels)} "
        f"| {_cell(each.help)} |"
        for each in metrics()
    ]
    return "\n".join(["| metric | type | labels | |", "| --- | --- | --- | --- |", *rows])


def file(path: str) -> str:
    """A file of this repository, as it is."""
    language = {".py": "python", ".toml": "toml"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text().rstrip()}\n```"


def _first_line(thing: type[Any]) -> str:
    return _cell((inspect.getdoc(thing) or "").split("\n")[0])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


SECTIONS: dict[str, Callable[[], str]] = {
    "commands": command_list,
    "errors": error_table,
    "hooks": hooks,
    "metrics": metric_table,
    "operations": operation_table,
    "plugins": plugin_table,
    "ports": port_list,
    "settings": settings,
}


def written(text: str) -> str:
    """The text with every section as the code has it. Raises LookupError for an unknown one."""

    def section(match: re.Match[str]) -> str:
        name = match["name"]
        kind, _, argument = name.partition(" ")
        if kind == "file":
            body = file(argument)
        elif name in SECTIONS:
            body = SECTIONS[name]()
        else:
            raise LookupError(f"there is no section {name!r}; there are {sorted(SECTIONS)}")
        return f"<!-- begin: {name} -->\n{body}\n<!-- end: {name} -->"

    return _SECTION.sub(section, text)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--check", action="store_true", help="compare only")
    group.add_argument("--write", action="store_true", help="write the difference")
    options = parser.parse_args()
    before = README.read_text()
    after = written(before)
    if options.write:
        README.write_text(after)
        return 0
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "README.md", "the code")
    difference = "\n".join(lines)
    if difference:
        sys.stdout.write(f"{difference}\n\nRun `python ops/docs.py --write`.\n")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
