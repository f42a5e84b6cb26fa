"""What projects use at both processes is one sum, which they are told of and may be held to."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from tests.e2e.organization.organization import Key, Organization, eventually
from tests.e2e.serving import Served

INPUT, OUTPUT = 0.5, 1.0
"""Dollars that a token costs."""
CONFIG = f"""
[plugins.usage.prices.scripted]
input = {INPUT * 1_000_000}
output = {OUTPUT * 1_000_000}
"""
QUESTION: Any = [{"role": "user", "content": "Say the canary is worth it."}]
BORING: Any = [{"role": "user", "content": "Say " + "no " * 2_000}]
ASKED: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_the_operator_is_told_the_sum_of_what_both_processes_used(
    organization: Organization,
) -> None:
    used = [spent(organization, organization.biller, at) for at in organization.processes]
    client = organization.client(organization.biller, organization.two)
    assistant = client.beta.assistants.create(model="scripted")
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": QUESTION}
    )
    assert run.usage is not None
    used.append((run.usage.prompt_tokens, run.usage.completion_tokens))
    tokens = tuple(map(sum, zip(*used, strict=True)))
    for at in organization.processes:
        usage = organization.admin(at).usage
        eventually(lambda usage=usage: told(usage, organization.billing) == (*tokens, 3))
        costs = usage.costs(start_time=lately(), project_ids=[organization.billing])
        [row] = [row for bucket in costs.data for row in bucket.results]
        assert row.amount.value == pytest.approx(tokens[0] * INPUT + tokens[1] * OUTPUT)


def test_usage_is_told_by_key_and_nobody_is_told_anothers(organization: Organization) -> None:
    spent(organization, organization.writer, organization.two)
    usage = organization.admin(organization.one).usage

    def keys() -> set[str]:
        answer = usage.completions(start_time=lately(), group_by=["project_id", "api_key_id"])
        rows = [row for bucket in answer.data for row in bucket.results]
        return {row.api_key_id for row in rows if row.project_id == organization.support}

    eventually(lambda: keys() == {organization.writer.id})
    refused = organization.ask(
        "GET", f"/v1/organization/usage/completions?start_time={lately()}", organization.writer
    )
    assert refused.status_code == 403


def test_what_vector_stores_hold_at_one_process_is_told_by_both(
    organization: Organization,
) -> None:
    project = organization.project("Library")
    key = organization.key(project, "librarian")
    client = organization.client(key, organization.two)
    file = client.files.create(file=("nest.txt", b"A canary sings. " * 100), purpose="assistants")
    store = client.vector_stores.create()
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    size = client.vector_stores.retrieve(store.id).usage_bytes
    assert size > 0

    def held(at: Served) -> list[int]:
        answer = organization.admin(at).usage.vector_stores(
            start_time=lately(), project_ids=[project], group_by=["project_id"]
        )
        rows = answer.data[-1].results
        assert {row.project_id for row in rows} <= {project}
        return [row.usage_bytes for row in rows]

    assert [held(at) for at in organization.processes] == [[size]] * 2
    # What was embedded for it is its key's.
    usage = organization.admin(organization.one).usage

    def embedded() -> dict[str, int]:
        answer = usage.embeddings(
            start_time=lately(), project_ids=[project], group_by=["api_key_id"]
        )
        rows = [row for bucket in answer.data for row in bucket.results]
        return {row.api_key_id: row.num_model_requests for row in rows}

    assert eventually(embedded) == {key.id: 1}
    client.vector_stores.delete(store.id)
    assert [held(at) for at in organization.processes] == [[], []]


def test_a_project_at_its_limit_is_refused_at_both_processes_until_it_is_raised(
    organization: Organization,
) -> None:
    project = organization.project("Trial")
    key = organization.key(project, "trial")
    limits = organization.admin(organization.one).projects.spend_limit
    limits.update(project, currency="USD", interval="month", threshold_amount=1)
    spent(organization, key, organization.two)
    for at in organization.processes:
        refused = eventually(lambda at=at: refusal(organization, key, at))
        assert refused.code == "insufficient_quota"
    spent(organization, organization.biller, organization.two)
    limits.update(project, currency="USD", interval="month", threshold_amount=100_000_000)
    for at in organization.processes:
        eventually(lambda at=at: refusal(organization, key, at) is None)


def test_a_run_at_one_process_stops_at_what_is_spent_at_the_other(
    organization: Organization,
) -> None:
    project = organization.project("Steps")
    key = organization.key(project, "steps")
    client = organization.client(key, organization.one)
    assistant = client.beta.assistants.create(model="scripted", tools=[WEATHER])
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": ASKED}
    )
    assert run.required_action is not None
    limits = organization.admin(organization.two).projects.spend_limit
    enough = 100 * 1_000
    limits.update(project, currency="USD", interval="month", threshold_amount=enough)
    while refusal(organization, key, organization.two, BORING) is None:
        pass
    refused = eventually(lambda: refusal(organization, key, organization.one))
    assert refused.code == "insufficient_quota"
    [call] = run.required_action.submit_tool_outputs.tool_calls
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=run.thread_id,
        tool_outputs=[{"tool_call_id": call.id, "output": "Sunny."}],
    )
    assert (run.status, run.last_error and run.last_error.code) == (
        "failed",
        "rate_limit_exceeded",
    )
    assert run.last_error is not None
    assert f"the project {project} has spent" in run.last_error.message


def spent(
    organization: Organization, key: Key, at: Any, question: Any = QUESTION
) -> tuple[int, int]:
    """The tokens of a question and of its answer."""
    client = organization.client(key, at)
    usage = client.chat.completions.create(model="scripted", messages=question).usage
    assert usage is not None
    return usage.prompt_tokens, usage.completion_tokens


def refusal(
    organization: Organization, key: Key, at: Any, question: Any = QUESTION
) -> openai.RateLimitError | None:
    """Why a question is refused, if it is."""
    try:
        spent(organization, key, at, question)
    except openai.RateLimitError as error:
        return error
    return None


def told(usage: Any, project: str) -> tuple[int, int, int]:
    """Tokens read and written, and questions, of a project lately."""
    answer = usage.completions(start_time=lately(), project_ids=[project])
    rows = [row for bucket in answer.data for row in bucket.results]
    return (
        sum(row.input_tokens for row in rows),
        sum(row.output_tokens for row in rows),
        sum(row.num_model_requests for row in rows),
    )


def lately() -> int:
    """Yesterday's midnight: a test that runs over midnight is told of both days."""
    return (int(time.time()) // 86_400 - 1) * 86_400
