"""Runs use up what their project may of the model that they ask, as other requests do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from openai import AsyncOpenAI
from tests.plugins.usage.house import House, opened

from famulus.testing import Script, tool
from famulus_schemas.identity import Principal
from famulus_schemas.rate_limits import AMOUNT_MAX

pytestmark = pytest.mark.anyio

PLUGINS = ("rate_limits", "memory_limits", "openai_compatible")
LIMIT = "rl-scripted"
SHORT = Script(repeats_last=True).says("Yes.").uses(30, 20)
USED = 50
BOOK: Any = {"type": "function", "function": {"name": "book_table"}}
BOOKING = Script().calls(tool("book_table")).uses(30, 20).says("Done.").uses(60, 10).forever()


def house_with(script: Script = SHORT, *, data_dir: Path | None = None, **limits: Any) -> Any:
    aliases = {"aliases": {"other": "scripted"}}
    return opened(script, *PLUGINS, data_dir=data_dir, rate_limits=limits, models=aliases)


async def begun(client: AsyncOpenAI, *, model: str = "scripted", **more: Any) -> Any:
    """The raw answer that creates a run, whose assistant has this model."""
    tools = more.pop("tools", [])
    assistant = await client.beta.assistants.create(model=model, tools=tools)
    return await client.beta.threads.with_raw_response.create_and_run(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}, **more
    )


async def rested(client: AsyncOpenAI, run: Any) -> Any:
    """The run, once nobody works on it any more."""
    async with asyncio.timeout(30):
        while run.status in ("queued", "in_progress", "cancelling"):
            await asyncio.sleep(0.01)
            run = await client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    return run


async def left(house: House, project: str, what: str, model: str = "scripted") -> list[int]:
    """How many requests or tokens a project has left at a model, by minute and day."""
    plugin = house.server.plugin("rate_limits")
    stored = await plugin.stored.read(project)
    nobody = Principal(id="nobody", project=project)
    claims = plugin.policy.claims(nobody, model=model, tokens=0, stored=stored).claims
    limits = [
        replace(claim.limit, cost=0.0)
        for claim in claims
        if claim.is_of_model and claim.what == what
    ]
    outcome = await plugin.limits.take(project, limits)
    return [round(standing.remaining) for standing in outcome.standings]


async def becomes(house: House, project: str, what: str, *amounts: int) -> None:
    """Wait until so much is left: runs are settled when it is told that they are over."""
    async with asyncio.timeout(30):
        while await left(house, project, what) != list(amounts):
            await asyncio.sleep(0.01)


async def refusal(client: AsyncOpenAI, **more: Any) -> openai.RateLimitError:
    with pytest.raises(openai.RateLimitError) as caught:
        await begun(client, **more)
    return caught.value


# --- requests ------------------------------------------------------------------------------------


async def test_a_run_is_a_request_to_the_model_of_its_assistant() -> None:
    async with house_with(models={"scripted": {"requests_per_minute": 2}}) as house:
        project, _, client = await house.key()
        first = await begun(client)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        await house.said(client)
        refused = await refusal(client)
        assert (refused.code, refused.type) == ("rate_limit_exceeded", "requests")
        assert int(refused.response.headers["retry-after"]) >= 1
        assert refused.response.headers["x-ratelimit-remaining-requests"] == "0"
        assert (
            f"Rate limit reached for scripted in the project {project} on requests per min (RPM): "
            "Limit 2, Used 2, Requested 1."
        ) in refused.message
        # Those of another model, and of another project, are not among them.
        await begun(client, model="other")
        _, _, stranger = await house.key("Other")
        await begun(stranger)


async def test_the_model_that_a_run_names_counts_and_not_its_assistants() -> None:
    async with house_with(models={"other": {"requests_per_minute": 1}}) as house:
        _, _, client = await house.key()
        assistant = await client.beta.assistants.create(model="scripted")
        thread = await client.beta.threads.create()
        runs = client.beta.threads.runs
        named = await runs.create(thread.id, assistant_id=assistant.id, model="other")
        await rested(client, named)
        with pytest.raises(openai.RateLimitError, match="for other in the project"):
            await runs.create(thread.id, assistant_id=assistant.id, model="other")
        await rested(client, await runs.create(thread.id, assistant_id=assistant.id))


async def test_what_an_administrator_sets_counts_for_runs() -> None:
    async with house_with() as house:
        project, _, client = await house.key()
        limits = house.projects.rate_limits
        await limits.update_rate_limit(LIMIT, project_id=project, max_requests_per_1_minute=1)
        await begun(client)
        assert "Limit 1," in (await refusal(client)).message
        await limits.update_rate_limit(
            LIMIT, project_id=project, max_requests_per_1_minute=AMOUNT_MAX
        )
        answer = await begun(client)
        assert "x-ratelimit-limit-requests" not in answer.headers


async def test_each_time_that_a_run_asks_its_model_is_a_request_of_the_minute_and_the_day() -> None:
    async with house_with(BOOKING) as house:
        project, _, client = await house.key()
        await house.projects.rate_limits.update_rate_limit(
            LIMIT, project_id=project, max_requests_per_1_minute=10, max_requests_per_1_day=3
        )
        run = await rested(client, (await begun(client, tools=[BOOK])).parse())
        assert run.status == "requires_action"
        assert await left(house, project, "requests") == [9, 2]
        [call] = run.required_action.submit_tool_outputs.tool_calls
        await client.beta.threads.runs.submit_tool_outputs(
            run.id,
            thread_id=run.thread_id,
            tool_outputs=[{"tool_call_id": call.id, "output": "booked"}],
        )
        run = await rested(client, run.model_copy(update={"status": "queued"}))
        assert run.status == "completed"
        await becomes(house, project, "requests", 8, 1)
        await house.said(client)
        refused = await refusal(client)
        assert "on requests per day (RPD): Limit 3, Used 3" in refused.message


async def test_a_run_that_never_asks_its_model_was_a_request_all_the_same() -> None:
    async with house_with(BOOKING) as house:
        project, _, client = await house.key()
        await house.projects.rate_limits.update_rate_limit(
            LIMIT, project_id=project, max_requests_per_1_day=5, max_tokens_per_1_minute=9000
        )
        holding = await rested(client, (await begun(client, tools=[BOOK])).parse())
        [before] = await left(house, project, "tokens")
        runs = client.beta.threads.runs
        waiting = await runs.create(
            holding.thread_id,
            assistant_id=holding.assistant_id,
            extra_headers={"x-famulus-on-busy": "queue"},
        )
        assert await left(house, project, "tokens") == [before - 2000]
        await runs.cancel(waiting.id, thread_id=waiting.thread_id)
        await becomes(house, project, "tokens", before)
        assert await left(house, project, "requests") == [3]


# --- tokens --------------------------------------------------------------------------------------


async def test_a_run_reserves_tokens_of_its_model_and_is_settled_by_what_it_used() -> None:
    limits = {"models": {"scripted": {"tokens_per_minute": 2500}}}
    async with house_with(BOOKING, **limits) as house:
        project, _, client = await house.key()
        first = await begun(client, tools=[BOOK])
        assert first.headers["x-ratelimit-limit-tokens"] == "2500"
        assert int(first.headers["x-ratelimit-remaining-tokens"]) <= 500
        refused = await refusal(client)
        assert (refused.code, refused.type) == ("rate_limit_exceeded", "tokens")
        assert refused.response.headers["x-ratelimit-limit-tokens"] == "2500"
        run = await rested(client, first.parse())
        ended = await client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        assert ended.usage is not None
        assert ended.usage.total_tokens == USED
        await becomes(house, project, "tokens", 2500 - USED)
        await begun(client, tools=[BOOK])


async def test_what_a_run_took_is_settled_though_its_limit_was_changed_meanwhile() -> None:
    async with house_with(BOOKING, run_tokens=2000) as house:
        project, _, client = await house.key()
        limits = house.projects.rate_limits
        await limits.update_rate_limit(LIMIT, project_id=project, max_tokens_per_1_minute=1500)
        # All of the limit, since that is less than it would reserve.
        run = await rested(client, (await begun(client, tools=[BOOK])).parse())
        assert await left(house, project, "tokens") == [0]
        await limits.update_rate_limit(LIMIT, project_id=project, max_tokens_per_1_minute=60_000)
        assert await left(house, project, "tokens") == [58_500]
        await client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        await becomes(house, project, "tokens", 60_000 - USED)


async def test_what_a_run_took_is_settled_though_no_limit_is_left_when_it_ends() -> None:
    async with house_with(BOOKING) as house:
        project, _, client = await house.key()
        limits = house.projects.rate_limits
        await limits.update_rate_limit(LIMIT, project_id=project, max_tokens_per_1_minute=5000)
        run = await rested(client, (await begun(client, tools=[BOOK])).parse())
        await limits.update_rate_limit(
            LIMIT, project_id=project, max_tokens_per_1_minute=AMOUNT_MAX
        )
        await client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        await limits.update_rate_limit(LIMIT, project_id=project, max_tokens_per_1_minute=5000)
        await becomes(house, project, "tokens", 5000 - USED)


async def test_a_run_that_outlives_its_process_is_settled_by_what_it_took(tmp_path: Path) -> None:
    limits = {"models": {"scripted": {"tokens_per_minute": 1000}}, "run_tokens": 10}
    async with house_with(BOOKING, data_dir=tmp_path, **limits) as house:
        project, _, client = await house.key()
        run = await rested(client, (await begun(client, tools=[BOOK])).parse())
        key = client.api_key
        taken = 1000 - (await left(house, project, "tokens"))[0]
    # Of limits in memory, nothing is known any more. What it used beyond what it took is owed.
    async with house_with(data_dir=tmp_path, **limits) as house:
        client = house.client.with_options(api_key=key)
        assert await left(house, project, "tokens") == [1000]
        await client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
        await becomes(house, project, "tokens", 1000 - (USED - taken))


# --- what begins no run --------------------------------------------------------------------------


async def test_a_run_of_an_assistant_that_is_not_there_is_answered_so_and_takes_no_tokens() -> None:
    async with house_with(models={"scripted": {"tokens_per_minute": 2500}}) as house:
        project, _, client = await house.key()
        thread = await client.beta.threads.create()
        for more in ({}, {"model": "scripted"}):
            with pytest.raises(openai.NotFoundError, match="asst_none"):
                await client.beta.threads.runs.create(
                    thread.id,
                    assistant_id="asst_none",
                    **more,  # type: ignore[call-overload]
                )
        assert await left(house, project, "tokens") == [2500]


async def test_a_project_learns_nothing_of_another_ones_assistant() -> None:
    async with house_with(models={"scripted": {"requests_per_minute": 1}}) as house:
        _, _, client = await house.key()
        assistant = await client.beta.assistants.create(model="scripted")
        project, _, stranger = await house.key("Other")
        for _ in range(2):
            with pytest.raises(openai.NotFoundError):
                await stranger.beta.threads.create_and_run(assistant_id=assistant.id)
        assert await left(house, project, "requests") == [1]


async def test_a_run_that_is_given_again_has_no_tokens_of_its_model_and_no_assistant() -> None:
    async with house_with(models={"scripted": {"tokens_per_minute": 9000}}) as house:
        project, _, client = await house.key()
        assistant = await client.beta.assistants.create(model="scripted")
        once = {"idempotency-key": "once"}
        create = client.beta.threads.create_and_run
        first = await create(assistant_id=assistant.id, extra_headers=once)
        await rested(client, first)
        await becomes(house, project, "tokens", 9000 - USED)
        await client.beta.assistants.delete(assistant.id)
        again = await create(assistant_id=assistant.id, extra_headers=once)
        assert again.id == first.id
        assert await left(house, project, "tokens") == [9000 - USED]


async def test_a_run_whose_stream_is_picked_up_takes_no_tokens_again() -> None:
    async with house_with(models={"scripted": {"tokens_per_minute": 9000}}) as house:
        project, _, client = await house.key()
        assistant = await client.beta.assistants.create(model="scripted")
        create = client.beta.threads.create_and_run
        first = await create(assistant_id=assistant.id)
        await rested(client, first)
        await becomes(house, project, "tokens", 9000 - USED)
        broken_off = {"last-event-id": f"{first.id}:1.1.0"}
        again = await create(assistant_id=assistant.id, stream=True, extra_headers=broken_off)
        told = [event.data.id async for event in again if event.event == "thread.run.completed"]
        assert told == [first.id]
        assert await left(house, project, "tokens") == [9000 - USED]


async def test_a_run_is_refused_where_its_model_has_no_room_if_that_is_wanted() -> None:
    limits = {"models": {"scripted": {"runs_at_once_max": 1}}, "full": "refuse"}
    script = Script().says("and on ").without_end().pauses(0.01).forever()
    async with house_with(script, **limits) as house:
        _, _, client = await house.key()
        run = (await begun(client)).parse()
        async with asyncio.timeout(30):
            # It has its place once it is at work.
            while run.status != "in_progress":
                run = await client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        refused = await refusal(client)
        assert "for scripted in the project" in refused.message
        assert "on runs at once: Limit 1, Used 1" in refused.message
        await client.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)
