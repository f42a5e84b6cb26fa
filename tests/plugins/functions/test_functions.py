"""Client-run functions, from the assistant's definition to the run that waits."""

from __future__ import annotations

import asyncio
from typing import Any

from famulus.testing import Script, ScriptedBackend, kernel_with, tool

PLUGINS = ("sqlite", "events", "jobs", "assistants", "threads", "models", "runs", "functions")

LOOKUP = {
    "name": "lookup",
    "description": "Looks a word up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}},
    "strict": True,
}


async def run_of(server: Any, definition: dict[str, Any]) -> Any:
    body = {"model": "scripted", "tools": [{"type": "function", "function": definition}]}
    assistant = (await server.post("/v1/assistants", body)).json()["id"]
    request = {
        "assistant_id": assistant,
        "thread": {"messages": [{"role": "user", "content": "?"}]},
    }
    run = (await server.post("/v1/threads/runs", request)).json()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    for _ in range(1000):
        run = (await server.get(path)).json()
        if run["status"] not in ("queued", "in_progress"):
            return run
        await asyncio.sleep(0.005)
    raise AssertionError("the run does not come to rest")


async def test_the_model_is_offered_what_the_assistant_defines() -> None:
    backend = ScriptedBackend(Script().says("no need"))
    async with kernel_with(*PLUGINS, backend=backend) as server:
        await run_of(server, LOOKUP)
        (offered,) = backend.chats[0].chat.tools
        assert offered.function.name == "lookup"
        assert offered.function.description == "Looks a word up."
        assert offered.function.parameters == LOOKUP["parameters"]
        assert offered.function.strict is True


async def test_a_call_makes_the_run_wait_for_the_client() -> None:
    backend = ScriptedBackend(Script().calls(tool("lookup", {"word": "famulus"})))
    async with kernel_with(*PLUGINS, backend=backend) as server:
        run = await run_of(server, LOOKUP)
        assert run["status"] == "requires_action"
        (call,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert call["function"] == {"name": "lookup", "arguments": '{"word":"famulus"}'}
