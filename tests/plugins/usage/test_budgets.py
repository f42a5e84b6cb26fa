"""Who has spent its budget gets no more, and is told so."""

from __future__ import annotations

import openai
import pytest
from tests.plugins.usage.house import House, opened

from famulus.testing import Script, tool

pytestmark = pytest.mark.anyio

DAY_S = 86_400
DOLLAR = Script(repeats_last=True).says("Yes.").uses(500_000, 0)
"""Each answer costs one."""


async def refused(house: House, client: openai.AsyncOpenAI | None = None) -> str:
    """What a request for an answer is told, which is refused."""
    with pytest.raises(openai.RateLimitError) as caught:
        await house.said(client)
    error = caught.value
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    return error.message


async def test_a_project_over_its_budget_gets_no_more_until_the_month_is_over() -> None:
    async with opened(DOLLAR, usage={"budgets": {"project": 2.0}}) as house:
        _, _, other = await house.key()
        await house.said()
        await house.said()
        text = await refused(house)
        assert (
            "You exceeded your current quota: the project default has spent 2 of its budget of 2 "
            "USD for November 2023. More can be used from 2023-12-01 UTC on" in text
        )
        with pytest.raises(openai.RateLimitError, match="budget"):
            await house.client.embeddings.create(model="scripted", input="x")
        assistant = await house.client.beta.assistants.create(model="scripted")
        thread = await house.client.beta.threads.create()
        with pytest.raises(openai.RateLimitError, match="budget"):
            await house.client.beta.threads.runs.create(thread.id, assistant_id=assistant.id)
        with pytest.raises(openai.RateLimitError, match="budget"):
            await house.client.beta.threads.create_and_run(assistant_id=assistant.id)
        asked = len(house.backend.chats)
        await house.said(other)
        assert len(house.backend.chats) == asked + 1
        house.clock.move(31 * DAY_S)
        await house.said()


async def test_each_key_has_a_budget_of_its_own() -> None:
    budgets = {"key": 1.0, "keys": {"key_fixed": 2.0}}
    async with opened(DOLLAR, usage={"budgets": budgets}) as house:
        _, key, other = await house.key()
        await house.said(other)
        assert f"the API key {key} has spent 1 of its budget of 1 USD" in await refused(
            house, other
        )
        await house.said()
        await house.said()
        await refused(house)


async def test_a_budget_of_a_day_is_there_again_the_next_day() -> None:
    async with opened(DOLLAR, usage={"budgets": {"per": "day", "project": 1.0}}) as house:
        await house.said()
        assert "USD for 2023-11-11. More can be used from 2023-11-12 UTC on" in await refused(house)
        house.clock.move(DAY_S)
        await house.said()


async def test_a_running_run_stops_before_its_next_answer() -> None:
    script = Script().says("Let me see.").and_calls(tool("look", {})).uses(500_000, 0)
    script = script.says("never said")
    look = {"type": "function", "function": {"name": "look"}}
    async with opened(script, usage={"budgets": {"project": 1.0}}) as house:
        runs = house.client.beta.threads.runs
        assistant = await house.client.beta.assistants.create(model="scripted", tools=[look])
        run = await house.client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, poll_interval_ms=20
        )
        assert run.required_action is not None
        [call] = run.required_action.submit_tool_outputs.tool_calls
        run = await runs.submit_tool_outputs_and_poll(
            run_id=run.id,
            thread_id=run.thread_id,
            tool_outputs=[{"tool_call_id": call.id, "output": "a tree"}],
            poll_interval_ms=20,
        )
        assert (run.status, len(house.backend.chats)) == ("failed", 1)
        assert run.last_error is not None
        assert run.last_error.code == "rate_limit_exceeded"
        assert "the project default has spent 1 of its budget of 1 USD" in run.last_error.message


async def test_what_was_spent_before_counts_for_a_budget_that_is_set_later() -> None:
    async with opened(DOLLAR) as house:
        limits = house.projects.spend_limit
        project, _, client = await house.key()
        with pytest.raises(openai.NotFoundError, match="spend limit"):
            await limits.retrieve(project)
        await house.said(client)
        made = await limits.update(project, currency="USD", interval="month", threshold_amount=150)
        assert (made.threshold_amount, made.object) == (150, "project.spend_limit")
        assert made.enforcement.status == "inactive"
        await house.said(client)
        assert f"the project {project} has spent 2 of its budget of 1.5" in await refused(
            house, client
        )
        assert (await limits.retrieve(project)).enforcement.status == "enforcing"
        await house.said()
        await limits.update(project, currency="USD", interval="month", threshold_amount=1_000)
        await house.said(client)
        assert (await limits.delete(project)).object == "project.spend_limit.deleted"
        with pytest.raises(openai.NotFoundError):
            await limits.delete(project)


async def test_all_projects_together_have_a_budget() -> None:
    async with opened(DOLLAR) as house:
        limits = house.client.admin.organization.spend_limit
        await limits.update(currency="USD", interval="month", threshold_amount=200)
        _, _, client = await house.key()
        await house.said(client)
        await house.said()
        for each in (client, house.client):
            assert "this organization has spent 2 of its budget of 2" in await refused(house, each)
        assert (await limits.retrieve()).enforcement.status == "enforcing"
        assert (await limits.delete()).deleted
        await house.said()


async def test_a_limit_that_cannot_be_is_refused_by_name() -> None:
    async with opened() as house:
        limits = house.client.admin.organization.spend_limit
        for fields, param in (
            ({"currency": "EUR"}, "currency"),
            ({"interval": "day"}, "interval"),
            ({"threshold_amount": -1}, "threshold_amount"),
        ):
            wanted = {"currency": "USD", "interval": "month", "threshold_amount": 1, **fields}
            with pytest.raises(openai.BadRequestError) as caught:
                await limits.update(**wanted)
            assert caught.value.param == param
        for ask in (house.projects.spend_limit.retrieve, house.projects.spend_limit.delete):
            with pytest.raises(openai.NotFoundError, match="No project found"):
                await ask("proj_nothing")


async def test_what_is_free_is_never_over_a_budget() -> None:
    async with opened(DOLLAR, usage={"prices": {}, "budgets": {"project": 0.01}}) as house:
        for _ in range(3):
            await house.said()


async def test_a_budget_holds_before_anything_is_added_up_and_after() -> None:
    async with opened(DOLLAR, usage={"budgets": {"project": 3.0}, "write_s": 600}) as house:
        await house.said()
        await house.settle()
        await house.said()
        await house.said()
        await refused(house)
        await house.settle()
        await refused(house)
