"""A scripted backend: a model server whose every answer the test has written.

    backend = ScriptedBackend(Script().says("Hello there").fails(faults.status(429)))

It is a backend in this process, and `async with backend.serve() as base_url` makes of the same
script an OpenAI-compatible HTTP server that fails on the wire as real ones do.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from math import sqrt
from typing import Any

import msgspec

from famulus.testing import faults
from famulus.testing.faults import Broken, ScriptedFault
from famulus.testing.script import BEFORE_HEADERS, Script, ScriptedCall, Turn, tool, words
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    ChatRequest,
    ModelCard,
    TextContent,
    TokenUsage,
)

__all__ = [
    "BEFORE_HEADERS",
    "Received",
    "Script",
    "ScriptedBackend",
    "ScriptedCall",
    "ScriptedFault",
    "Turn",
    "faults",
    "tool",
]

Answer = Callable[[ChatRequest], Turn | Script | str]
"""A script as a function: what to answer to this request."""


class Received:
    """One request that the backend got, and how it ended."""

    def __init__(
        self, number: int, endpoint: str, headers: Mapping[str, str], body: Any, chat: Any = None
    ) -> None:
        self.number = number
        """1 for the first request to this endpoint."""
        self.endpoint = endpoint
        self.headers = headers
        """As sent over HTTP, with lower-case names; empty in process."""
        self.body = body
        """The decoded JSON of the request."""
        self.chat: ChatRequest = chat
        """The request as typed; None where it is not for a chat."""
        self.chunks_sent = 0
        self.answered = False
        """Whether all of the answer was sent, up to its finish reason."""
        self.closed_early = False
        """Whether whoever asked left before that."""
        self._over = asyncio.Event()

    async def ended(self, *, within_s: float = 10.0) -> None:
        """Return once nothing more is sent for the request; TimeoutError past the limit."""
        async with asyncio.timeout(within_s):
            await self._over.wait()

    def end(self, *, closed_early: bool) -> None:
        """Note how it ended; only the backend itself calls this."""
        self.closed_early = closed_early
        self._over.set()


class ScriptedBackend:
    """A backend that plays a script: `chat`, `embed`, `count_tokens`, and all of it over HTTP.

    Requests are answered in the order in which they arrive. One too many fails and says so.
    """

    def __init__(
        self,
        script: Script | Answer | None = None,
        *,
        name: str = "scripted",
        models: Sequence[str] = ("scripted",),
        context_tokens: int = 8192,
        embedding_size: int = 16,
        api_key: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        kept_requests_max: int = 10_000,
        body_bytes_max: int = 64 << 20,
    ) -> None:
        self.name = name
        self.model_ids = tuple(models)
        self.context_tokens = context_tokens
        self.embedding_size = embedding_size
        self.api_key = api_key
        self.body_bytes_max = body_bytes_max
        self.requests: deque[Received] = deque(maxlen=kept_requests_max)
        """Every request, oldest first; the oldest are forgotten past `kept_requests_max`."""
        self.faults: dict[str, ScriptedFault] = {}
        """How `models`, `embeddings`, `tokenize` and `health` fail, as long as it is set."""
        self.gauges: dict[str, float] = {}
        """What `/metrics` says besides, such as `vllm:num_requests_waiting`."""
        self.open_chats = 0
        """Answers that are under way."""
        self._sleep = sleep
        self._counts: dict[str, int] = {}
        self._arrival = asyncio.Event()
        self._server: Any = None
        self.play(script if script is not None else Script())

    # -- for the test ---------------------------------------------------------------------------

    def play(self, script: Script | Answer) -> None:
        """Answer by this script from the next request on."""
        self._script = script
        self._next = 0

    @property
    def chats(self) -> list[Received]:
        """The requests that the script answers."""
        return [request for request in self.requests if request.chat is not None]

    async def arrived(self, count: int = 1, *, within_s: float = 10.0) -> Received:
        """The `count`th chat request, as soon as it is there; TimeoutError past the limit."""
        async with asyncio.timeout(within_s):
            while True:
                arrival = self._arrival
                found = [request for request in self.chats if request.number == count]
                if found:
                    return found[0]
                await arrival.wait()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen on 127.0.0.1 while inside; gives the base URL, which ends in /v1."""
        from famulus.testing.scripted_server import ScriptedServer

        self._server = ScriptedServer(self)
        try:
            yield await self._server.start()
        finally:
            await self._server.close()
            self._server = None

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[None]:
        """Refuse connections while inside, and cut those that are open; the port stays ours."""
        server = self._server
        assert server is not None, "refusing() is for a backend inside serve()"
        await server.refuse()
        try:
            yield
        finally:
            if self._server is server:
                await server.listen()

    # -- as a backend ---------------------------------------------------------------------------

    async def models(self) -> Sequence[ModelCard]:
        """The models that it was given."""
        self.receive("models", {}, {})
        self._fail("models")
        return [
            ModelCard(id=id, backend=self.name, context_tokens=self.context_tokens)
            for id in self.model_ids
        ]

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Sequence[ChatChunk], None]:
        """Play the next turn."""
        body = msgspec.json.decode(msgspec.json.encode(request))
        received = self.receive("chat/completions", {}, body, request)
        self.open_chats += 1
        broken = False
        try:
            async with aclosing(self.beats(self.turn_for(request), received)) as beats:
                async for batch in beats:
                    if batch:
                        yield batch
        except Broken as breaking:
            broken = True
            raise breaking.fault.raised_by(self.name) from None
        except BackendFault:
            broken = True
            raise
        finally:
            self.open_chats -= 1
            received.end(closed_early=not (broken or received.answered))

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """A vector for each text that depends on nothing but the text."""
        body = {"model": model, "input": list(texts), "dimensions": dimensions}
        self.receive("embeddings", {}, body)
        self._fail("embeddings")
        self.check_model(model)
        return [self.vector(text, dimensions) for text in texts]

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int]:
        """A token for each word."""
        self.receive("tokenize", {}, {"model": model, "prompt": list(texts)})
        self._fail("tokenize")
        self.check_model(model)
        return [len(words(text)) for text in texts]

    # -- shared with the HTTP server ------------------------------------------------------------

    def receive(
        self, endpoint: str, headers: Mapping[str, str], body: Any, chat: ChatRequest | None = None
    ) -> Received:
        """Note a request; the numbers of chats and legacy completions go on in one row."""
        row = "chat" if chat is not None else endpoint
        self._counts[row] = self._counts.get(row, 0) + 1
        received = Received(self._counts[row], endpoint, headers, body, chat)
        self.requests.append(received)
        arrival, self._arrival = self._arrival, asyncio.Event()
        arrival.set()
        return received

    def turn_for(self, request: ChatRequest) -> Turn:
        """The turn that answers this request. Raises BackendFault where there is none."""
        self.check_model(request.model)
        if not isinstance(self._script, Script):
            return _one_turn(self._script(request))
        turns = self._script.turns
        if self._next >= len(turns) and not (turns and self._script.repeats_last):
            raise BackendFault(
                "broken",
                f"the script has {len(turns)} turns, and request {self._next + 1} came",
                backend=self.name,
            )
        self._next += 1
        return turns[min(self._next, len(turns)) - 1]

    async def beats(self, turn: Turn, received: Received) -> AsyncGenerator[list[ChatChunk], None]:
        """The turn as it happens: an empty batch where headers go out, then batches.

        Raises Broken where the script says so.
        """
        for event in turn.waits_at(BEFORE_HEADERS):
            await event.wait()
        if turn.fault is not None and turn.fault_after == BEFORE_HEADERS:
            raise Broken(turn.fault)
        yield []
        batch: list[ChatChunk] = []
        place = 0
        for chunk in turn.chunks(received.number):
            if turn.stops_at(place) and batch:
                yield batch
                batch = []
            for event in turn.waits_at(place):
                await event.wait()
            if turn.fault is not None and turn.fault_after == place:
                raise Broken(turn.fault)
            await self._sleep(turn.pause_s)
            batch.append(chunk)
            place += 1
            received.chunks_sent = place
            if len(batch) >= turn.together:
                yield batch
                batch = []
        if batch:
            yield batch
        for event in turn.waits_from(place):
            await event.wait()
        if turn.fault is not None:
            raise Broken(turn.fault)
        received.answered = True
        usage = self.usage_of(turn, received) if turn.sends_usage else None
        yield [ChatChunk(finish_reason=turn.ends_with, usage=usage)]

    def usage_of(self, turn: Turn, received: Received) -> TokenUsage:
        """The scripted usage, or a token for each word."""
        if turn.usage is not None:
            return turn.usage
        prompt = sum(len(words(text)) for text in _texts(received.chat))
        spoken = (turn.reasoning, turn.text, turn.refusal, *(call.arguments for call in turn.calls))
        completion = sum(len(words(text)) for text in spoken)
        return TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
        )

    def vector(self, text: str, dimensions: int | None = None) -> list[float]:
        """A unit vector made from the text's hash."""
        size = dimensions or self.embedding_size
        raw = hashlib.shake_128(text.encode()).digest(size)
        values = [byte - 127.5 for byte in raw]
        length = sqrt(sum(value * value for value in values))
        return [value / length for value in values]

    def check_model(self, model: str) -> None:
        """Raise BackendFault (not_found) for a model that it was not given."""
        if model not in self.model_ids:
            raise BackendFault(
                "not_found",
                f"The model `{model}` does not exist.",
                backend=self.name,
                status=404,
                param="model",
            )

    def _fail(self, endpoint: str) -> None:
        fault = self.faults.get(endpoint)
        if fault is not None:
            raise fault.raised_by(self.name)


def _one_turn(answer: Turn | Script | str) -> Turn:
    if isinstance(answer, str):
        return Turn(text=answer)
    if isinstance(answer, Turn):
        return answer
    if len(answer.turns) != 1:
        raise ValueError(f"a scripted answer must be one turn, not {len(answer.turns)}")
    return answer.turns[0]


def _texts(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        if isinstance(message.content, str):
            yield message.content
        else:
            parts = message.content or ()
            yield from (part.text for part in parts if isinstance(part, TextContent))
