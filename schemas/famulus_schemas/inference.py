"""Models: what is asked of them, what they stream back, and what a backend must be able to do.

Two roads lead to a model. A *chat* is typed: the run engine builds it and reads typed chunks.
A *relay* is a client's own request passed on with its vendor fields untouched; where a backend
speaks HTTP, the answer's bytes are never decoded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec


class TextContent(msgspec.Struct, frozen=True, kw_only=True, tag="text", tag_field="type"):
    """A piece of text in a prompt message."""

    text: str


class ImageUrl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a picture is: an https or data URL."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImageContent(msgspec.Struct, frozen=True, kw_only=True, tag="image_url", tag_field="type"):
    """A picture in a prompt message."""

    image_url: ImageUrl


class CalledFunction(msgspec.Struct, frozen=True, kw_only=True):
    """Which function a model called; `arguments` is the JSON text that the model wrote."""

    name: str
    arguments: str


class CalledTool(msgspec.Struct, frozen=True, kw_only=True, tag="function", tag_field="type"):
    """One call in an assistant message."""

    id: str
    function: CalledFunction


class PromptMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message as a model is shown it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[TextContent | ImageContent, ...] | None = None
    name: str | None = None
    tool_calls: tuple[CalledTool, ...] | None = None
    tool_call_id: str | None = None


class OfferedFunction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model may call; `parameters` is a JSON Schema object."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(msgspec.Struct, frozen=True, kw_only=True, tag="function", tag_field="type"):
    """The wire form of an offered function."""

    function: OfferedFunction


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model is asked. Encodes as the body of a chat completion, less the stream keys."""

    model: str
    messages: tuple[PromptMessage, ...]
    tools: tuple[OfferedTool, ...] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    reasoning_effort: str | None = None
    """How hard to think, for models that can; sent only where a client asked for it."""
    priority: int | None = None
    """Lower is sooner, where the backend schedules by it."""


class ToolCallDelta(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a tool call. `id` and `name` come once, in the call's first delta."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one answer, as the backend counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    is_estimate: bool = False
    """Whether the backend did not count them, and somebody else did."""
    served_by: str = ""
    """The model that answered, as its server names it; set on the way through INFERENCE."""


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ChatChunk(msgspec.Struct, frozen=True, kw_only=True):
    """What one piece of an answer adds. Empty fields add nothing."""

    content: str = ""
    refusal: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: FinishReason | None = None
    usage: TokenUsage | None = None


Endpoint = Literal["chat/completions", "completions", "embeddings"]


class RelayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A client's own request, field by field as it was sent."""

    endpoint: Endpoint
    model: str
    stream: bool
    fields: Mapping[str, msgspec.Raw]
    """Every field of the body, `model` among them, undecoded."""
    request_id: str = ""


class Relay(Protocol):
    """A model server's answer on its way to the client."""

    status: int
    content_type: str
    served_by: str
    """The model that really answered, as its backend names it."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body. Of a stream, each item is whole server-sent events, as many as came at once.

        Raises BackendFault where the server breaks off.
        """
        ...


class MeteredRelay(Relay, Protocol):
    """An answer that knows what it used, shown to its client or not."""

    @property
    def usage(self) -> TokenUsage | None:
        """As the server told it so far; of an answer that is no stream, None."""
        ...


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be asked for by `id`."""

    id: str
    backend: str
    created: int = 0
    owned_by: str = "famulus"
    context_tokens: int | None = None
    """Prompt and answer together; None where the backend does not say."""
    sees: bool | None = None
    """Whether it can be shown pictures; None where nobody has said so."""
    alias_of: str | None = None
    """The backend's own name for it, where `id` is an alias."""
    note: str | None = None
    """What a user should know about it."""
    chats: bool = True
    """False for a model of which it is known that it does nothing but embed."""


CANNOT_SEE = "image_input_unsupported"
"""The code of a fault that says that the model cannot be shown pictures."""

FaultKind = Literal[
    "unreachable", "timeout", "overloaded", "refused", "not_found", "broken", "unsupported"
]


class BackendFault(Exception):
    """A model server failed, or refused. Says what kind of failure, for retries and wording.

    `unreachable`, `timeout` and `broken` are the server's; `overloaded` is its 429 or 503;
    `refused` and `unsupported` are about the request and never worth a retry.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        backend: str = "",
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.kind: FaultKind = kind
        self.message = message
        self.backend = backend
        self.status = status
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        super().__init__(message)


class TokenCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens each text is; an estimate where the model's tokenizer is not known."""

    counts: tuple[int, ...]
    exact: bool


class Backend(Protocol):
    """A server of models. What else it can do, it shows by the protocols below."""

    name: str

    async def models(self) -> Sequence[ModelCard]:
        """What it serves now. Raises BackendFault where it cannot be asked."""
        ...

    def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """Stream an answer; each item is what arrived together.

        The last chunk with a `finish_reason` ends the answer; usage comes with it or after it.
        Closing the iterator aborts the answer on the server. Raises BackendFault.
        """
        ...


@runtime_checkable
class RelaysRequests(Protocol):
    """A backend that takes a client's request as it is."""

    def relay(self, request: RelayRequest) -> AbstractAsyncContextManager[Relay]:
        """Send it on. Entering raises BackendFault unless the server accepted the request."""
        ...


@runtime_checkable
class EmbedsTexts(Protocol):
    """A backend that turns texts into embeddings."""

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """One unit-length vector a text, in order. Raises BackendFault."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A backend that knows its models' tokenizers."""

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text, without what a chat template adds. Raises BackendFault."""
        ...


class Inference(Protocol):
    """What `need(INFERENCE)` gives: every backend behind one door, with aliases resolved."""

    async def models(self) -> Sequence[ModelCard]:
        """All models and aliases that can be asked for now, in a stable order."""
        ...

    async def find(self, model: str) -> ModelCard:
        """The card of one model or alias. Raises Problem (MODEL_NOT_FOUND)."""
        ...

    def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """As Backend.chat, on whichever backend serves the model."""
        ...

    def relay(self, request: RelayRequest) -> AbstractAsyncContextManager[MeteredRelay]:
        """Pass a client's request on, whatever the backend speaks.

        The answer names the model as the client did. Raises Problem.
        """
        ...

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """As EmbedsTexts.embed. Raises Problem where the model cannot."""
        ...

    async def count_tokens(self, model: str, texts: Sequence[str]) -> TokenCount:
        """Tokens of each text by the model's own tokenizer, or an estimate. Never raises."""
        ...
