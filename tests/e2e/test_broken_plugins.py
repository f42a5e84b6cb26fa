"""A stranger's plugins that are broken, given to the real command: it serves, and says why."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.serving import FAMULUS, KEY, Served, environment_of, serve

RAISES_AT_IMPORT = '''
"""Cannot be imported."""

raise RuntimeError("the wheels came off")
'''

RAISES_IN_LIFESPAN = '''
"""Can be imported, but not be started."""

from contextlib import asynccontextmanager

from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations


class Away(Plugin[NoSettings]):
    """Needs something that is away."""

    name = "away"

    @asynccontextmanager
    async def lifespan(self):
        raise ConnectionError("the door is locked")
        yield

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/v1/away", action="away.read")
    async def get_away(self, call: Call) -> dict[str, str]:
        """Never answers."""
        return {}
'''

WORKS = '''
"""Stands beside them."""

from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations


class Works(Plugin[NoSettings]):
    """Says so."""

    name = "works"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/v1/works", action="works.read")
    async def get_works(self, call: Call) -> dict[str, str]:
        """Says so."""
        return {"says": "so"}
'''

REASONS = {
    "wheels": "RuntimeError: the wheels came off",
    "away": "ConnectionError: the door is locked",
}


@pytest.fixture(scope="module")
def plugins_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "wheels.py").write_text(RAISES_AT_IMPORT)
    (folder / "away.py").write_text(RAISES_IN_LIFESPAN)
    (folder / "works.py").write_text(WORKS)
    return folder


@pytest.fixture(scope="module")
def served(
    plugins_dir: Path, scripted_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    arguments = ["--plugins-dir", str(plugins_dir), "--backend", scripted_url]
    with serve(tmp_path_factory.mktemp("broken"), arguments=arguments) as served:
        yield served


def test_the_server_serves_beside_broken_plugins(served: Served) -> None:
    with served.client() as client:
        assistant = client.beta.assistants.create(model="scripted")
        run = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hello"}]}
        )
    assert run.status == "completed"
    assert served.get("/v1/works").json() == {"says": "so"}


@pytest.mark.parametrize("name", REASONS)
def test_the_list_of_plugins_says_why_one_failed(
    served: Served, plugins_dir: Path, name: str
) -> None:
    listed: dict[str, Any] = {
        each["name"]: each for each in served.get("/-/plugins").json()["data"]
    }
    assert listed[name]["state"] == "failed"
    assert REASONS[name] in listed[name]["reason"]
    assert listed[name]["source"] == str(plugins_dir / f"{name}.py")
    assert listed["works"]["state"] == "running"


def test_the_list_of_plugins_is_not_for_everybody(served: Served) -> None:
    assert httpx.get(f"{served.url}/-/plugins").status_code == 401


def test_what_a_broken_plugin_would_serve_is_unavailable_by_its_name(served: Served) -> None:
    answer = served.get("/v1/away")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "plugin_unavailable"
    assert "away" in answer.json()["error"]["message"]


def test_the_log_says_why_each_failed(served: Served) -> None:
    said = [str(event) for event in served.events() if event["level"] == "error"]
    for reason in REASONS.values():
        assert any(reason in each for each in said), reason


@pytest.mark.parametrize("word", ["check", "plugins"])
def test_the_commands_say_which_plugin_cannot_be_imported(
    plugins_dir: Path, tmp_path: Path, word: str
) -> None:
    done = famulus(word, plugins_dir, tmp_path)
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("wheels ")]
    assert "failed" in row
    assert REASONS["wheels"] in row
    assert KEY not in done.stdout + done.stderr


def test_the_check_fails_for_a_plugin_that_cannot_be_imported(
    plugins_dir: Path, tmp_path: Path
) -> None:
    done = famulus("check", plugins_dir, tmp_path)
    assert done.returncode == 2
    assert "1 of " in done.stderr
    assert "Traceback" not in done.stderr


def famulus(word: str, plugins_dir: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FAMULUS, word, "--plugins-dir", str(plugins_dir), "--data-dir", str(folder / "data")],
        cwd=folder,
        env=environment_of(),
        capture_output=True,
        text=True,
        timeout=120,
    )
