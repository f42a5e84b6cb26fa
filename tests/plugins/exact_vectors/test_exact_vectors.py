"""Exact search keeps every promise of VECTORS, and what it keeps on the disk is only a cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import conformance_for, kernel_with
from famulus.testing.vectors_conformance import DamagedCacheTests, OpenVectors
from famulus.testing.vectors_conformance.changes import ChangeTests
from famulus.testing.vectors_conformance.filters import FilterTests
from famulus.testing.vectors_conformance.nearest import NearestTests
from famulus_schemas.ports import VECTORS
from famulus_schemas.retrieval import Vectors

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Searches vectors."""

    name = "user"
    vectors = need(VECTORS)


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[Vectors]:
    tables = {"exact_vectors": settings}
    async with kernel_with("exact_vectors", User, data_dir=folder, settings=tables) as server:
        yield server.plugin("user").vectors


class TestExactVectors(conformance_for(VECTORS), DamagedCacheTests):  # type: ignore[misc]
    @pytest.fixture
    def open_vectors(self, tmp_path: Path) -> OpenVectors:
        return lambda: opened(tmp_path)

    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        return tmp_path / "vectors"


class TestExactVectorsInTheSmall(NearestTests, FilterTests, ChangeTests):
    """The same promises where nothing stays open, by one thread."""

    @pytest.fixture
    def open_vectors(self, tmp_path: Path) -> OpenVectors:
        return lambda: opened(tmp_path, memory_bytes_max=0, open_max=1, threads_max=1)
