"""A whole road: a client, the server, and a model server on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from famulus.testing.kit import TestServer, kernel_with
from famulus.testing.scripted import ScriptedBackend
from famulus_chat import Chat
from famulus_models import Models
from famulus_openai_compatible import OpenAICompatible

Road = Callable[..., AbstractAsyncContextManager[TestServer]]


@asynccontextmanager
async def _road(scripted: ScriptedBackend, **models: Any) -> AsyncIterator[TestServer]:
    settings = {"models": {"backoff_s": 0.0, "attempts_max": 1, **models}}
    async with scripted.serve() as url:
        settings["openai_compatible"] = {"backends": [{"name": "box", "url": url}]}
        plugins = (OpenAICompatible, Models, Chat)
        async with kernel_with(*plugins, settings=settings) as server:
            for plugin in plugins:
                assert server.state(plugin.name) == ("running", "")
            yield server


@pytest.fixture
def road() -> Road:
    """`async with road(scripted) as server`."""
    return _road
