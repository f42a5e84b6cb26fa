"""Asks a server for streams, by nothing but HTTP: no client stands between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from famulus_conformance.streams_reading import StreamEvent, events_of

GET_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
FORCED = {"type": "function", "function": {"name": "get_weather"}}
"""A choice that has any model call the function."""
DETAIL_MAX = 300
"""Characters told of an answer that is no stream."""


class NoStream(Exception):
    """The server answered with something else; says with what."""


class Asker:
    """One server and one model; paths are relative to the client's base URL."""

    def __init__(self, client: httpx.AsyncClient, model: str) -> None:
        self.client = client
        self.model = model

    async def made(self, path: str, body: Mapping[str, Any]) -> str:
        """The id of something new."""
        response = await self.client.post(path, json=body)
        if response.status_code != httpx.codes.OK:
            raise NoStream(f"POST {path}: {response.status_code} {response.text[:DETAIL_MAX]}")
        return str(response.json()["id"])

    async def assistant(self, **fields: Any) -> str:
        """The id of a new assistant."""
        return await self.made("assistants", {"model": self.model, **fields})

    async def thread(self, *texts: str) -> str:
        """The id of a new thread with these messages of a user."""
        messages = [{"role": "user", "content": text} for text in texts]
        return await self.made("threads", {"messages": messages})

    @asynccontextmanager
    async def stream(
        self, path: str, body: Mapping[str, Any]
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        """The events of an answer as they come. Raises NoStream."""
        asked = {**body, "stream": True}
        async with self.client.stream("POST", path, json=asked) as response:
            kind = response.headers.get("content-type", "")
            if response.status_code != httpx.codes.OK or "text/event-stream" not in kind:
                text = (await response.aread()).decode(errors="replace")[:DETAIL_MAX]
                raise NoStream(f"POST {path}: {response.status_code} {kind} {text}")
            yield events_of(response.aiter_lines())

    async def told(self, path: str, body: Mapping[str, Any]) -> list[StreamEvent]:
        """All events of an answer. Raises NoStream."""
        async with self.stream(path, body) as events:
            return [event async for event in events]

    async def run(
        self, text: str, assistant: Mapping[str, Any] | None = None, **fields: Any
    ) -> list[StreamEvent]:
        """The stream of a run on a thread with one message."""
        body = {"assistant_id": await self.assistant(**(assistant or {})), **fields}
        return await self.told(f"threads/{await self.thread(text)}/runs", body)

    async def create_and_run(self, text: str, **fields: Any) -> list[StreamEvent]:
        """The stream of a run that is created with its thread."""
        thread = {"messages": [{"role": "user", "content": text}]}
        body = {"assistant_id": await self.assistant(), "thread": thread, **fields}
        return await self.told("threads/runs", body)

    async def submit(self, waiting: list[StreamEvent], output: str) -> list[StreamEvent]:
        """The stream that goes on with a run whose last events were these. Raises NoStream."""
        wanted = [each for each in waiting if each.name == "thread.run.requires_action"]
        if not wanted:
            raise NoStream("the run does not wait for outputs")
        run = wanted[-1].data
        calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": output} for call in calls]
        path = f"threads/{run['thread_id']}/runs/{run['id']}/submit_tool_outputs"
        return await self.told(path, {"tool_outputs": outputs})

    async def chat(self, text: str, **fields: Any) -> list[StreamEvent]:
        """The stream of a chat's answer."""
        messages = [{"role": "user", "content": text}]
        body = {"model": self.model, "messages": messages, **fields}
        return await self.told("chat/completions", body)

    async def completion(self, prompt: str, **fields: Any) -> list[StreamEvent]:
        """The stream of a completion."""
        return await self.told("completions", {"model": self.model, "prompt": prompt, **fields})
