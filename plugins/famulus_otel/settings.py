"""Where traces go, how many are taken, and how much may wait."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from famulus import Secret, Settings, setting


class OtelSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.otel]`."""

    endpoint: Annotated[
        str | None,
        setting(
            why="Where a collector takes OTLP by HTTP, such as http://127.0.0.1:4318; without a "
            "path, `/v1/traces` is added. Without it the plugin is off."
        ),
    ] = None
    headers: Annotated[
        dict[str, Secret], setting(why="Headers to send, such as `authorization`.")
    ] = {}
    service_name: Annotated[str, setting(why="What the server is called in traces.")] = "famulus"
    attributes: Annotated[
        dict[str, str],
        setting(why="What else to say of the server, such as `deployment.environment.name`."),
    ] = {}
    sample_ratio: Annotated[
        float,
        msgspec.Meta(ge=0, le=1),
        setting(
            why="The part of traces that are exported: of those that begin here, and of clients' "
            "unless `sample_as_clients`."
        ),
    ] = 1.0
    follow_clients: Annotated[
        bool,
        setting(
            why="Whether traces of clients (`traceparent`) are gone on with; else each request "
            "begins one."
        ),
    ] = True
    sample_as_clients: Annotated[
        bool,
        setting(
            why="Whether those are exported or not as their clients say. Whoever can send a "
            "request, even without a key, then decides what the collector gets."
        ),
    ] = False
    compression: Annotated[
        Literal["gzip", "none"], setting(why="How spans are packed on their way.")
    ] = "gzip"
    queue_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Spans that may wait; further ones are dropped.")
    ] = 10_000
    batch_max: Annotated[int, msgspec.Meta(ge=1), setting(why="Spans that are sent together.")] = (
        512
    )
    pause_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds that spans wait for each other before they are sent."),
    ] = 2.0
    timeout_s: Annotated[
        float, msgspec.Meta(gt=0), setting(why="Seconds the collector has to take them.")
    ] = 10.0
    attempts_max: Annotated[
        int,
        msgspec.Meta(ge=1),
        setting(why="How often they are sent before they are dropped; others wait meanwhile."),
    ] = 4
    retry_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds before the second attempt; doubled for each next."),
    ] = 1.0

    def __post_init__(self) -> None:
        if self.endpoint is not None:
            parts = urlsplit(self.endpoint)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("endpoint must be a URL of http or https")
            if parts.username or parts.password:
                raise ValueError("credentials are no part of endpoint; set headers")

    @property
    def url(self) -> str:
        """Where spans are sent."""
        url = (self.endpoint or "").rstrip("/")
        return f"{url}/v1/traces" if not urlsplit(url).path else url
