"""Two servers, each a process of its own, whose runs have one limit together, in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from openai.types.beta.threads import Run
from tests.e2e import test_shared_limits
from tests.e2e.test_two_processes import WORKS, started

from famulus.testing import Script, ScriptedBackend

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("store_variables", ["postgres"], indirect=True),
]

redis_variables = test_shared_limits.redis_variables


async def statuses(client: AsyncOpenAI, runs: list[Run]) -> list[str]:
    retrieve = client.beta.threads.runs.retrieve
    found = await asyncio.gather(*(retrieve(run.id, thread_id=run.thread_id) for run in runs))
    return sorted(run.status for run in found)


async def test_runs_of_two_servers_are_never_more_than_those_of_one_may_be_though_one_dies(
    store_variables: Mapping[str, str], redis_variables: dict[str, str], tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    backend = ScriptedBackend(Script().says("ok").waits_for(go_on).forever())
    variables = {
        **WORKS,
        **store_variables,
        **redis_variables,
        # A lease that ends tells nobody.
        "FAMULUS_JOBS__POLL_S": "0.5",
        "FAMULUS_RATE_LIMITS__PROJECT_RUNS_AT_ONCE_MAX": "3",
        "FAMULUS_RATE_LIMITS__LEASE_S": "5",
    }
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(backend.serve())
        one, a = await stack.enter_async_context(started(tmp_path / "a", url, variables))
        assistant = await a.beta.assistants.create(model="scripted")

        async def created(at: AsyncOpenAI) -> list[Run]:
            runs = (at.beta.threads.create_and_run(assistant_id=assistant.id) for _ in range(5))
            return list(await asyncio.gather(*runs))

        runs = await created(a)
        await backend.arrived(3, within_s=60)
        _, b = await stack.enter_async_context(started(tmp_path / "b", url, variables))
        runs += await created(b)
        assert await statuses(b, runs) == ["in_progress"] * 3 + ["queued"] * 7
        assert backend.open_chats == 3
        await asyncio.to_thread(one.kill)
        # What it had is taken up by the other, in its own places, and in no more.
        async with asyncio.timeout(60):
            while backend.open_chats < 3 or len(backend.chats) == 3:
                assert backend.open_chats <= 3
                await asyncio.sleep(0.02)
        assert (await statuses(b, runs)).count("completed") == 0
        go_on.set()
        async with asyncio.timeout(60):
            while set(await statuses(b, runs)) != {"completed"}:
                assert backend.open_chats <= 3
                await asyncio.sleep(0.02)
