"""Cancelling runs at work."""

from __future__ import annotations

import asyncio
from typing import Any

from famulus.testing import Script, tool


async def test_a_run_at_work_is_cancelled_and_the_model_is_left(open_api: Any) -> None:
    script = Script().says("I would go on").without_end().pauses(0.001).says("Fresh.")
    async with open_api(script) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.run(thread, assistant)
        request = await api.backend.arrived()
        while not await api.messages(thread, run_id=run["id"]):
            await asyncio.sleep(0.002)
        cancelled = await api.ok(await api.cancel(run))
        assert request.closed_early
        assert cancelled["status"] == "cancelled"
        assert cancelled["cancelled_at"] is not None
        message = (await api.messages(thread))[-1]
        assert message["status"] == "incomplete"
        assert message["incomplete_details"] == {"reason": "run_cancelled"}
        (step,) = await api.steps(run)
        assert (step["status"], step["cancelled_at"]) == ("cancelled", cancelled["cancelled_at"])
        assert (await api.ran(thread, assistant))["status"] == "completed"


async def test_a_run_that_is_over_cannot_be_cancelled(open_api: Any) -> None:
    async with open_api(Script().says("done")) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        refused = await api.cancel(run)
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == "Cannot cancel run with status 'completed'."


async def test_cancel_wins_or_loses_cleanly_against_completion(open_api: Any) -> None:
    seen = set()
    async with open_api(Script().says("a b c").forever()) as api:
        assistant = await api.assistant()
        for pause in range(30):
            thread = await api.thread("hi")
            run = await api.run(thread, assistant)
            await asyncio.sleep(pause / 3000)
            answer = await api.cancel(run)
            ended = await api.ended(run)
            seen.add(ended["status"])
            if answer.status_code == 200:
                assert ended["status"] == "cancelled"
            else:
                assert ended["status"] == "completed"
            for message in await api.messages(thread, run_id=run["id"]):
                wanted = "completed" if ended["status"] == "completed" else "incomplete"
                assert message["status"] == wanted
    # Which of the two wins how often is chance; that a cancel can win is tested above.
    assert seen <= {"completed", "cancelled"}


async def test_a_cancelled_stream_says_so_and_ends(open_api: Any) -> None:
    script = Script().says("word").without_end().pauses(0.001)
    async with open_api(script) as api:
        thread = await api.thread("hi")
        body = {"assistant_id": await api.assistant(), "stream": True}
        names = []
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                names.append(event.name)
                if event.name == "thread.run.created":
                    run = event.json()
                if names.count("thread.message.delta") == 1 and event.name.endswith(".delta"):
                    asking = asyncio.create_task(api.cancel(run))
        await asking
        assert [n for n in names if not n.endswith(".delta")][-5:] == [
            "thread.run.cancelling",
            "thread.message.incomplete",
            "thread.run.step.cancelled",
            "thread.run.cancelled",
            "done",
        ]


async def test_a_run_is_cancelled_even_as_it_begins_to_wait_for_its_client(open_api: Any) -> None:
    book = {"type": "function", "function": {"name": "book_table"}}
    async with open_api(Script().calls(tool("book_table")).forever()) as api:
        assistant = await api.assistant(tools=[book])
        for pause in range(60):
            run = await api.run(await api.thread("hi"), assistant)
            await asyncio.sleep(pause / 6000)
            cancelled = await api.ok(await api.cancel(run))
            assert cancelled["status"] == "cancelled"
