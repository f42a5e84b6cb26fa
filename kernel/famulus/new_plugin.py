"""`famulus new-plugin`: a plugin that works as it is made, to start from."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from famulus import __version__
from famulus.discover import discover

NAME_CHARS_MAX = 30

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_RESERVED = frozenset({"famulus", "plugin", "plugins", "ports", "server", "test", "tests"})

_PACKAGE = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "src/famulus_$name/__init__.py": "plugin.py",
    "src/famulus_$name/operations.py": "operations.py",
    "src/famulus_$name/structs.py": "structs.py",
    "src/famulus_$name/py.typed": "py.typed",
    "tests/conftest.py": "conftest.py",
    "tests/test_$name.py": "test_plugin.py",
}
_SINGLE_FILE = {"$name.py": "single_file.py"}


class NewPluginError(Exception):
    """The plugin cannot be made; says why and what would do."""


def generate(name: str, *, into: Path, single_file: bool) -> list[Path]:
    """Write the files of a new plugin and answer where they are. Raises NewPluginError."""
    chosen = _checked(name)
    words = _words(chosen)
    target = into if single_file else into / f"famulus-{words['dashed']}"
    made = {
        target / Template(path).substitute(words): _filled(template, words)
        for path, template in (_SINGLE_FILE if single_file else _PACKAGE).items()
    }
    taken = [path for path in (made if single_file else [target]) if path.exists()]
    if taken:
        raise NewPluginError(f"{taken[0]} exists already; choose another name or folder")
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(made)


def _checked(name: str) -> str:
    chosen = name.replace("-", "_")
    if not _NAME.fullmatch(chosen) or len(chosen) > NAME_CHARS_MAX:
        raise NewPluginError(
            f"{name!r} cannot be a plugin's name: use small letters and digits, words joined by "
            f"one _ or -, a letter first, at most {NAME_CHARS_MAX} characters, such as my_notes"
        )
    if chosen in _RESERVED or keyword.iskeyword(chosen):
        raise NewPluginError(f"{name!r} cannot be a plugin's name: the word has a meaning already")
    for found in discover():
        if found.name == chosen:
            raise NewPluginError(f"a plugin {chosen!r} is installed already: {found.source}")
    return chosen


def _words(name: str) -> dict[str, str]:
    """What the templates speak of; a class name, a title and so on made from the name."""
    parts = name.split("_")
    return {
        "name": name,
        "dashed": name.replace("_", "-"),
        "title": " ".join(parts).capitalize(),
        "class_name": "".join(part.capitalize() for part in parts),
        "upper": name.upper(),
        "version": __version__,
    }


def _filled(template: str, words: dict[str, str]) -> str:
    text = (files("famulus") / "templates" / f"{template}.template").read_text()
    return Template(text).substitute(words)
