"""Runs of a key are so many at once at both processes together; further ones wait their turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from openai.types.beta.threads import Run
from tests.e2e.organization.organization import Key, Organization, eventually
from tests.e2e.scripted_model import scripted_server

from famulus.testing import Script
from famulus_schemas.inference import ChatRequest

AT_ONCE = 2
SETTINGS = {
    "FAMULUS_RATE_LIMITS__RUNS_AT_ONCE_MAX": str(AT_ONCE),
    "FAMULUS_JOBS__POLL_S": "0.5",
}


class Gate:
    """Lets models go on, whatever thread they live in."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def event(self) -> asyncio.Event:
        """What one answer waits for."""
        made = asyncio.Event()
        if self.is_open.is_set():
            made.set()
        self._waiting.append((asyncio.get_running_loop(), made))
        return made

    def open(self) -> None:
        self.is_open.set()
        for loop, event in self._waiting:
            loop.call_soon_threadsafe(event.set)


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest.fixture(scope="module")
def backend(gate: Gate) -> Iterator[str]:
    def answer(_: ChatRequest) -> Script:
        return Script().says("ok").waits_for(gate.event())

    with scripted_server(answer) as url:
        yield url


def test_what_is_over_the_limit_waits_at_whichever_process_and_is_served_in_the_end(
    organization: Organization, gate: Gate
) -> None:
    others = [begun(organization, organization.biller, at) for at in range(2)]
    runs = [begun(organization, organization.writer, at) for at in range(6)]

    def working() -> list[str]:
        return statuses(organization, organization.writer, runs)

    expected = ["in_progress"] * AT_ONCE + ["queued"] * (len(runs) - AT_ONCE)
    eventually(lambda: working() == expected)
    # Another key has places of its own.
    eventually(
        lambda: statuses(organization, organization.biller, others) == ["in_progress"] * len(others)
    )
    held = "famulus_limits_held"
    assert eventually(
        lambda: (
            sum(organization.figure(at, held, limit="runs") for at in organization.processes)
            == AT_ONCE + len(others)
        )
    )
    assert working() == expected
    gate.open()
    eventually(lambda: set(working()) == {"completed"})
    eventually(lambda: set(statuses(organization, organization.biller, others)) == {"completed"})
    for at in organization.processes:
        eventually(lambda at=at: organization.figure(at, held, limit="runs") == 0)


def begun(organization: Organization, key: Key, number: int) -> Run:
    """A run, created at one process and the other in turn."""
    client = organization.client(key, organization.processes[number % 2])
    assistant = client.beta.assistants.create(model="scripted")
    return client.beta.threads.create_and_run(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": f"canary {number}"}]},
    )


def statuses(organization: Organization, key: Key, runs: list[Run]) -> list[str]:
    """Those of runs, at the process that did not create them."""
    found = [
        organization.client(key, organization.processes[(number + 1) % 2])
        .beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        .status
        for number, run in enumerate(runs)
    ]
    return sorted(found)
