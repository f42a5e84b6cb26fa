"""Fixtures for plugin authors, registered with pytest when famulus is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from famulus.testing.kit import FixedClock, NumberedIds
    from famulus.testing.scripted import ScriptedBackend


@pytest.fixture
def fixed_clock() -> FixedClock:
    """A clock that stands still until `fixed_clock.move(seconds)`."""
    from famulus.testing.kit import FixedClock

    return FixedClock()


@pytest.fixture
def numbered_ids() -> NumberedIds:
    """Ids that count up: `thread_1`, `thread_2`."""
    from famulus.testing.kit import NumberedIds

    return NumberedIds()


@pytest.fixture
def scripted_backend() -> ScriptedBackend:
    """A model whose behaviour the test writes, with `scripted_backend.play(...)`."""
    from famulus.testing.scripted import ScriptedBackend

    return ScriptedBackend()
