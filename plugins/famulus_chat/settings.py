"""How large a request for a model may be."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Settings


class ChatSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `chat`."""

    body_bytes_max: Annotated[
        int, Meta(ge=1024, description="Size of a request: pictures come inside it.")
    ] = 33_554_432
