"""Limits in this process keep every promise of LIMITS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import FixedClock, conformance_for, kernel_with
from famulus.testing.limits_conformance import OpenLimits, limit
from famulus_schemas.limits import Limits, Refused, Taken
from famulus_schemas.ports import LIMITS

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Uses limits."""

    name = "user"
    limits = need(LIMITS)


@asynccontextmanager
async def opened(clock: Callable[[], float], **settings: Any) -> AsyncIterator[Limits]:
    tables = {"memory_limits": settings}
    async with kernel_with("memory_limits", User, settings=tables, clock=clock) as server:
        yield server.plugin("user").limits


class TestMemoryLimits(conformance_for(LIMITS)):  # type: ignore[misc]
    @pytest.fixture
    def open_limits(self) -> OpenLimits:
        return opened


async def test_a_full_table_forgets_what_was_used_longest_ago(fixed_clock: FixedClock) -> None:
    async with opened(fixed_clock, keys_max=2) as limits:
        for key in ("a", "b", "a", "c"):
            await limits.take("p", [limit(key, burst=2)])
        outcomes = [await limits.take("p", [limit(key, burst=2)]) for key in ("a", "c")]
        assert isinstance(outcomes[0], Refused)
        assert isinstance(outcomes[1], Taken)
        # `b` was forgotten, and has all of its burst again.
        assert (await limits.take("p", [limit("b", burst=2)])).standings[0].remaining == 1
