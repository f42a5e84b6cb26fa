"""What a client traces goes on through whichever process works for it, at one collector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.e2e.organization.organization import Organization
from tests.e2e.serving import Served
from tests.plugins.otel.collector import Collector, Span, collecting

TRACES = [f"{number:x}af7651916cd43dd8448eb211c80319c" for number in range(1, 9)]
PARENT = "b7ad6b7169203331"
OF_ONE = {"FAMULUS_RUNS__RUNS_AT_ONCE_MAX": "0"}
"""It answers only: what is created there, process two works on."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture(scope="module")
def settings(collector: Collector) -> Mapping[str, str]:
    return {
        "FAMULUS_OTEL__ENDPOINT": collector.url,
        "FAMULUS_OTEL__PAUSE_S": "0.05",
        "FAMULUS_OTEL__SAMPLE_RATIO": "0",
        "FAMULUS_OTEL__SAMPLE_AS_CLIENTS": "true",
    }


def test_a_run_goes_on_with_the_trace_of_its_client_though_another_process_works_on_it(
    organization: Organization, collector: Collector
) -> None:
    trace = TRACES[0]
    run = asked(organization, organization.one, trace)
    agent = f"invoke_agent {run['assistant_id']}"
    [created, ran, chat] = collector.named(
        "POST /v1/threads/runs", agent, "chat scripted", of=trace
    )
    assert (created.parent, ran.parent, chat.parent) == (PARENT, created.id, ran.id)
    assert instance(created) != instance(ran) == instance(chat)
    assert ran.attributes["famulus.run.id"] == run["id"]
    assert ran.attributes["famulus.run.status"] == "completed"
    assert created.attributes["famulus.project.id"] == organization.support


def test_each_client_has_a_trace_of_its_own_whichever_process_it_asks(
    organization: Organization, collector: Collector
) -> None:
    runs = {
        trace: asked(organization, organization.processes[number % 2], trace)
        for number, trace in enumerate(TRACES[1:5])
    }
    for trace, run in runs.items():
        [ran] = collector.named(f"invoke_agent {run['assistant_id']}", of=trace)
        assert ran.attributes["famulus.run.id"] == run["id"]


def test_what_no_client_traces_is_told_as_often_as_is_set_which_is_never_here(
    organization: Organization, collector: Collector
) -> None:
    asked(organization, organization.one, None)
    asked(organization, organization.one, TRACES[5], flags="00")
    last = asked(organization, organization.one, TRACES[6])
    collector.named(f"invoke_agent {last['assistant_id']}", of=TRACES[6])
    assert {span.trace for span in collector.spans} <= {*TRACES[:5], TRACES[6]}


def test_no_span_has_what_was_said_nor_a_key(
    organization: Organization, collector: Collector
) -> None:
    assert collector.bodies
    for body in collector.bodies:
        for word in ("canary", *organization.secrets):
            assert word.encode() not in body


def asked(
    organization: Organization, at: Served, trace: str | None, flags: str = "01"
) -> dict[str, Any]:
    """A run of this trace, streamed to its end."""
    assistant = organization.client(organization.writer).beta.assistants.create(
        model="scripted", name="canary", instructions="canary"
    )
    headers = {} if trace is None else {"traceparent": f"00-{trace}-{PARENT}-{flags}"}
    told = organization.ask(
        "POST",
        "/v1/threads/runs",
        organization.writer,
        at,
        headers=headers,
        json={
            "assistant_id": assistant.id,
            "stream": True,
            "thread": {"messages": [{"role": "user", "content": "Say canary"}]},
        },
    )
    lines = told.text.splitlines()
    run: dict[str, Any] = json.loads(lines[lines.index("event: thread.run.completed") + 1][6:])
    return run


def instance(span: Span) -> str:
    """The process that told of it."""
    return str(span.resource["service.instance.id"])
