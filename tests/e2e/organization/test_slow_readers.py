"""Who opens streams and reads nothing is dropped, and holds up no run."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from openai.types.beta.threads import Run
from tests.e2e.organization.organization import Organization, eventually
from tests.e2e.scripted_model import scripted_server
from tests.e2e.texts import newest

from famulus.testing import Script
from famulus_schemas.inference import ChatRequest

PIECE = 8192
PIECES = 400
WHOLE = "canary! " * (PIECE * PIECES // 8)
"""3 MiB: more than the kernel's buffers of a connection that is not read take."""
READERS = 20
WINDOW_BYTES = 2048
SETTINGS = {
    "FAMULUS_SERVER__SEND_S": "2",
    "FAMULUS_JOBS__POLL_S": "0.5",
}


class Gate:
    """What a model waits for, whatever thread it lives in."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    async def wait(self) -> None:
        """Until it is open."""
        while not self.opened.is_set():
            await asyncio.sleep(0.01)


class Gates(NamedTuple):
    """Before what the model says, and before the last of it."""

    begin: Gate
    end: Gate


@pytest.fixture(scope="module")
def gates() -> Gates:
    return Gates(Gate(), Gate())


@pytest.fixture(scope="module")
def backend(gates: Gates) -> Iterator[str]:
    def answer(_: ChatRequest) -> Script:
        script = Script().says(WHOLE).cut_by(PIECE)
        return script.waits_for(gates.begin).waits_for(gates.end, after=PIECES - 1)

    with scripted_server(answer) as url:
        yield url


def test_readers_that_read_nothing_are_dropped_while_their_run_goes_on(
    organization: Organization, gates: Gates
) -> None:
    here = organization.client(organization.writer, organization.one)
    run = begun(organization)
    with ExitStack() as opened:
        for _ in range(READERS):
            opened.enter_context(unread(organization, run))
        eventually(lambda: streams(organization) == READERS)
        gates.begin.opened.set()
        eventually(lambda: streams(organization) == 0)
        # The run has not ended by that, and does once its model goes on.
        assert retrieved(organization, run).status == "in_progress"
        gates.end.opened.set()
        eventually(lambda: retrieved(organization, run).status == "completed")
    assert newest(here, run.thread_id) == WHOLE
    # Who comes afterwards is told all of it.
    path = f"/v1/threads/{run.thread_id}/runs/{run.id}/events"
    told = organization.ask("GET", path, organization.writer, organization.two)
    assert told.text.endswith("data: [DONE]\n\n")


def begun(organization: Organization) -> Run:
    """A run of process one."""
    client = organization.client(organization.writer, organization.one)
    assistant = client.beta.assistants.create(model="scripted")
    return client.beta.threads.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "canary"}]}
    )


def streams(organization: Organization) -> float:
    """How many are open at process two."""
    return organization.figure(organization.two, "famulus_streams_open")


def unread(organization: Organization, run: Run) -> socket.socket:
    """A connection that asks for the run's events, and reads none of them."""
    url = urlsplit(organization.two.url)
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
    opened.connect((url.hostname, url.port))
    path = f"/v1/threads/{run.thread_id}/runs/{run.id}/events"
    head = f"GET {path} HTTP/1.1\r\nhost: {url.netloc}\r\n"
    opened.sendall(f"{head}authorization: Bearer {organization.writer.value}\r\n\r\n".encode())
    return opened


def retrieved(organization: Organization, run: Run) -> Run:
    """The run, as process two has it."""
    runs = organization.client(organization.writer, organization.two).beta.threads.runs
    return runs.retrieve(run.id, thread_id=run.thread_id)
