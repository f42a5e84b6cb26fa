"""The backend: the stand-in streams its answers and counts its tokens; the embedder embeds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from famulus_builtin import tokens
from famulus_builtin.embedding import LEXICAL_DIMENSIONS, embed
from famulus_builtin.settings import BuiltinSettings
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    ChatRequest,
    FaultKind,
    FinishReason,
    ModelCard,
    TokenUsage,
    ToolCallDelta,
)

if TYPE_CHECKING:
    from famulus_builtin.reply import Reply

MODEL = "famulus-builtin"
LEXICAL = "famulus-lexical-1"
"""Whoever changes what its vectors are gives it the next number: stores keep what they have."""
NOTE = (
    "A stand-in, not a language model: no weights, fixed rules. It answers plainly, calls "
    "functions, quotes passages and fills in schemas, so that everything around a model can be "
    "tried without one."
)
LEXICAL_NOTE = (
    "Embeds texts by the words in them, with no weights: texts that share words are close, and "
    "meaning plays no part."
)
DIMENSIONS_MAX = 4_096
TEXTS_AT_ONCE = 16
"""Texts that are embedded in one go of a thread, before the next caller's turn."""
MESSAGE_TOKENS = 4
"""What each message counts besides its text, as real chat templates add."""


class BuiltinBackend:
    """Serves the one model that needs no weights and no network."""

    name = "builtin"

    def __init__(
        self,
        settings: BuiltinSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._hashing = asyncio.Lock()

    async def models(self) -> Sequence[ModelCard]:
        """The stand-in and the embedder, with notes that say what they are."""
        context = self._settings.context_tokens
        return [
            ModelCard(id=MODEL, backend=self.name, context_tokens=context, sees=False, note=NOTE),
            ModelCard(id=LEXICAL, backend=self.name, note=LEXICAL_NOTE, chats=False),
        ]

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Sequence[ChatChunk], None]:
        """Answer by the rules of `reply`, a word at a time. Raises BackendFault."""
        self._check_chats(request.model)
        prompt_tokens = self._prompt_tokens(request)
        answer = _Answer(self._reply(request), request)
        for chunk, size in answer.chunks():
            await self._pace(size)
            yield (chunk,)
        usage = TokenUsage(
            prompt_tokens=prompt_tokens,
            completion_tokens=answer.tokens,
            total_tokens=prompt_tokens + answer.tokens,
        )
        yield (ChatChunk(finish_reason=answer.finish_reason, usage=usage),)

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """Hash the words of each text into a vector of length one. Raises BackendFault."""
        self._check_model(model)
        usual = LEXICAL_DIMENSIONS if model == LEXICAL else self._settings.embedding_size
        size = dimensions or usual
        if not 1 <= size <= DIMENSIONS_MAX:
            raise self._fault(f"dimensions must be from 1 to {DIMENSIONS_MAX}", param="dimensions")
        vectors: list[Sequence[float]] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[start : start + TEXTS_AT_ONCE]
            # Off the loop, since a long text takes milliseconds; and in one thread only, since each
            # takes as much of the interpreter's time as the loop gets.
            async with self._hashing:
                vectors += await asyncio.to_thread(self._embedded, model, some, size)
        return vectors

    def _embedded(self, model: str, texts: Sequence[str], size: int) -> list[list[float]]:
        if model == MODEL:
            for text in texts:
                self._check_size(tokens.count(text), self._settings.embedding_tokens_max, "input")
        return [embed(text, size) for text in texts]

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int]:
        """Count by the rule of `tokens`. Raises BackendFault for another model."""
        self._check_model(model)
        return [tokens.count(text) for text in texts]

    def _reply(self, request: ChatRequest) -> Reply:
        # Only here: most servers have a model of their own, and never ask this one.
        from famulus_builtin.functions import CannotCall
        from famulus_builtin.refs import SchemaUnusable
        from famulus_builtin.reply import reply_to

        try:
            return reply_to(request)
        except SchemaUnusable as error:
            reason = f"the schema cannot be filled in: {error}"
            raise self._fault(reason, param="response_format") from error
        except CannotCall as error:
            raise self._fault(str(error), param="tools") from error

    def _prompt_tokens(self, request: ChatRequest) -> int:
        from famulus_builtin.conversation import Conversation

        talk = Conversation(request.messages)
        count = MESSAGE_TOKENS * len(request.messages) + sum(map(tokens.count, talk.texts()))
        if request.tools:
            count += tokens.count(msgspec.json.encode(request.tools).decode())
        self._check_size(count, self._settings.context_tokens, "messages")
        return count

    def _check_size(self, count: int, tokens_max: int, param: str) -> None:
        if count > tokens_max:
            raise self._fault(
                f"This model's maximum context length is {tokens_max} tokens. However, your "
                f"{param} resulted in {count} tokens.",
                param=param,
                code="context_length_exceeded",
            )

    async def _pace(self, size: int) -> None:
        rate = self._settings.tokens_per_s
        await self._sleep(size / rate if rate else 0)

    def _check_chats(self, model: str) -> None:
        self._check_model(model)
        if model == LEXICAL:
            raise self._fault("it embeds texts, and does not chat", kind="unsupported")

    def _check_model(self, model: str) -> None:
        if model not in (MODEL, LEXICAL):
            text = f"The built-in backend serves {MODEL} and {LEXICAL}, and no {model!r:.80}."
            raise self._fault(text, kind="not_found", param="model")

    def _fault(
        self,
        message: str,
        *,
        kind: FaultKind = "refused",
        param: str | None = None,
        code: str | None = None,
    ) -> BackendFault:
        return BackendFault(kind, message, backend=self.name, param=param, code=code)


class _Answer:
    """A reply on its way out, within the tokens and up to the stop words of the request."""

    def __init__(self, reply: Reply, request: ChatRequest) -> None:
        self._reply = reply
        self._request = request
        self.tokens = 0
        self.finish_reason: FinishReason = "tool_calls" if reply.calls else "stop"

    def chunks(self) -> Iterator[tuple[ChatChunk, int]]:
        """Each chunk with its size in tokens; `tokens` and `finish_reason` hold afterwards."""
        text = self._allowed(_before_stop(self._reply.text, self._request.stop))
        for word in tokens.in_words(text):
            yield ChatChunk(content=word), tokens.count(word)
        for index, call in enumerate(self._reply.calls):
            if self.finish_reason == "length":
                return
            name = self._allowed(call.name)
            if name != call.name:
                return
            first = ToolCallDelta(index=index, id=self._id(index), name=name)
            yield ChatChunk(tool_calls=(first,)), tokens.count(name)
            for word in tokens.in_words(self._allowed(call.arguments)):
                more = ToolCallDelta(index=index, arguments=word)
                yield ChatChunk(tool_calls=(more,)), tokens.count(word)

    def _allowed(self, text: str) -> str:
        """As much of the text as `max_tokens` leaves room for."""
        most = self._request.max_tokens
        size = tokens.count(text)
        if most is not None and self.tokens + size > most:
            self.finish_reason = "length"
            text, size = tokens.cut(text, most - self.tokens), most - self.tokens
        self.tokens += size
        return text

    def _id(self, index: int) -> str:
        """An id that depends on the conversation alone, so that equal requests get equal bytes."""
        asked = msgspec.json.encode((self._request.messages, self._reply.calls, index))
        return f"call_{hashlib.sha256(asked).hexdigest()[:24]}"


def _before_stop(text: str, stop: str | tuple[str, ...] | None) -> str:
    words = (stop,) if isinstance(stop, str) else stop or ()
    ends = [text.find(word) for word in words if word and word in text]
    return text[: min(ends)] if ends else text
