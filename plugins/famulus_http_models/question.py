"""One request to a model server, with the limits that hold for it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from famulus_http_models.settings import Timeouts


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and how long each part of the answer may take."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None
    """None for a GET."""
    backend: str
    timeouts: Timeouts
    first_byte_s: float
    """Until the answer begins; of one that is not streamed, until it is there."""
