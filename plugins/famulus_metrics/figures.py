"""What was read of one metric, before it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from famulus_metrics.tally import Buckets, Labels


class Figure(msgspec.Struct, frozen=True):
    """A gauge or a total as it was when it was read."""

    name: str
    help: str
    labels: Labels
    values: Mapping[Labels, float]


class Distribution(msgspec.Struct, frozen=True):
    """A histogram as it was when it was read."""

    name: str
    help: str
    labels: Labels
    bounds: Sequence[float]
    values: Mapping[Labels, Buckets]


Read: TypeAlias = Figure | Distribution
