"""A place where the road is walked."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.models import Model
from tests.e2e.serving import Served


@dataclass(frozen=True)
class Place:
    """A running server, and what is behind it."""

    served: Served
    store: str
    model: Model
