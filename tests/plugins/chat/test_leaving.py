"""A client that leaves costs a model server nothing more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from famulus.testing import Script, ScriptedBackend, live_server, make_kernel

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_its_answer_ends_the_answer(
    stream: bool, tmp_path: Path
) -> None:
    never = asyncio.Event()
    backend = ScriptedBackend(Script().says("never heard").waits_for(never))
    async with backend.serve() as url:
        kernel = make_kernel(
            "models",
            "openai_compatible",
            "chat",
            settings={"openai_compatible": {"backend": [url]}},
            data_dir=tmp_path,
        )
        async with live_server(kernel) as server, httpx.AsyncClient(base_url=server) as client:
            body = {"model": "scripted", "messages": MESSAGES, "stream": stream}
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
            request = await backend.arrived()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await request.ended()
            assert request.closed_early
