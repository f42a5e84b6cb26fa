"""What was acknowledged stays: through kills under load, and on the disk before the answer."""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.load import Connection, Writer
from tests.e2e.scripted_model import COUNTED, SLOWLY
from tests.e2e.serving import Served, serve
from tests.e2e.texts import newest, text_of
from tests.e2e.tracing import SystemCall, ended, system_calls, under_strace

from famulus_conformance.scenarios_model import DEGREES, GET_WEATHER, WEATHER

KILLS = int(os.environ.get("FAMULUS_E2E_KILLS", "5"))
WRITERS = 4
WAIT_S = 90.0
QUICK_TAKEOVER = {
    "FAMULUS_JOBS__HEARTBEAT_S": "0.5",
    "FAMULUS_JOBS__LEASE_S": "2",
    "FAMULUS_JOBS__POLL_S": "0.5",
}


@pytest.mark.parametrize("store_variables", ["sqlite", "postgres"], indirect=True)
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    store_variables: Mapping[str, str], scripted_url: str, tmp_path: Path
) -> None:
    seed = os.environ.get("FAMULUS_E2E_SEED") or secrets.token_hex(4)
    print(f"FAMULUS_E2E_SEED={seed}")
    chance = random.Random(seed)
    arguments, environment = ["--backend", scripted_url], {**store_variables, **QUICK_TAKEOVER}
    everything: list[Writer] = []
    for kill in range(KILLS):
        with serve(tmp_path, arguments=arguments, environment=environment) as served:
            check(served, everything[-WRITERS:])
            writers = [
                Writer(served.url, seed=f"{seed}.{kill}.{number}", model="scripted")
                for number in range(WRITERS)
            ]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(0.05, 0.7))
            served.kill()
            for writer in writers:
                writer.join()
        everything += writers
    with serve(tmp_path, arguments=arguments, environment=environment) as served:
        check(served, everything)
    assert sum(writer.acknowledged for writer in everything) > KILLS * WRITERS
    assert any(writer.runs for writer in everything)


def check(served: Served, writers: Sequence[Writer]) -> None:
    """All that these writers were told is so, and all runs that they began come to an end."""
    with Connection(served.url) as connection:
        for writer in writers:
            assert writer.failure is None
            check_known(connection, writer)
            for path in writer.runs:
                check_run(connection, path)


def check_known(connection: Connection, writer: Writer) -> None:
    """All is as it was acknowledged last; what was under way at the kill happened or did not."""
    unsure = {path for each in writer.alternatives for path in each}
    for path, expected in writer.known.items():
        if path not in unsure:
            assert connection.ask("GET", path) == expected, path
    if unsure:
        found = {path: connection.ask("GET", path) for path in unsure}
        assert found in writer.alternatives


def check_run(connection: Connection, path: str) -> None:
    """The run ends well, with one answer, whether it was at work at a kill or not."""
    give_up = time.monotonic() + WAIT_S
    while (run := connection.ask("GET", path))["status"] in ("queued", "in_progress"):
        assert time.monotonic() < give_up, run
        time.sleep(0.05)
    assert run["status"] == "completed", run
    messages = connection.ask("GET", f"/v1/threads/{run['thread_id']}/messages?run_id={run['id']}")
    (message,) = messages["data"]
    assert message["content"][0]["text"]["value"] == "Hello! How can I help you?"
    (step,) = connection.ask("GET", f"{path}/steps")["data"]
    assert step["step_details"]["message_creation"]["message_id"] == message["id"]
    assert (message["status"], step["status"]) == ("completed", "completed")


@pytest.mark.parametrize("store_variables", ["sqlite", "postgres"], indirect=True)
def test_a_run_goes_on_where_its_server_was_killed_in_mid_answer(
    store_variables: Mapping[str, str], scripted_url: str, tmp_path: Path
) -> None:
    arguments, environment = ["--backend", scripted_url], {**store_variables, **QUICK_TAKEOVER}
    with (
        serve(tmp_path, arguments=arguments, environment=environment) as served,
        served.client() as client,
    ):
        assistant = client.beta.assistants.create(model="scripted")
        begun: dict[str, Any] = {}
        for event in client.beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": SLOWLY}]},
            stream=True,
        ):
            begun[event.event] = event.data
            if event.event == "thread.message.delta":
                break
        served.kill()
    run, message = begun["thread.run.created"], begun["thread.message.created"]
    with (
        serve(tmp_path, arguments=arguments, environment=environment) as served,
        served.client() as client,
    ):
        ended = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        assert ended.status == "completed"
        (written,) = client.beta.threads.messages.list(run.thread_id, run_id=run.id)
        assert (written.id, text_of(written)) == (message.id, COUNTED)


