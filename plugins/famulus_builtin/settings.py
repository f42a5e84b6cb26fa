"""What can be set about the stand-in."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings


class BuiltinSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.builtin]`."""

    tokens_per_s: Annotated[
        float,
        msgspec.Meta(ge=0, description="Pace of streamed answers; 0 is as fast as possible."),
    ] = 0.0
    context_tokens: Annotated[
        int,
        msgspec.Meta(ge=256, description="Longest prompt; longer ones are refused, as by a model."),
    ] = 32_768
    embedding_size: Annotated[
        int, msgspec.Meta(ge=1, le=4096, description="Numbers in an embedding, if not asked for.")
    ] = 384
    embedding_tokens_max: Annotated[
        int, msgspec.Meta(ge=1, description="Longest text to embed; longer ones are refused.")
    ] = 8_192
