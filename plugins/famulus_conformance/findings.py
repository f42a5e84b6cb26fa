"""What a check found: where, in which respect, and whether that is as it should be."""

from __future__ import annotations

from typing import Literal

import msgspec

Aspect = Literal["implemented", "properties", "limits", "errors", "streams", "clients", "fuzz"]
"""The respects in which a server is judged; the columns of the report."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    operation: str
    """Id of the oracle's operation."""
    aspect: Aspect
    what: str
    """What was looked at: `body.metadata: maxProperties 16`, `401 without a key`."""
    kept: bool
    detail: str = ""
    """What was seen instead; empty where it is as it should be."""
