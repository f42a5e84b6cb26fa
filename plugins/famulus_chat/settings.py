"""How large a request for a model may be, and what in it is refused here."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from famulus import Settings


class ChatSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `chat`."""

    body_bytes_max: Annotated[
        int, Meta(ge=1024, description="Size of a request: pictures come inside it.")
    ] = 33_554_432
    media_addresses: Annotated[
        Literal["pass", "refuse"],
        Meta(
            description="What becomes of a request that shows a picture, sound or film by its "
            "address. `pass` leaves it to the model's server, which fetches it from where it "
            "stands: tell it which hosts it may ask (vLLM: `--allowed-media-domains`). `refuse` "
            "answers 400; `data:` URLs are always passed on."
        ),
    ] = "pass"
    refuse_as_openai: Annotated[
        bool,
        Meta(
            description="Refuse numbers, sizes and types that OpenAI's API refuses; "
            "false leaves them to the model's server."
        ),
    ] = True
