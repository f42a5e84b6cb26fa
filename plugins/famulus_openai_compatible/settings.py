"""Which model servers there are, and how patient to be with them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from famulus import Secret, Settings
from famulus_http_models.address import Address
from famulus_http_models.settings import Limits, Server, Timeouts, refuse_same_labels


class OpenAICompatibleSettings(Settings, frozen=True, kw_only=True):
    """Settings of the plugin `openai_compatible`."""

    backend: Annotated[
        list[str],
        Meta(
            description="Base URLs of model servers, such as http://127.0.0.1:8000/v1.",
            extra={"flag": "--backend", "env": "FAMULUS_BACKEND"},
        ),
    ] = []
    backend_api_key: Annotated[
        Secret | None,
        Meta(
            description="Key of the one server in `backend`; more servers need tables.",
            extra={"env": "FAMULUS_BACKEND_API_KEY"},
        ),
    ] = None
    backends: Annotated[
        list[Server], Meta(description="Model servers with settings of their own.")
    ] = []
    discover: Annotated[
        bool,
        Meta(description="Where no server is named, look at well-known ports of this machine."),
    ] = True
    discover_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds each of those ports has to accept and answer.")
    ] = 1.0
    timeouts: Annotated[Timeouts, Meta(description="How long calls may take.")] = Timeouts()
    limits: Annotated[Limits, Meta(description="What the HTTP client may hold.")] = Limits()

    def __post_init__(self) -> None:
        for url in self.backend:
            Address.parse(url)
        if self.backend_api_key and len(self.backend) != 1:
            raise ValueError(
                "backend_api_key is for exactly one URL in backend, so that no server sees the "
                "key of another; name servers in backends to give each its own"
            )
        refuse_same_labels(self.servers())

    def servers(self) -> list[Server]:
        """All that are named, in the order in which a model is looked for."""
        plain = [Server(url=url, api_key=self.backend_api_key) for url in self.backend]
        return [*plain, *self.backends]
