"""A stranger's package: found by its entry point, served beside ours, and never a danger to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from famulus.config import load_config
from famulus.discover import discover, found_class
from famulus.kernel import Kernel
from famulus.testing import Script, ScriptedBackend, TestServer, kernel_with, tool
from famulus.testing.kit import Everyone, InProcess, quiet_log

pytestmark = pytest.mark.anyio

THIRD_PARTY = Path(__file__).parents[1] / "third_party"
PACKAGE = THIRD_PARTY / "famulus-example"
BROKEN = THIRD_PARTY / "broken"

RUNS = ("sqlite", "models", "assistants", "threads", "events", "jobs", "functions", "runs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the package is installed: in the environment, or else in a folder of its own."""
    try:
        distribution("famulus-example")
    except PackageNotFoundError:
        folder = str(tmp_path_factory.mktemp("site"))
        _install(folder)
        sys.path.insert(0, folder)
        yield folder
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.startswith("famulus_example")]:
            del sys.modules[name]
    else:
        yield ""


def _install(folder: str) -> None:
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", folder]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(PACKAGE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert pip.returncode == 0, pip.stderr


def test_it_passes_its_own_tests(site: str) -> None:
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=PACKAGE,
        env={**os.environ, "PYTHONPATH": site},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert " passed" in tests.stdout


def test_it_is_found_by_its_entry_points(site: str) -> None:
    found = {each.name: each.source for each in discover()}
    assert found["example_notes"] == "famulus_example.notes:Notes (package famulus-example)"
    assert found["example_echo"] == "famulus_example.echo:Echo (package famulus-example)"


async def test_it_serves_a_resource_of_its_own(site: str) -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        made = (await server.post("/v1/notes", {"text": "Buy milk"})).json()
        assert (await server.get(f"/v1/notes/{made['id']}")).json() == made
        refused = await server.post("/v1/notes", {"text": ""})
        assert refused.json()["error"]["code"] == "empty_string"


async def test_its_operations_are_documented_with_ours(site: str) -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        document = (await server.get("/openapi.json")).json()
        assert document["paths"]["/v1/notes"]["post"]["operationId"] == "create_note"
        assert "CreateNote" in document["components"]["schemas"]


async def test_its_model_is_listed_and_answers_a_chat(site: str) -> None:
    async with kernel_with("sqlite", "models", "chat", "example_echo") as server:
        models = (await server.get("/v1/models")).json()["data"]
        assert "echo" in [model["id"] for model in models]
        question = {"model": "echo", "messages": [{"role": "user", "content": "Hello out there"}]}
        answer = await server.post("/v1/chat/completions", question)
        assert answer.json()["choices"][0]["message"]["content"] == "Hello out there"
        async with server.stream("/v1/chat/completions", {**question, "stream": True}) as events:
            data = [event for event in await events.all() if event.data != "[DONE]"]
        pieces = [choice["delta"] for event in data for choice in event.json()["choices"]]
        assert "".join(piece.get("content") or "" for piece in pieces) == "Hello out there"


async def test_its_tool_is_run_by_the_server_within_a_run(site: str) -> None:
    script = Script().calls(tool("look_up_notes", {"word": "milk"})).says("Oat milk, you wrote.")
    backend = ScriptedBackend(script)
    async with kernel_with(*RUNS, "example_notes", backend=backend) as server:
        await server.post("/v1/notes", {"text": "Buy oat milk"})
        names, run = await _ran(server, "look_up_notes")
        assert run["status"] == "completed"
        assert "thread.run.requires_action" not in names
        asked_again = backend.chats[1].chat.messages[-1]
        assert (asked_again.role, asked_again.content) == ("tool", "Buy oat milk")
        steps = (await server.get(f"/v1/threads/{run['thread_id']}/runs/{run['id']}/steps")).json()
        [called] = steps["data"][-1]["step_details"]["tool_calls"]
        assert called["function"]["output"] == "Buy oat milk"


async def test_a_function_of_another_name_stays_the_clients(site: str) -> None:
    backend = ScriptedBackend(Script().calls(tool("open_the_door")))
    async with kernel_with(*RUNS, "example_notes", backend=backend) as server:
        names, run = await _ran(server, "open_the_door")
        assert "thread.run.requires_action" in names
        assert run["status"] == "requires_action"


async def _ran(server: TestServer, function: str) -> tuple[list[str | None], Any]:
    """The names of a run's events, and the run as it then is."""
    assistant = await server.post(
        "/v1/assistants",
        {"model": "scripted", "tools": [{"type": "function", "function": {"name": function}}]},
    )
    thread = (await server.post("/v1/threads", {})).json()["id"]
    await server.post(f"/v1/threads/{thread}/messages", {"role": "user", "content": "Well?"})
    body = {"assistant_id": assistant.json()["id"], "stream": True}
    async with server.stream(f"/v1/threads/{thread}/runs", body) as events:
        told = await events.all()
    run_id = next(event.json()["id"] for event in told if event.name == "thread.run.created")
    run = (await server.get(f"/v1/threads/{thread}/runs/{run_id}")).json()
    return [event.name for event in told], run


# --- plugins that do not work ------------------------------------------------------------------


@asynccontextmanager
async def server_with_broken(tmp_path: Path) -> AsyncIterator[TestServer]:
    """A server that was given a folder of plugins none of which works."""
    import httpx

    config = load_config(
        None,
        environment={},
        flags={"server": {"plugins_dir": str(BROKEN), "data_dir": str(tmp_path), "drain_s": 1}},
    )
    mine = {"sqlite", "example_notes"}
    found = [each for each in discover(BROKEN) if each.name in mine or str(BROKEN) in each.source]
    kernel = Kernel(config, found=[*found, found_class(Everyone)], log=quiet_log())
    await kernel.start()
    try:
        client = httpx.AsyncClient(transport=InProcess(kernel), base_url="http://localhost")
        async with client:
            yield TestServer(kernel, client)
    finally:
        await kernel.stop()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raises_at_import", "cannot be loaded: RuntimeError: the wheels came off"),
        ("raises_in_lifespan", "ConnectionError: the database of this plugin is away"),
        ("two_classes", "must define exactly one Plugin class, but defines 2"),
        ("misspelt_hook", "unknown hook 'register_tolls'"),
    ],
)
async def test_a_broken_plugin_says_why_and_stops_nobody(
    site: str, tmp_path: Path, name: str, reason: str
) -> None:
    async with server_with_broken(tmp_path) as server:
        plugins = {each["name"]: each for each in (await server.get("/-/plugins")).json()["data"]}
        assert plugins[name]["state"] == "failed"
        assert reason in plugins[name]["reason"]
        assert plugins[name]["source"] == str(BROKEN / f"{name}.py")
        assert plugins["example_notes"]["state"] == "running"
        assert (await server.post("/v1/notes", {"text": "still here"})).status_code == 200


async def test_an_operation_of_a_broken_plugin_answers_503_naming_it(
    site: str, tmp_path: Path
) -> None:
    async with server_with_broken(tmp_path) as server:
        answer = await server.get("/v1/broken")
        assert answer.status_code == 503
        error = answer.json()["error"]
        assert error["code"] == "plugin_unavailable"
        assert "'raises_in_lifespan', which is failed" in error["message"]


async def test_a_server_with_a_broken_plugin_is_ready_and_degraded(
    site: str, tmp_path: Path
) -> None:
    async with server_with_broken(tmp_path) as server:
        ready = await server.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "raises_in_lifespan" in ready.json()["plugins"]
