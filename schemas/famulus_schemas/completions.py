"""Plain text completions, read as leniently as chat."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from famulus_schemas.chat import Choices, CompletionUsage, Count, Penalty, Stop, StreamOptions
from famulus_schemas.wire import Answer, Temperature, TokenIds, TopP, UnixSeconds

CompletionBody: TypeAlias = dict[str, Raw]

# One text, texts, one prompt of token ids, or prompts of token ids; a mixture is the caller's
# to refuse, since all three kinds of list are one array to the decoder.
CompletionPrompt: TypeAlias = str | Annotated[list[str | int | TokenIds], Meta(min_length=1)]


class CompletionFields(Struct, frozen=True, kw_only=True):
    """The keys of a completion request that OpenAI has."""

    model: str
    prompt: CompletionPrompt | None
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = 16
    n: Choices | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: str | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    user: str | None = None


class CompletionLogprobs(Answer, frozen=True, kw_only=True):
    """How likely each token was, in four lists of equal length."""

    text_offset: list[int] | None = None
    token_logprobs: list[float | None] | None = None
    tokens: list[str] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None


class CompletionChoice(Answer, frozen=True, kw_only=True):
    """One of the `n` continuations, or a piece of it."""

    index: Count = 0
    text: str
    finish_reason: str | None = None
    logprobs: CompletionLogprobs | None = None


class Completion(Answer, frozen=True, kw_only=True):
    """A continuation, whole or streamed: both carry the same name."""

    id: str
    object: str = "text_completion"
    created: UnixSeconds | None = 0
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET
