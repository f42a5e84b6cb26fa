"""Which vLLM servers there are."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from famulus import Settings
from famulus_http_models.settings import Limits, Server, Timeouts, refuse_same_labels


class VllmSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `vllm`."""

    servers: Annotated[list[Server], Meta(description="The servers, each with its own table.")] = []
    timeouts: Annotated[Timeouts, Meta(description="How long calls may take.")] = Timeouts()
    limits: Annotated[Limits, Meta(description="What the HTTP client may hold.")] = Limits()

    def __post_init__(self) -> None:
        refuse_same_labels(self.servers)
        for server in self.servers:
            if server.dialect == "openai":
                raise ValueError(f"server {server.label!r}: dialect is vllm here; leave it out")

    def as_vllm(self) -> list[Server]:
        """The servers, none of which needs to be asked what it is."""
        return [msgspec.structs.replace(server, dialect="vllm") for server in self.servers]
