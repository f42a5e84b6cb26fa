"""A server that is killed while code runs: its run goes on, and what was acknowledged is there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import KEY, serve
from tests.plugins.code_interpreter import trusted_sandbox
from tests.plugins.code_interpreter.conftest import BUBBLEWRAP
from tests.plugins.code_interpreter.trusted_sandbox import TrustedSandbox

from famulus.testing import Script, tool
from famulus_schemas.inference import ChatRequest

POINTS = (
    # The first is passed for the box, the second for what the code wrote.
    "code_session_before_commit",
    "code_session_before_commit:2",
    "code_session_committed:2",
)
ENVIRONMENT = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_JOBS__POLL_S": "0.1",
    "FAMULUS_BUBBLEWRAP__WARM": "0",
}
WITHIN_S = 60.0
CODE = "n = globals().get('n', 0) + 1\nopen('made.txt', 'w').write('made')\nprint('ran', n)"
SLOW = """
import os, time
print('begun', flush=True)
server = os.getppid()
while os.getppid() == server:
    time.sleep(0.05)
"""
LINK = "sandbox:/mnt/data/made.txt"


def answer(request: ChatRequest) -> Script:
    """Code for each question; then what came of it."""
    last = request.messages[-1]
    if last.role == "tool":
        lost = str(last.content).startswith("Error: the server was interrupted")
        return Script().says("Nobody knows." if lost else f"It is in {LINK}.")
    code = SLOW if last.content == "slowly" else CODE
    return Script().calls(tool("python", {"code": code}))


@contextmanager
def served_code(
    folder: Path, url: str, more: Mapping[str, str] = {}, *, sandbox: Any = TrustedSandbox
) -> Iterator[Any]:
    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    if sandbox is TrustedSandbox:
        shutil.copy(trusted_sandbox.__file__, plugins)
    arguments = ["--plugins-dir", str(plugins), "--backend", url]
    environment = {**ENVIRONMENT, "TRUSTED_LOOP": str(trusted_sandbox.LOOP), **more}
    with serve(folder / "server", arguments=arguments, environment=environment) as served:
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=WITHIN_S) as http:
            yield served, Client(http)


class Client:
    """Asks for runs, and looks at what became of them."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def ok(self, response: httpx.Response) -> Any:
        assert response.status_code == 200, response.text
        return response.json()

    def asked(self, text: str) -> tuple[str, str]:
        """A new thread with a question, and an assistant that may run code."""
        body = {"model": "scripted", "tools": [{"type": "code_interpreter"}]}
        assistant = self.ok(self.http.post("/assistants", json=body))["id"]
        thread = {"messages": [{"role": "user", "content": text}]}
        return self.ok(self.http.post("/threads", json=thread))["id"], assistant

    def run(self, thread: str, assistant: str) -> str:
        """A new run's path."""
        body = {"assistant_id": assistant}
        run = self.ok(self.http.post(f"/threads/{thread}/runs", json=body))
        return f"/threads/{thread}/runs/{run['id']}"

    def becomes(self, path: str, holds: Any) -> Any:
        """Ask until it holds."""
        give_up = time.monotonic() + WITHIN_S
        while not holds(found := self.ok(self.http.get(path))):
            assert time.monotonic() < give_up, found
            time.sleep(0.05)
        return found

    def completed(self, path: str) -> Any:
        """The run's code call and message, once it is completed."""
        self.becomes(path, lambda run: run["status"] == "completed")
        calls, written = self.ok(self.http.get(f"{path}/steps", params={"order": "asc"}))["data"]
        message_id = written["step_details"]["message_creation"]["message_id"]
        thread = path.split("/runs/")[0]
        message = self.ok(self.http.get(f"{thread}/messages/{message_id}"))
        return calls["step_details"]["tool_calls"][0], message["content"][-1]["text"]


@pytest.fixture
def url() -> Iterator[str]:
    with scripted_server(answer) as started:
        yield started


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_the_run_ends_and_what_its_code_wrote_is_kept_or_not_told(
    tmp_path: Path, url: str, point: str
) -> None:
    with served_code(tmp_path, url, {"FAMULUS_FAILPOINT": point}) as (served, client):
        thread, assistant = client.asked("go")
        with suppress(httpx.HTTPError):
            path = client.run(thread, assistant)
        served.process.wait(WITHIN_S)
    assert b"killed at failpoint" in (tmp_path / "server" / "server.log").read_bytes()

    with served_code(tmp_path, url) as (_, client):
        call, text = client.completed(path)
        # It is not run a second time: nobody knows how far it came.
        assert text["value"] == "Nobody knows."
        assert call["code_interpreter"]["input"] == CODE
        call, text = client.completed(client.run(thread, assistant))
        assert call["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "ran 1\n"}]
        (annotation,) = text["annotations"]
        listed = client.ok(client.http.get("/files"))["data"]
        assert annotation["file_path"]["file_id"] in {file["id"] for file in listed}
        for file in listed:
            assert client.http.get(f"/files/{file['id']}/content").content == b"made"


def below(pid: int) -> set[int]:
    """The processes that a process has started, and those that they have."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name stands in brackets, and may hold anything.
            parent = stat.read_text().rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(stat.parent.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        todo += (new := children.get(todo.pop(), []))
        found |= set(new)
    return found


@pytest.mark.parametrize("sandbox", [TrustedSandbox, BUBBLEWRAP])
def test_a_server_that_is_killed_in_the_midst_of_code_leaves_no_box_and_tells_what_was_put_out(
    tmp_path: Path, url: str, sandbox: Any
) -> None:
    at_once = {"FAMULUS_RUNS__CHECKPOINT_MS": "0"}
    with served_code(tmp_path, url, at_once, sandbox=sandbox) as (served, client):
        path = client.run(*client.asked("slowly"))

        def has_begun(steps: Any) -> bool:
            calls = [call for step in steps["data"] for call in step["step_details"]["tool_calls"]]
            return any(call["code_interpreter"]["outputs"] for call in calls)

        client.becomes(f"{path}/steps", has_begun)
        boxes = below(served.process.pid)
        assert boxes
        served.kill()
    give_up = time.monotonic() + WITHIN_S
    while left := {pid for pid in boxes if Path(f"/proc/{pid}").exists()}:
        assert time.monotonic() < give_up, left
        time.sleep(0.02)
    with served_code(tmp_path, url, sandbox=sandbox) as (_, client):
        call, text = client.completed(path)
        assert text["value"] == "Nobody knows."
        assert call["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "begun\n"}]