@pytest.mark.parametrize("store_variables", ["sqlite", "postgres"], indirect=True)
def test_a_run_that_waits_for_outputs_outlives_its_server(
    store_variables: Mapping[str, str], scripted_url: str, tmp_path: Path
) -> None:
    arguments, environment = ["--backend", scripted_url], {**store_variables, **QUICK_TAKEOVER}
    with (
        serve(tmp_path, arguments=arguments, environment=environment) as served,
        served.client() as client,
    ):
        assistant = client.beta.assistants.create(model="scripted", tools=[GET_WEATHER])
        asked = client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": WEATHER}]}
        )
        served.kill()
    with (
        serve(tmp_path, arguments=arguments, environment=environment) as served,
        served.client() as client,
    ):
        run = client.beta.threads.runs.retrieve(asked.id, thread_id=asked.thread_id)
        assert run == asked
        assert run.required_action is not None
        (call,) = run.required_action.submit_tool_outputs.tool_calls
        ended = client.beta.threads.runs.submit_tool_outputs_and_poll(
            run_id=run.id,
            thread_id=run.thread_id,
            tool_outputs=[{"tool_call_id": call.id, "output": DEGREES}],
        )
        assert ended.status == "completed"
        assert newest(client, run.thread_id) == "Result: 17 degrees"


# --- syncs ------------------------------------------------------------------------------------

CLIENTS = 4
WRITES = 50
SYNCS = ("fsync", "fdatasync")
WRITING = ("write", "writev", "sendmsg", "sendto", "pwrite64")
LONGEST_TEXT = 70_000
"""More than any page, so that strace cuts none."""


def test_no_answer_is_sent_before_what_it_tells_of_is_synced(tmp_path: Path) -> None:
    assert early(traced_writes(tmp_path, synchronous="FULL")) == []


def test_without_full_syncs_the_same_audit_finds_answers_that_are_early(tmp_path: Path) -> None:
    assert len(early(traced_writes(tmp_path, synchronous="NORMAL"))) > 0


def traced_writes(folder: Path, *, synchronous: str) -> Path:
    """The trace of a server to which several clients write, each write with a mark of its own."""
    trace = folder / "trace"
    calls = ",".join((*SYNCS, *WRITING))
    strace = under_strace(trace, calls, "-y", "-s", str(LONGEST_TEXT))
    environment = {
        "FAMULUS_SQLITE__SYNCHRONOUS": synchronous,
        "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    }
    with serve(folder, environment=environment, under=strace) as served:
        clients = [
            threading.Thread(target=write_marks, args=(served, marks(client)))
            for client in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    return ended(trace)


def marks(client: int) -> list[str]:
    return [f"mark-{client}-{number}-" for number in range(WRITES)]


def write_marks(served: Served, names: Sequence[str]) -> None:
    with Connection(served.url) as connection:
        for name in names:
            connection.ask("POST", "/v1/assistants", {"model": "any", "name": name})


def early(trace: Path) -> list[str]:
    """The marks whose answer was sent before the log that holds them was synced."""
    calls = list(system_calls(trace))
    found = [name for client in range(CLIENTS) for name in marks(client)]
    return [name for name in found if not was_synced(calls, name)]


def was_synced(calls: Sequence[SystemCall], name: str) -> bool:
    """Whether a sync of the log began after its write and returned before its answer was begun."""
    logged = next(call for call in calls if is_log(call) and name in call.text)
    answered = next(
        call for call in calls if "<socket:" in call.text and f'\\"name\\":\\"{name}' in call.text
    )
    assert logged.done < answered.begun
    return any(
        call.name in SYNCS
        and "-wal>" in call.text
        and call.text.endswith("= 0")
        and logged.done < call.begun
        and call.done < answered.begun
        for call in calls
    )


def is_log(call: SystemCall) -> bool:
    return call.name == "pwrite64" and "-wal>" in call.text
