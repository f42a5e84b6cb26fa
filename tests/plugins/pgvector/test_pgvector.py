"""PostgreSQL with pgvector keeps every promise of VECTORS, for several processes at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import conformance_for, kernel_with
from famulus.testing.vectors_conformance import OpenVectors, toward
from famulus_schemas.ports import VECTORS
from famulus_schemas.retrieval import Vectors

pytestmark = pytest.mark.anyio

EAST, NORTH = toward(1, 0, 0), toward(0, 1, 0)


class User(Plugin[NoSettings]):
    """Searches vectors."""

    name = "user"
    vectors = need(VECTORS)


@asynccontextmanager
async def opened(dsn: str, schema: str, **settings: Any) -> AsyncIterator[Vectors]:
    tables = {"pgvector": {"dsn": dsn, "schema": schema, **settings}}
    async with kernel_with("pgvector", "exact_vectors", User, settings=tables) as server:
        assert server.state("pgvector") == ("running", "")
        assert server.state("exact_vectors")[0] == "off"
        yield server.plugin("user").vectors


class TestPgvector(conformance_for(VECTORS)):  # type: ignore[misc]
    @pytest.fixture
    def open_vectors(self, dsn: str, schema: str) -> OpenVectors:
        return lambda: opened(dsn, schema)
