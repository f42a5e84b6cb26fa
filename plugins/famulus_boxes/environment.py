"""What code in a box can import: a Python, and packages that are not the server's."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec

from famulus import CannotStart

NOTE = "environment.json"


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What was installed, written once it is whole."""

    python: str
    """Of which version, as `3.11`; packages of one are not another's."""
    packages: tuple[str, ...]
    """As `numpy 2.3.1`."""


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The Python that boxes run, and their packages."""

    python: str
    """Path of the interpreter; never that of a virtual environment, which is the server's."""
    prefix: str
    """The folder that it lives in."""
    packages_folder: str | None = None
    packages: tuple[str, ...] = ()
    python_version: str = ""
    stale: str = ""
    """Why the packages that were installed cannot be used."""


def folder_of(data_dir: Path) -> Path:
    """Where the packages of boxes are kept."""
    return data_dir / "sandbox"


def site_packages(folder: Path, version: str) -> Path:
    """Where the virtual environment has its packages; `version` is such as `3.11`."""
    return folder / "venv" / "lib" / f"python{version}" / "site-packages"


def find_environment(data_dir: Path, python: str | None = None) -> Environment:
    """What is installed there; without anything, the standard library alone. May block.

    Raises CannotStart for an interpreter that is none.
    """
    bare = _own() if python is None else _another(python)
    folder = folder_of(data_dir)
    try:
        installed = msgspec.json.decode((folder / NOTE).read_bytes(), type=Installed)
    except (OSError, msgspec.MsgspecError):
        return bare
    version = bare.python_version.rpartition(".")[0]
    if installed.python != version:
        stale = (
            f"the packages of boxes are for Python {installed.python}, and theirs is {version}: "
            "run `famulus sandbox install` again"
        )
        return msgspec.structs.replace(bare, stale=stale)
    return msgspec.structs.replace(
        bare,
        packages_folder=os.path.realpath(site_packages(folder, version)),
        packages=installed.packages,
    )


def _own() -> Environment:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Environment(
        python=os.path.realpath(Path(sys.base_prefix) / "bin" / name),
        prefix=os.path.realpath(sys.base_prefix),
        python_version=platform.python_version(),
    )


def _another(python: str) -> Environment:
    try:
        done = subprocess.run(  # noqa: S603 - the operator names it.
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=30, check=True
        )
        told: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise CannotStart(f"python = {python!r} is no interpreter: {error}") from error
    found = Path(told["prefix"]) / "bin" / f"python{told['version'].rpartition('.')[0]}"
    return Environment(
        python=os.path.realpath(found),
        prefix=os.path.realpath(told["prefix"]),
        python_version=told["version"],
    )


_ASK = """
import json, platform, sys
print(json.dumps({"prefix": sys.base_prefix, "version": platform.python_version()}))
"""
