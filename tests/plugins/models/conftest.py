"""A server of nothing but the router, clients' endpoints and scripted backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing.kit import FixedClock, TestServer, kernel_with, serves
from famulus_chat import Chat
from famulus_models import Models
from famulus_schemas.inference import Backend, ChatChunk, ChatRequest, Inference, PromptMessage
from famulus_schemas.ports import INFERENCE


class Asks(Plugin[NoSettings]):
    """Needs INFERENCE, as the run engine does."""

    name: ClassVar[str] = "asks"
    inference = need(INFERENCE)


class Routed:
    """A started server with a router in it."""

    def __init__(self, server: TestServer, clock: FixedClock) -> None:
        self.server = server
        self.clock = clock
        self.inference: Inference = server.plugin("asks").inference

    async def ask(self, model: str, **fields: Any) -> Any:
        """A chat completion over HTTP."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}
        return await self.server.post("/v1/chat/completions", body)

    async def stream(self, model: str, **fields: Any) -> list[str]:
        """The data of every event of a streamed chat completion over HTTP."""
        messages = [{"role": "user", "content": "Hi"}]
        body = {"model": model, "messages": messages, "stream": True, **fields}
        async with self.server.stream("/v1/chat/completions", body) as events:
            return [event.data for event in await events.all()]

    async def chat(self, model: str, text: str = "Hi") -> str:
        """What a typed chat says."""
        return "".join(chunk.content for chunk in await self.chunks(model, text))

    async def chunks(self, model: str, text: str = "Hi") -> list[ChatChunk]:
        """What a typed chat consists of."""
        message = PromptMessage(role="user", content=text)
        request = ChatRequest(model=model, messages=(message,))
        return [chunk async for batch in self.inference.chat(request) for chunk in batch]

    async def health(self) -> tuple[str, str]:
        """How the plugin says that it is."""
        health = await self.server.plugin("models").check_health()
        return health.status, health.detail


@asynccontextmanager
async def _routed(*backends: Backend, **settings: Any) -> AsyncIterator[Routed]:
    clock = FixedClock()
    async with kernel_with(
        *(serves(backend) for backend in backends),
        Models,
        Chat,
        Asks,
        settings={"models": {"backoff_s": 0.0, "refresh_min_s": 0.0, **settings}},
        clock=clock,
    ) as server:
        assert server.state("models") == ("running", "")
        yield Routed(server, clock)


@pytest.fixture
def routed() -> Callable[..., AbstractAsyncContextManager[Routed]]:
    """`async with routed(backend, ..., setting=value) as server`."""
    return _routed
