"""Usage and costs as the official client asks for them."""

from __future__ import annotations

import openai
import pytest
from tests.plugins.usage.house import MIDNIGHT, NOW, opened

from famulus.testing import Script, tool

pytestmark = pytest.mark.anyio

LOOK = {"type": "function", "function": {"name": "look"}}


async def test_a_chat_completion_is_counted_and_costs_what_its_tokens_do() -> None:
    async with opened(Script().says("Yes.").uses(1_000, 100, cached=400)) as house:
        await house.said()
        [used] = await house.completions()
        assert (used.input_tokens, used.output_tokens, used.num_model_requests) == (1_000, 100, 1)
        assert (used.input_cached_tokens, used.input_uncached_tokens) == (400, 600)
        assert (used.model, used.project_id, used.api_key_id, used.batch) == (None,) * 4
        [spent] = await house.spent()
        assert spent.amount is not None
        assert spent.amount.currency == "usd"
        assert spent.amount.value == pytest.approx((600 * 2 + 400 * 0.5 + 100 * 10) / 1e6)


async def test_a_run_is_counted_once_for_each_answer_of_its_model() -> None:
    script = Script().says("One moment.").and_calls(tool("look", {})).uses(100, 10)
    async with opened(script.says("Done.").uses(150, 5)) as house:
        client = house.client
        assistant = await client.beta.assistants.create(model="scripted", tools=[LOOK])
        run = await client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": "hi"}]},
            poll_interval_ms=20,
        )
        [used] = await house.completions()
        assert (used.input_tokens, used.output_tokens, used.num_model_requests) == (100, 10, 1)
        assert run.required_action is not None
        [call] = run.required_action.submit_tool_outputs.tool_calls
        run = await client.beta.threads.runs.submit_tool_outputs_and_poll(
            run_id=run.id,
            thread_id=run.thread_id,
            tool_outputs=[{"tool_call_id": call.id, "output": "a tree"}],
            poll_interval_ms=20,
        )
        assert run.status == "completed"
        [used] = await house.completions()
        assert run.usage is not None
        assert (used.input_tokens, used.output_tokens) == (250, 15)
        assert (run.usage.prompt_tokens, run.usage.completion_tokens) == (250, 15)
        assert used.num_model_requests == 2


async def test_usage_is_told_by_project_key_user_and_model() -> None:
    async with opened(Script(repeats_last=True).says("Yes.").uses(100, 10)) as house:
        project, key, client = await house.key()
        await house.said()
        await house.said(client)
        await house.ran(client)
        groups = ["project_id", "api_key_id", "model"]
        other, mine = sorted(
            await house.completions(group_by=groups), key=lambda each: each.num_model_requests
        )
        assert (mine.project_id, mine.api_key_id, mine.model) == (project, key, "scripted")
        assert (mine.num_model_requests, mine.user_id) == (2, None)
        assert (other.project_id, other.api_key_id) == ("default", "key_fixed")
        for narrowed in (
            {"project_ids": [project]},
            {"api_key_ids": [key]},
            {"project_ids": [project], "models": ["scripted"]},
        ):
            [only] = await house.completions(**narrowed)
            assert only.num_model_requests == 2
        assert await house.completions(models=["another"]) == []
        assert await house.completions(batch=True) == []
        [user] = await house.completions(group_by=["user_id"], project_ids=[project])
        assert user.user_id is not None
        assert user.user_id.startswith("svc_acct_")


async def test_time_is_cut_into_minutes_hours_and_days() -> None:
    async with opened() as house:
        await house.said()
        house.clock.move(60)
        await house.said()
        house.clock.move(3_600)
        await house.said()
        house.clock.move(86_400)
        await house.said()
        end = NOW + 100_000

        async def counts(**more: object) -> list[tuple[int, int]]:
            fields = {"start_time": NOW, "end_time": end, **more}
            page = await house.usage.completions(**fields)  # type: ignore[arg-type]
            return [
                (bucket.start_time - NOW + 30, bucket.results[0].num_model_requests)  # type: ignore[union-attr]
                for bucket in page.data
                if bucket.results
            ]

        assert await counts() == [(-43_200, 3), (43_200, 1)]
        assert await counts(bucket_width="1h", limit=48) == [(0, 2), (3_600, 1), (90_000, 1)]
        assert await counts(bucket_width="1m", limit=120) == [(0, 1), (60, 1), (3_660, 1)]


async def test_pages_of_buckets_join_without_a_gap() -> None:
    async with opened() as house:
        await house.said()
        end = NOW + 5 * 86_400
        whole = await house.usage.completions(start_time=NOW, end_time=end)
        assert (len(whole.data), whole.has_more, whole.next_page) == (6, False, None)
        found, page = [], None
        while True:
            more = {} if page is None else {"page": page}
            part = await house.usage.completions(start_time=NOW, end_time=end, limit=4, **more)
            found += part.data
            page = part.next_page
            assert part.has_more == (page is not None)
            if page is None:
                break
        assert found == whole.data
        assert [bucket.end_time for bucket in found[:-1]] == [b.start_time for b in found[1:]]


