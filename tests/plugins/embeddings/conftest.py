"""A server with an embedder over backends that a test gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing.kit import TestServer, kernel_with, serves
from famulus_embeddings import Embeddings
from famulus_models import Models
from famulus_schemas.inference import Backend
from famulus_schemas.ports import EMBEDDER
from famulus_schemas.retrieval import Embedder


class Finds(Plugin[NoSettings]):
    """Needs EMBEDDER, as vector stores do."""

    name: ClassVar[str] = "finds"
    embedder = need(EMBEDDER)


class Embedding:
    """A started server, and its embedder."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.embedder: Embedder = server.plugin("finds").embedder

    async def vectors(
        self, *texts: str, model: str = "m", role: Any = "passage"
    ) -> Sequence[bytes]:
        return await self.embedder.embed(texts, model=model, role=role)

    async def health(self) -> tuple[str, str]:
        health = await self.server.plugin("embeddings").check_health()
        return health.status, health.detail


@asynccontextmanager
async def _embedding(
    *backends: Backend | str, models: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Embedding]:
    async with kernel_with(
        *(one if isinstance(one, str) else serves(one) for one in backends),
        Models,
        Embeddings,
        Finds,
        settings={
            "embeddings": settings,
            "models": {"backoff_s": 0.0, "refresh_min_s": 0.0, **(models or {})},
        },
    ) as server:
        assert server.state("embeddings") == ("running", "")
        yield Embedding(server)


@pytest.fixture
def embedding() -> Callable[..., AbstractAsyncContextManager[Embedding]]:
    """`async with embedding(backend, ..., setting=value) as house`."""
    return _embedding
