from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from famulus.testing.records_conformance import OpenStore, RecordsConformance

pytestmark = pytest.mark.anyio


class TestPostgres(RecordsConformance):
    several_processes = True

    @pytest.fixture
    def open_store(self, open_postgres: OpenStore) -> OpenStore:
        return open_postgres
