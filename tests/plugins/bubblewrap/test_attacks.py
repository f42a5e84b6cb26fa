"""Hostile code in boxes by bubblewrap: nothing leaks, and nothing is left."""

from __future__ import annotations

import pytest
from tests.plugins.boxes_attacked import attacks_for
from tests.plugins.bubblewrap.test_bubblewrap import needs_bubblewrap, opened


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that servers run; the other tests have asyncio's own."""
    return "asyncio", {"use_uvloop": True}


@needs_bubblewrap
class TestAttacks(attacks_for("bubblewrap", opened)):  # type: ignore[misc]
    pass
