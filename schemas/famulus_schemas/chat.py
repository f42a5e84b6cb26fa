"""Chat completions, read leniently: backends differ, and what we do not use passes untouched.

A request is kept as `ChatBody` and forwarded key by key; `ChatFields` is only our view of it.
Answers may leave things out, send null for a number, or add keys: all of that decodes.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from famulus_schemas.wire import (
    Answer,
    Identifier,
    JsonObject,
    Metadata,
    Temperature,
    TopP,
    UnixSeconds,
)

# -- requests ------------------------------------------------------------------------------

ChatBody: TypeAlias = dict[str, Raw]


class StreamOptions(Struct, frozen=True, kw_only=True):
    """What a stream should carry besides text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatFunction(Struct, frozen=True, kw_only=True):
    """A function as a chat tool tells of it, as far as it is looked at."""

    name: Identifier
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class ChatTool(Struct, frozen=True, kw_only=True):
    """A tool; kinds that we do not know are the backend's business."""

    type: str = "function"
    function: ChatFunction | UnsetType = UNSET


class ChatJsonSchema(Struct, frozen=True, kw_only=True):
    """The schema that an answer must have."""

    name: Identifier | UnsetType = UNSET
    description: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None


class ChatResponseFormat(Struct, frozen=True, kw_only=True):
    """The form of an answer; backends have kinds of their own."""

    type: str
    json_schema: ChatJsonSchema | UnsetType = UNSET


class ChatPrediction(Struct, frozen=True, kw_only=True):
    """What most of the answer will be."""

    type: str = "content"
    content: str | Annotated[list[Raw], Meta(min_length=1)]


Penalty: TypeAlias = Annotated[float, Meta(ge=-2, le=2)]
Choices: TypeAlias = Annotated[int, Meta(ge=1, le=128, description="How many answers to write.")]
Stop: TypeAlias = str | Annotated[list[str], Meta(min_length=1, max_length=4)]


class ChatFields(Struct, frozen=True, kw_only=True):
    """The keys of a chat request that OpenAI has; all others are the backend's business.

    Where OpenAI names words, any word will do: backends have more, and new ones come with models.
    """

    model: str
    messages: Annotated[list[Raw], Meta(min_length=1)]
    audio: JsonObject | None = None
    frequency_penalty: Penalty | None = None
    function_call: str | JsonObject | None = None
    functions: Annotated[list[ChatFunction], Meta(min_length=1, max_length=128)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: Metadata | None = None
    modalities: list[str] | None = None
    moderation: JsonObject | None = None
    n: Choices | None = None
    parallel_tool_calls: bool | None = None
    prediction: ChatPrediction | None = None
    presence_penalty: Penalty | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: JsonObject | None = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    response_format: ChatResponseFormat | None = None
    safety_identifier: Annotated[str, Meta(max_length=64)] | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: Stop | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    tool_choice: str | JsonObject | None = None
    tools: list[ChatTool] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    top_p: TopP | None = None
    user: str | None = None
    verbosity: str | None = None
    web_search_options: JsonObject | None = None


# -- parts of answers ----------------------------------------------------------------------

Count: TypeAlias = int | None


class PromptTokensDetails(Answer, frozen=True, kw_only=True):
    """Of the tokens read, how many were of which kind."""

    cached_tokens: Count | UnsetType = UNSET
    cache_write_tokens: Count | UnsetType = UNSET
    audio_tokens: Count | UnsetType = UNSET
    text_tokens: Count | UnsetType = UNSET
    image_tokens: Count | UnsetType = UNSET


class CompletionTokensDetails(Answer, frozen=True, kw_only=True):
    """Of the tokens written, how many were of which kind."""

    reasoning_tokens: Count | UnsetType = UNSET
    audio_tokens: Count | UnsetType = UNSET
    text_tokens: Count | UnsetType = UNSET
    accepted_prediction_tokens: Count | UnsetType = UNSET
    rejected_prediction_tokens: Count | UnsetType = UNSET


class CompletionUsage(Answer, frozen=True, kw_only=True):
    """Tokens read and written, as the backend counts them."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: PromptTokensDetails | UnsetType | None = UNSET
    completion_tokens_details: CompletionTokensDetails | UnsetType | None = UNSET


class TopLogprob(Answer, frozen=True, kw_only=True):
    """A token that might have been chosen."""

    token: str
    logprob: float | None
    bytes: list[int] | None = None


class TokenLogprob(Answer, frozen=True, kw_only=True):
    """A token that was chosen, and what stood beside it."""

    token: str
    logprob: float | None
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] | None = []


class ChatLogprobs(Answer, frozen=True, kw_only=True):
    """How likely each token was."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


# -- whole answers -------------------------------------------------------------------------


class ChatFunctionCall(Answer, frozen=True, kw_only=True):
    """A function's name and its arguments as text, which need not be valid JSON."""

    name: str
    arguments: str | None = ""


class ChatCustomCall(Answer, frozen=True, kw_only=True):
    """A custom tool's name and its free input."""

    name: str
    input: str | None = ""


class ChatToolCall(Answer, frozen=True, kw_only=True):
    """One call that the model asks for."""

    id: str | None = None
    type: str | None = "function"
    function: ChatFunctionCall | UnsetType | None = UNSET
    custom: ChatCustomCall | UnsetType | None = UNSET


class ChatMessage(Answer, frozen=True, kw_only=True):
    """What the model said."""

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ChatToolCall] | UnsetType | None = UNSET
    reasoning: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType | None = UNSET


class ChatChoice(Answer, frozen=True, kw_only=True):
    """One of the `n` answers."""

    index: Count = 0
    message: ChatMessage
    finish_reason: str | None = None
    logprobs: ChatLogprobs | None = None


class ChatCompletion(Answer, frozen=True, kw_only=True):
    """A chat answer, whole."""

    id: str
    object: str = "chat.completion"
    created: UnixSeconds | None = 0
    model: str
    choices: list[ChatChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET


# -- streamed answers ----------------------------------------------------------------------


class ChatFunctionCallDelta(Answer, frozen=True, kw_only=True):
    """The name, usually once, and more of the arguments."""

    name: str | UnsetType | None = UNSET
    arguments: str | UnsetType | None = UNSET


class ChatToolCallDelta(Answer, frozen=True, kw_only=True):
    """Growth of the call at `index`."""

    index: Count = None
    id: str | UnsetType | None = UNSET
    type: str | UnsetType | None = UNSET
    function: ChatFunctionCallDelta | UnsetType | None = UNSET


class ChatDelta(Answer, frozen=True, kw_only=True):
    """Growth of a message."""

    role: str | UnsetType | None = UNSET
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    tool_calls: list[ChatToolCallDelta] | UnsetType | None = UNSET
    reasoning: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType | None = UNSET


class ChatChunkChoice(Answer, frozen=True, kw_only=True):
    """Growth of one of the `n` answers."""

    index: Count = 0
    delta: ChatDelta = ChatDelta()
    finish_reason: str | None = None
    logprobs: ChatLogprobs | UnsetType | None = UNSET


class ChatCompletionChunk(Answer, frozen=True, kw_only=True):
    """A chat answer, a piece at a time; the one with usage has no choices."""

    id: str
    object: str = "chat.completion.chunk"
    created: UnixSeconds | None = 0
    model: str
    choices: list[ChatChunkChoice]
    usage: CompletionUsage | UnsetType | None = UNSET
    service_tier: str | UnsetType | None = UNSET
    system_fingerprint: str | UnsetType | None = UNSET
