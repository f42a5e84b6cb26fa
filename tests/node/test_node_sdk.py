"""The official client for Node walks the same road as the one for Python in `tests/e2e`."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import KEY, serve

HERE = Path(__file__).parent
INSTALL_S = 60.0
SCENARIO_S = 150.0

CHECKS = (
    "an assistant is created, retrieved, updated and deleted",
    "assistants are listed over several pages",
    "a thread is created, retrieved, updated and deleted",
    "a thread is created from no arguments",
    "a message is created, retrieved, updated and deleted",
    "messages are listed over several pages",
    "createAndPoll gives the right answer",
    "createAndRunPoll gives the right answer",
    "runs.stream tells its handlers everything in order",
    "createAndRunStream gives the right answer",
    "the events of a stream are iterated without a helper",
    "a stream tells its handlers of a function call",
    "submitToolOutputsAndPoll goes on with a run",
    "submitToolOutputsStream goes on with a run",
    "outputs are submitted from within a stream",
    "a run that is at work is cancelled",
    "a run that waits for outputs is cancelled",
    "the steps of a run are listed and retrieved",
    "runs are listed over several pages and updated",
    "what is missing is a NotFoundError",
    "a stream that cannot begin is a NotFoundError",
    "what cannot be done is a BadRequestError with param and code",
    "outputs for a run that waits for none are a BadRequestError",
    "a wrong key is an AuthenticationError",
    "the model is listed and retrieved",
    "a chat is answered",
    "a chat is streamed",
    "a chat stream tells its handlers",
    "runTools answers by a function",
    "texts are embedded, as base64 and as floats",
)


@pytest.fixture(scope="module")
def node() -> str:
    """Node, with the locked client where the scenario finds it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("NOT TESTED: node and npm are not installed")
    with (HERE / "package-lock.json").open() as lock:
        # Two sessions in one tree would install over each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed(json.load(lock)):
            install(npm)
    return node


def is_installed(lock: dict[str, Any]) -> bool:
    """Whether all that is locked lies there in its version."""
    return all(
        installed_version(HERE / path) == package["version"]
        for path, package in lock["packages"].items()
        if path
    )


def installed_version(package: Path) -> str | None:
    try:
        return str(json.loads((package / "package.json").read_text())["version"])
    except FileNotFoundError:
        return None


def install(npm: str) -> None:
    """What the lock names; skips where that cannot be had."""
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    try:
        done = subprocess.run(
            [*command, "--fetch-retry-mintimeout=1000"],
            cwd=HERE,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"NOT TESTED: npm ci was not done in {INSTALL_S:g} s")
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        pytest.skip(f"NOT TESTED: npm ci failed: {' '.join(errors[:5])}")


@pytest.fixture(scope="module")
def told(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What the scenario says of each check. The server must have nothing to complain of."""
    folder = tmp_path_factory.mktemp("node")
    with (
        scripted_server() as url,
        serve(
            folder,
            arguments=["--backend", url],
            environment={"FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false"},
        ) as served,
    ):
        done = subprocess.run(
            [node, str(HERE / "scenario.mjs")],
            env={**os.environ, "OPENAI_BASE_URL": served.base_url, "OPENAI_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=SCENARIO_S,
        )
        complaints = [each for each in served.events() if each["level"] in ("error", "critical")]
    assert done.returncode == 0, done.stderr
    yield [json.loads(line) for line in done.stdout.splitlines()]
    assert complaints == []


@pytest.mark.parametrize("check", CHECKS)
def test_by_the_node_client(check: str, told: list[dict[str, Any]]) -> None:
    (line,) = [each for each in told if each["name"] == check]
    assert line["ok"], line["detail"]


def test_every_check_of_the_scenario_was_made_and_asserted(told: list[dict[str, Any]]) -> None:
    assert [each["name"] for each in told] == list(CHECKS)
