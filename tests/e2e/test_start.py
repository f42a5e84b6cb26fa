"""What it costs to start, and whom a server talks to."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.processes import cpu_s, pss_bytes
from tests.e2e.serving import KEY, Served, serve
from tests.e2e.tracing import ended, system_calls, under_strace

CPU_S_MAX = 3.0
"""Half as much again as the 2.0 that a start takes on two slow cores that do nothing else."""
PSS_BYTES_MAX = 100_000_000
CONNECTING = "connect,sendto,sendmsg,sendmmsg"
STARTS = 3
"""The cheapest counts: what other work on the machine adds to the price is not the server's."""


def test_it_is_ready_after_little_work(scripted_url: str, tmp_path: Path) -> None:
    spent = []
    for number in range(STARTS):
        with serve(tmp_path / str(number), arguments=["--backend", scripted_url]) as served:
            spent.append(cpu_s(served.process.pid))
    assert min(spent) <= CPU_S_MAX


def test_it_is_small_after_its_first_requests(scripted_url: str, tmp_path: Path) -> None:
    with serve(tmp_path, arguments=["--backend", scripted_url]) as served:
        ask_ten_times(served)
        assert pss_bytes(served.process.pid) <= PSS_BYTES_MAX


def test_it_connects_to_its_model_server_and_to_nobody_else(
    scripted_url: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = under_strace(trace, CONNECTING)
    with serve(tmp_path, arguments=["--backend", scripted_url], under=strace) as served:
        ask_ten_times(served)
    backend = scripted_url.removesuffix("/v1").rpartition(":")[2]
    assert addresses_in(trace) == {("127.0.0.1", backend)}


def test_told_of_no_model_server_it_looks_at_this_machine_only(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with serve(tmp_path, under=under_strace(trace, CONNECTING)):
        pass
    assert {host for host, _ in addresses_in(trace)} == {"127.0.0.1"}


def addresses_in(trace: Path) -> set[tuple[str, str]]:
    """Hosts and ports that were connected to, or that a packet was sent to."""
    found = set()
    for call in system_calls(ended(trace)):
        if "sa_family=AF_INET" in call.text:
            host = re.search(r'inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"', call.text)
            port = re.search(r"port=htons\((\d+)\)", call.text)
            assert host is not None, call.text
            assert port is not None, call.text
            found.add((host[1], port[1]))
    return found


def test_the_key_is_not_logged_at_the_start(scripted_url: str, tmp_path: Path) -> None:
    with serve(tmp_path, arguments=["--backend", scripted_url, "--log-level", "debug"]) as served:
        ask_ten_times(served)
    assert served.events()
    assert KEY not in served.log.read_text()


def ask_ten_times(served: Served) -> None:
    """What most clients ask for: ten requests, of which three end at the model."""
    said = [{"role": "user", "content": "Hello"}]
    with served.client() as client:
        client.models.list()
        assistant = client.beta.assistants.create(model="scripted")
        thread = client.beta.threads.create()
        client.beta.threads.messages.create(thread.id, role="user", content="Hello")
        client.beta.threads.messages.list(thread.id)
        client.chat.completions.create(model="scripted", messages=said)  # type: ignore[arg-type]
        for _ in client.chat.completions.create(
            model="scripted",
            messages=said,  # type: ignore[arg-type]
            stream=True,
        ):
            pass
        events = list(
            client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
        )
        assert events[-1].event == "thread.run.completed"
        client.beta.threads.runs.list(thread.id)
        client.beta.threads.messages.list(thread.id)
