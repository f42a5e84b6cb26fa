"""Installs packages for boxes into a virtual environment that no server runs in."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from famulus_boxes.environment import NOTE, Environment, Installed

_PIP_S = 1_800


class InstallFailed(Exception):
    """Packages could not be installed; says what pip said."""


def install(
    folder: Path,
    environment: Environment,
    requirements: Path,
    *,
    more: Sequence[str] = (),
    wheels: Path | None = None,
) -> tuple[str, ...]:
    """Install packages, in place of those that were there; what boxes can import then.

    What was there stays until all is installed. Raises InstallFailed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "venv.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        pip = _made(environment, fresh)
        # No package may run code while it is installed, as one that is built does.
        options = ["--quiet", "--only-binary", ":all:", "-r", str(requirements), *more]
        if wheels is not None:
            options += ["--no-index", "--find-links", str(wheels)]
        _run(*pip, "install", *options)
        packages = _packages(fresh)
        _replace(folder, fresh)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    version = environment.python_version.rpartition(".")[0]
    note = folder / f"{NOTE}.new"
    note.write_bytes(msgspec.json.encode(Installed(python=version, packages=packages)))
    os.replace(note, folder / NOTE)
    return packages


def _made(environment: Environment, fresh: Path) -> tuple[str, ...]:
    """Make the virtual environment; the command of a pip that installs into it."""
    python, options = str(fresh / "bin" / "python"), ("--disable-pip-version-check",)
    if importlib.util.find_spec("pip") is not None:
        # The server's own pip does it from outside, so that boxes have none.
        _run(environment.python, "-m", "venv", "--without-pip", str(fresh))
        return (sys.executable, "-m", "pip", "--python", python, *options)
    _run(environment.python, "-m", "venv", str(fresh))
    return (python, "-m", "pip", *options)


def _replace(folder: Path, fresh: Path) -> None:
    (folder / NOTE).unlink(missing_ok=True)
    old = folder / "venv.old"
    shutil.rmtree(old, ignore_errors=True)
    if (folder / "venv").exists():
        os.replace(folder / "venv", old)
    os.replace(fresh, folder / "venv")
    shutil.rmtree(old, ignore_errors=True)


def _packages(venv: Path) -> tuple[str, ...]:
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps(sorted(f'{d.name} {d.version}' for d in m.distributions())))"
    )
    return tuple(json.loads(_run(str(venv / "bin" / "python"), "-I", "-c", code)))


def _run(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - pip, and what the operator names for it.
            command, capture_output=True, text=True, timeout=_PIP_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InstallFailed(str(error)) from error
    if done.returncode != 0:
        raise InstallFailed(f"{' '.join(command[:4])} failed:\n{done.stderr.strip()[-2_000:]}")
    return done.stdout
