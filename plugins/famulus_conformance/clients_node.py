"""The same table by the official client for Node, in a process of its own."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from famulus_conformance import scenarios_model
from famulus_conformance.scenarios import Scenario
from famulus_conformance.scenarios_model import Model
from famulus_conformance.wheel_oracle import cache_folder

NODE = "Node"
"""What its findings call it."""
HERE = Path(__file__).parent / "node"
FILES = ("package.json", "package-lock.json", "scenarios.mjs")
INSTALL_S = 60.0
ALL_S = 600.0
"""For the whole table."""
SAID = (
    "ECHO",
    "GREETING",
    "NAME",
    "NAME_AGAIN",
    "CAPITAL",
    "CONTEXT",
    "WEATHER",
    "CITY",
    "WEATHER_TWICE",
    "CITIES",
    "DEGREES",
    "GET_WEATHER",
)
"""Of `scenarios_model`, what the client for Node says too."""


class NoNode(Exception):
    """Node or its client cannot be had; says why."""


def played_by_node(
    base_url: str, api_key: str, model: Model, scenarios: Sequence[Scenario]
) -> Mapping[str, str]:
    """What does not hold, by the scenario's name; empty where all does. Raises NoNode."""
    folder = installed()
    table = {
        "model": asdict(model),
        "said": {name: getattr(scenarios_model, name) for name in SAID},
        "scenarios": [scenario.name for scenario in scenarios],
    }
    done = subprocess.run(  # noqa: S603 - our own program
        [_found("node"), str(folder / "scenarios.mjs")],
        env={**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": api_key},
        input=json.dumps(table),
        capture_output=True,
        text=True,
        timeout=ALL_S,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {line["name"]: "" if line["ok"] else str(line["detail"]) for line in lines}
    cut_off = f"it ended with {done.returncode} before this one: {done.stderr}"
    return {each.name: told.get(each.name, cut_off) for each in scenarios}


def its_scenarios() -> Sequence[str]:
    """The names of those that it has a way to play. Raises NoNode."""
    folder = installed()
    done = subprocess.run(  # noqa: S603 - our own program
        [_found("node"), str(folder / "scenarios.mjs"), "--names"],
        env={**os.environ, "OPENAI_API_KEY": "none"},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=True,
    )
    names: Sequence[str] = json.loads(done.stdout)
    return names


def installed() -> Path:
    """A folder with the program and the locked client, made once for each version of them.

    Raises NoNode.
    """
    npm = _found("npm")
    contents = b"".join((HERE / name).read_bytes() for name in FILES)
    folder = cache_folder() / f"node-{hashlib.sha256(contents).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # Two that come at once would install over each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in FILES:
            shutil.copyfile(HERE / name, folder / name)
        if not _is_installed(folder):
            _install(npm, folder)
    return folder


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise NoNode(f"{program} is not installed")
    return path


def _is_installed(folder: Path) -> bool:
    """Whether all that is locked lies there in its version."""
    locked: Mapping[str, Any] = json.loads((folder / "package-lock.json").read_text())["packages"]
    return all(
        _version(folder / path) == package["version"] for path, package in locked.items() if path
    )


def _version(package: Path) -> str | None:
    try:
        return str(json.loads((package / "package.json").read_text())["version"])
    except FileNotFoundError:
        return None


def _install(npm: str, folder: Path) -> None:
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    try:
        done = subprocess.run(  # noqa: S603 - the registry's client, with what the lock names
            [*command, "--fetch-retry-mintimeout=1000"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        raise NoNode(f"npm ci was not done in {INSTALL_S:g} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise NoNode(f"npm ci failed: {' '.join(errors[:5])}")