async def test_what_cannot_be_asked_is_refused_by_name() -> None:
    async with opened() as house:
        for fields, param in (
            ({"limit": 32}, "limit"),
            ({"bucket_width": "1h", "limit": 169}, "limit"),
            ({"bucket_width": "1m", "limit": 1441}, "limit"),
            ({"end_time": NOW}, "start_time"),
            ({"page": "page_7"}, "page"),
            ({"page": "elsewhere"}, "page"),
            ({"bucket_width": "1m", "start_time": NOW - 50 * 3_600}, "start_time"),
            ({"bucket_width": "2d"}, "bucket_width"),
            ({"group_by": ["colour"]}, "group_by[0]"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                await house.usage.completions(**{"start_time": NOW, **fields})  # type: ignore[arg-type]
            assert refused.value.param == param, fields
        with pytest.raises(openai.BadRequestError, match="start_time"):
            await house.usage.costs(start_time=NOW + 86_400)


async def test_what_is_not_served_has_buckets_all_the_same() -> None:
    async with opened() as house:
        usage = house.usage
        for ask in (
            usage.moderations,
            usage.images,
            usage.audio_speeches,
            usage.audio_transcriptions,
            usage.vector_stores,
            usage.web_search_calls,
            usage.decisions,
            usage.embeddings,
            usage.file_search_calls,
            usage.code_interpreter_sessions,
        ):
            page = await ask(start_time=MIDNIGHT, end_time=MIDNIGHT + 2 * 86_400)
            assert (page.object, [len(bucket.results) for bucket in page.data]) == ("page", [0, 0])


async def test_embeddings_are_counted_for_themselves() -> None:
    async with opened() as house:
        made = await house.client.embeddings.create(model="scripted", input=["one two", "three"])
        [bucket] = (await house.usage.embeddings(start_time=NOW, group_by=["model"])).data
        [used] = bucket.results
        assert used.object == "organization.usage.embeddings.result"
        assert (used.input_tokens, used.model) == (made.usage.prompt_tokens, "scripted")
        assert await house.completions() == []
        [spent] = await house.spent(group_by=["line_item"])
        assert (spent.line_item, spent.quantity_unit) == ("scripted", "tokens")
        assert spent.quantity == made.usage.prompt_tokens


async def test_a_stream_is_counted_whether_its_client_asks_for_usage_or_not() -> None:
    async with opened(Script(repeats_last=True).says("Yes, yes.").uses(100, 10)) as house:
        async for _ in await house.said(stream=True):
            pass
        async for _ in await house.said(stream=True, stream_options={"include_usage": True}):
            pass
        [used] = await house.completions()
        assert (used.input_tokens, used.output_tokens, used.num_model_requests) == (200, 20, 2)


async def test_a_stream_that_is_left_is_counted_by_an_estimate() -> None:
    script = Script().says("one two three four five six").without_usage()
    async with opened(script) as house:
        stream = await house.said(stream=True)
        async for _ in stream:
            break
        await stream.close()
        await house.backend.chats[0].ended()
        while not (used := await house.completions()):
            pass
        assert used[0].num_model_requests == 1
        assert used[0].input_tokens > 0


async def test_a_model_has_its_price_by_the_name_of_its_server_too() -> None:
    async with opened(
        Script(repeats_last=True).says("Yes.").uses(1_000_000, 0),
        usage={"prices": {"scripted": {"input": 2.0}, "mine": {"input": 3.0}}},
        models={"aliases": {"mine": "scripted", "other": "scripted"}},
    ) as house:
        for model in ("scripted", "mine", "other"):
            await house.said(model=model)
            await house.ran()
        spent = await house.spent(group_by=["line_item"])
        assert {each.line_item: each.amount.value for each in spent} == {
            "scripted": 8.0,
            "mine": 3.0,
            "other": 2.0,
        }


async def test_only_admin_keys_may_ask() -> None:
    async with opened() as house:
        headers = {"authorization": "Bearer the key of the deployment"}
        for path in ("usage/completions", "costs", "spend_limit"):
            answer = await house.server.client.get(
                f"/v1/organization/{path}", params={"start_time": NOW}, headers=headers
            )
            assert answer.status_code == 403


async def test_an_answer_that_is_given_again_is_not_counted_again() -> None:
    async with opened() as house:
        for _ in range(2):
            await house.said(extra_headers={"idempotency-key": "once"})
        [used] = await house.completions()
        assert used.num_model_requests == len(house.backend.chats)
