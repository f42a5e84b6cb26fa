"""What can be set about one model server, and about the client that reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from famulus import Secret, Settings
from famulus_http_models.address import Address


class Timeouts(Settings, frozen=True, kw_only=True):
    """How long each part of a call may take."""

    connect_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds to connect; nearby servers need far less.")
    ] = 5.0
    first_byte_timeout_s: Annotated[
        float,
        Meta(gt=0, description="Seconds until the first token: busy servers queue, prompts grow."),
    ] = 300.0
    idle_timeout_s: Annotated[
        float,
        Meta(gt=0, description="Seconds between two tokens; comments and empty chunks are none."),
    ] = 60.0
    call_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds a whole call may take, streamed or not. A run ends its calls when "
            "it expires (`run_s`), which by default is sooner.",
        ),
    ] = 1800.0
    list_timeout_s: Annotated[
        float, Meta(gt=0, description="Seconds for questions about models, version and tokens.")
    ] = 5.0


class Limits(Settings, frozen=True, kw_only=True):
    """What the shared HTTP client may hold."""

    connections_max: Annotated[
        int, Meta(ge=1, description="Connections to all servers; further calls wait for one.")
    ] = 1000
    keepalive_s: Annotated[
        float,
        Meta(
            gt=0,
            description="Seconds an idle connection is kept. Less than the 5 s of uvicorn, which "
            "vLLM runs on: a request must not meet a connection that is being closed.",
        ),
    ] = 4.0
    read_bytes_max: Annotated[
        int, Meta(ge=1024, description="Bytes read at once, so that no backlog holds up others.")
    ] = 65_536
    event_bytes_max: Annotated[
        int, Meta(ge=1024, description="Bytes of one server-sent event.")
    ] = 4_194_304
    answer_bytes_max: Annotated[
        int, Meta(ge=1024, description="Bytes of an answer that is not streamed.")
    ] = 67_108_864
    stream_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            description="Bytes of an answer that a run streams, with all its events: some "
            "hundreds for each token.",
        ),
    ] = 134_217_728
    embed_texts_max: Annotated[
        int, Meta(ge=1, description="Texts sent in one call for embeddings.")
    ] = 128
    count_calls_max: Annotated[
        int, Meta(ge=1, description="Calls at once where each text is counted by one call.")
    ] = 8


class Server(Settings, frozen=True, kw_only=True):
    """One model server: `url` is all that it needs."""

    url: Annotated[str, Meta(description="Base URL; without a path, `/v1` is added.")]
    name: Annotated[
        str | None,
        Meta(description="How logs and `name/model` call it; host and port where left out."),
    ] = None
    api_key: Annotated[Secret | None, Meta(description="Sent as `Authorization: Bearer`.")] = None
    headers: Annotated[dict[str, Secret], Meta(description="Further headers to send.")] = {}
    models: Annotated[
        list[str] | None,
        Meta(description="The models that it serves; it is asked where they are not named."),
    ] = None
    context_tokens: Annotated[
        int | None,
        Meta(description="Prompt and answer together, where the server does not say."),
    ] = None
    vision: Annotated[
        bool | None,
        Meta(
            description="Whether its models can be shown pictures; where left out, it is what the "
            "server says of each, or tried. `vision` of the plugin `models` says it of one model."
        ),
    ] = None
    tokenizer: Annotated[
        str | None,
        Meta(description="Path of the models' `tokenizer.json`, to count tokens exactly."),
    ] = None
    limit_field: Annotated[
        Literal["max_tokens", "max_completion_tokens"],
        Meta(description="How it calls the limit of an answer; OpenAI's newer models insist."),
    ] = "max_tokens"
    dialect: Annotated[
        Literal["auto", "openai", "vllm"],
        Meta(description="What it speaks beyond OpenAI's API; `auto` asks it."),
    ] = "auto"
    timeouts: Annotated[Timeouts | None, Meta(description="Instead of the plugin's.")] = None

    def __post_init__(self) -> None:
        Address.parse(self.url)
        if self.name is not None and (not self.name or "/" in self.name):
            raise ValueError(f"name {self.name!r} must be some text without a slash")
        if self.context_tokens is not None and self.context_tokens < 1:
            raise ValueError("context_tokens must be at least 1")

    @property
    def label(self) -> str:
        """What to call it by."""
        return self.name or Address.parse(self.url).label


def refuse_same_labels(servers: Sequence[Server]) -> None:
    """Raise ValueError where two servers would be called the same."""
    labels = [server.label for server in servers]
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ValueError(f"two servers are called {min(twice)!r}; give each a name")
