"""What plugins there are, learnt from metadata and file names; nothing is imported here."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

from famulus.mistakes import ConfigError
from famulus.plugin import Plugin

GROUP = "famulus.plugins"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that could be loaded."""

    name: str
    source: str
    """Where it comes from, for people."""
    load: Callable[[], type[Plugin[Any]]]
    """Imports it. Raises whatever its module raises, or TypeError."""


def discover(plugins_dir: Path | None = None) -> list[Found]:
    """Installed plugins, then the files of `plugins_dir`, by name. Raises ConfigError."""
    by_name: dict[str, Found] = {}
    for found in (*_installed(), *_files(plugins_dir)):
        other = by_name.setdefault(found.name, found)
        if other is not found and other.source != found.source:
            raise ConfigError(
                f"two plugins are called {found.name!r}: {other.source} and {found.source}; "
                "rename or remove one"
            )
    return sorted(by_name.values(), key=lambda found: found.name)


def found_class(plugin_type: type[Plugin[Any]]) -> Found:
    """A plugin given as a class, as tests do."""
    name = plugin_type.name or plugin_type.__name__.lower()
    where = f"class {plugin_type.__module__}.{plugin_type.__qualname__}"
    return Found(name=name, source=where, load=lambda: plugin_type)


def _installed() -> Iterator[Found]:
    # A package's name is read anew each time it is asked for, out of all that its README says.
    package = cache(_package)
    for entry in entry_points(group=GROUP):
        source = f"{entry.value} (package {package(entry.dist)})"
        yield Found(name=entry.name, source=source, load=partial(_checked, entry))


def _package(distribution: Distribution | None) -> str:
    return distribution.name if distribution else "?"


def _checked(entry: EntryPoint) -> type[Plugin[Any]]:
    loaded = entry.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Plugin)):
        raise TypeError(f"{entry.value} is not a subclass of famulus.Plugin")
    return loaded


def _files(folder: Path | None) -> Iterator[Found]:
    if folder is None:
        return
    if not folder.is_dir():
        raise ConfigError(f"plugins_dir {folder} is not a folder")
    for path in sorted(folder.glob("*.py")):
        if not path.stem.startswith("_"):
            yield Found(name=path.stem, source=str(path), load=partial(_from_file, path))


def _from_file(path: Path) -> type[Plugin[Any]]:
    name = f"famulus_plugin_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TypeError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Annotations are resolved through sys.modules, so the module must be there while it runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == name
    ]
    if len(classes) != 1:
        raise TypeError(f"{path} must define exactly one Plugin class, but defines {len(classes)}")
    return classes[0]
