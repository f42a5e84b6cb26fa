"""The plugin: EMBEDDER, over whatever INFERENCE reaches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from famulus import Plugin, Problem, hookimpl, need
from famulus_embeddings.settings import EmbeddingsSettings
from famulus_schemas.health import Health
from famulus_schemas.ports import EMBEDDER, INFERENCE


class Embeddings(Plugin[EmbeddingsSettings]):
    """Provides EMBEDDER."""

    name: ClassVar[str] = "embeddings"
    provides = (EMBEDDER,)
    inference = need(INFERENCE)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port; no model is asked before there is a text."""
        from famulus_embeddings.embedder import RoutedEmbedder

        self.provide(EMBEDDER, RoutedEmbedder(self.inference, self.settings))
        yield

    @hookimpl
    async def check_health(self) -> Health:
        """Whether the model of new stores is there, under a name that stays its own."""
        model = self.settings.default_model
        try:
            card = await self.inference.find(model)
        except Problem as problem:
            return Health(status="degraded", detail=f"default_model: {problem.body.message}")
        if card.alias_of is not None:
            return Health(
                status="degraded",
                detail=f"default_model {model!r} is an alias of {card.alias_of!r}: name that one, "
                "or the stores are of no use once the alias leads elsewhere",
            )
        return Health()
