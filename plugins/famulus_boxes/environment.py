"""What code in a box can import: a Python, and packages that are not the server's."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import msgspec

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


def site_packages(folder: Path) -> Path:
    """Where a virtual environment of this Python has its packages."""
    return folder / "venv" / "lib" / f"python{_version()}" / "site-packages"


def find_environment(data_dir: Path) -> Environment:
    """What is installed there; without anything, the standard library alone."""
    bare = Environment(
        python=os.path.realpath(Path(sys.base_prefix) / "bin" / f"python{_version()}"),
        prefix=os.path.realpath(sys.base_prefix),
        python_version=platform.python_version(),
    )
    folder = folder_of(data_dir)
    try:
        installed = msgspec.json.decode((folder / NOTE).read_bytes(), type=Installed)
    except (OSError, msgspec.MsgspecError):
        return bare
    if installed.python != _version():
        stale = (
            f"the packages of boxes are for Python {installed.python}, and this is {_version()}: "
            "run `famulus sandbox install` again"
        )
        return msgspec.structs.replace(bare, stale=stale)
    return msgspec.structs.replace(
        bare,
        packages_folder=os.path.realpath(site_packages(folder)),
        packages=installed.packages,
    )


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
