"""One model server behind the Backend protocols, whichever plugin named it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from famulus import Secret, tracing
from famulus.clock import Clock
from famulus_http_models.address import Address
from famulus_http_models.chunks import ChatReader
from famulus_http_models.dialect import Dialect, OpenAIDialect
from famulus_http_models.frames import Splitter
from famulus_http_models.hiding import Hiding
from famulus_http_models.listing import read_models
from famulus_http_models.question import Question
from famulus_http_models.refusals import fault_of_answer
from famulus_http_models.relay import (
    StreamedAnswer,
    WholeAnswer,
    fault_of_whole,
    unexpected_type,
)
from famulus_http_models.settings import Limits, Server, Timeouts
from famulus_http_models.tokens import TokenizerFile
from famulus_http_models.vectors import EmbeddingQuestion, read_vectors
from famulus_http_models.vllm import VllmDialect, speaks_vllm
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    ChatRequest,
    ModelCard,
    Relay,
    RelayRequest,
)

if TYPE_CHECKING:
    from famulus_http_models.link import Answer, Exchange, Link

ERROR_BYTES_MAX = 262_144
"""Of the body of an answer that is not a success."""


class HttpBackend:
    """A server that speaks OpenAI's chat completions over HTTP."""

    def __init__(
        self,
        server: Server,
        link: Link,
        *,
        timeouts: Timeouts,
        clock: Clock,
        tokenizer: TokenizerFile | None = None,
    ) -> None:
        self.name = server.label
        self._address = Address.parse(server.url)
        self._server = server
        self._link = link
        self._limits: Limits = link.limits
        self._timeouts = server.timeouts or timeouts
        self._clock = clock
        self._tokenizer = tokenizer
        self._headers = _headers(server.api_key, server.headers)
        self._hiding = Hiding([server.api_key, *server.headers.values()])
        self._openai = OpenAIDialect(server.limit_field)
        self._vllm = VllmDialect(self._limits.count_calls_max)
        self._dialect: Dialect | None = {
            "auto": None,
            "openai": self._openai,
            "vllm": self._vllm,
        }[server.dialect]

    @classmethod
    async def load(
        cls, server: Server, link: Link, *, timeouts: Timeouts, clock: Clock
    ) -> HttpBackend:
        """The backend, with its tokenizer read. Raises ValueError or OSError for a bad one."""
        tokenizer = None
        if server.tokenizer is not None:
            tokenizer = await asyncio.to_thread(TokenizerFile.load, Path(server.tokenizer))
        return cls(server, link, timeouts=timeouts, clock=clock, tokenizer=tokenizer)

    @property
    def dialect(self) -> Dialect:
        """What the server is known to speak; OpenAI's until it was asked."""
        return self._dialect or self._openai

    async def models(self) -> Sequence[ModelCard]:
        """What it serves now. Raises BackendFault where it cannot be asked."""
        if self._server.models is not None:
            # These are known even while the server is down.
            with suppress(BackendFault):
                await self._recognise()
            return [self._card(id) for id in self._server.models]
        body = await self._ask_small(self._address.api + "/models", None)
        await self._recognise()
        cards = read_models(body, backend=self.name, context_tokens=self._server.context_tokens)
        vision = self._server.vision
        if vision is None:
            return cards
        return [msgspec.structs.replace(card, sees=vision) for card in cards]

    async def _recognise(self) -> None:
        if self._dialect is None:
            self._dialect = self._vllm if await speaks_vllm(self) else self._openai

    def _card(self, id: str) -> ModelCard:
        return ModelCard(
            id=id,
            backend=self.name,
            owned_by=self.name,
            context_tokens=self._server.context_tokens,
            sees=self._server.vision,
        )

    async def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """Stream an answer; what one read of the network brought is one item."""
        exchange = await self.begin_stream("chat/completions", self.dialect.chat_body(request))
        try:
            reader = ChatReader(self.name)
            splitter = Splitter(self._limits.event_bytes_max, backend=self.name)
            left_bytes = self._limits.stream_bytes_max
            while not reader.is_done:
                piece = await exchange.read_unjudged()
                left_bytes -= len(piece)
                if left_bytes < 0:
                    raise self._too_much()
                chunks = reader.read(splitter.feed(piece) if piece else splitter.flush())
                if chunks:
                    # Comments and empty chunks come from a server that hangs, too.
                    exchange.advanced()
                    yield chunks
                if reader.fault:
                    raise self._hiding.of(reader.fault)
                if not piece:
                    break
            reader.end()
            if reader.fault:
                raise self._hiding.of(reader.fault)
            await exchange.settle()
        finally:
            exchange.close()

    def _too_much(self) -> BackendFault:
        most = self._limits.stream_bytes_max
        reason = f"its answer is longer than {most} bytes; raise stream_bytes_max"
        return BackendFault("broken", reason, backend=self.name)

    def relay(self, request: RelayRequest) -> AbstractAsyncContextManager[Relay]:
        """Send a client's request on. Entering raises BackendFault unless it is accepted."""
        return _Relaying(self, request)

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """One unit-length vector a text, in order. Raises BackendFault."""
        vectors: list[list[float]] = []
        step = self._limits.embed_texts_max
        for start in range(0, len(texts), step):
            part = texts[start : start + step]
            question = EmbeddingQuestion(
                model=model, input=part, encoding_format="float", dimensions=dimensions
            )
            answer = await self.ask_whole("embeddings", msgspec.json.encode(question))
            vectors += read_vectors(answer.body, len(part), backend=self.name)
        return vectors

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text, by the configured tokenizer or the server's own."""
        if self._tokenizer is not None:
            return await self._tokenizer.count(texts)
        return await self.dialect.count_tokens(self, model, texts)

    async def ask_own(self, path: str, body: bytes | None) -> bytes:
        """What the server answers at a path beside its API. Raises BackendFault."""
        return await self._ask_small(self._address.root + path, body)

    async def ask_whole(self, endpoint: str, body: bytes, *, request_id: str = "") -> Answer:
        """A successful answer of an endpoint, not streamed. Raises BackendFault."""
        question = self._question(
            f"{self._address.api}/{endpoint}",
            body,
            # It begins when it is complete, so only the limit of the whole call fits it.
            first_byte_s=self._timeouts.call_timeout_s,
            request_id=request_id,
        )
        answer = await self._link.ask(question, self._limits.answer_bytes_max)
        if answer.status != 200:
            raise self._refusal(answer.status, answer.headers, answer.body, question.url)
        content_type = answer.headers.get("Content-Type", "")
        fault = fault_of_whole(answer.body, content_type, backend=self.name)
        if fault:
            raise self._hiding.of(fault)
        return answer

    async def begin_stream(self, endpoint: str, body: bytes, *, request_id: str = "") -> Exchange:
        """A stream of events that the server has begun to send. Raises BackendFault."""
        question = self._question(
            f"{self._address.api}/{endpoint}",
            body,
            first_byte_s=self._timeouts.first_byte_timeout_s,
            request_id=request_id,
        )
        exchange = await self._link.begin(question)
        content_type = exchange.headers.get("Content-Type", "")
        if exchange.status == 200 and content_type.startswith("text/event-stream"):
            return exchange
        try:
            said = await exchange.rest(ERROR_BYTES_MAX)
        finally:
            exchange.close()
        if exchange.status != 200:
            raise self._refusal(exchange.status, exchange.headers, said, question.url)
        fault = fault_of_whole(said, content_type, backend=self.name)
        fault = fault or unexpected_type(content_type, "text/event-stream", backend=self.name)
        raise self._hiding.of(fault)

    def streamed(self, exchange: Exchange, *, served_by: str) -> StreamedAnswer:
        """The stream as an answer to pass on."""
        return StreamedAnswer(
            exchange,
            served_by=served_by,
            backend=self.name,
            event_bytes_max=self._limits.event_bytes_max,
        )

    async def _ask_small(self, url: str, body: bytes | None) -> bytes:
        question = self._question(url, body, first_byte_s=self._timeouts.list_timeout_s)
        answer = await self._link.ask(question, self._limits.answer_bytes_max)
        if answer.status != 200:
            raise self._refusal(answer.status, answer.headers, answer.body, url)
        return answer.body

    def _question(
        self, url: str, body: bytes | None, *, first_byte_s: float, request_id: str = ""
    ) -> Question:
        headers = self._headers
        if request_id := request_id or tracing.request_id.get():
            headers = {**headers, "X-Request-Id": request_id}
        if span := tracing.span.get():
            headers = {**headers, "traceparent": span.traceparent}
        return Question(
            url=url,
            headers=headers,
            body=body,
            backend=self.name,
            timeouts=self._timeouts,
            first_byte_s=first_byte_s,
        )

    def _refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, url: str
    ) -> BackendFault:
        return self._hiding.of(
            fault_of_answer(status, headers, body, backend=self.name, url=url, now=self._clock())
        )


class _Relaying:
    """One request on its way: accepted when entered, let go of when left."""

    def __init__(self, backend: HttpBackend, request: RelayRequest) -> None:
        self._backend = backend
        self._request = request
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Relay:
        request = self._request
        body = msgspec.json.encode(request.fields)
        if request.stream:
            self._exchange = await self._backend.begin_stream(
                request.endpoint, body, request_id=request.request_id
            )
            return self._backend.streamed(self._exchange, served_by=request.model)
        answer = await self._backend.ask_whole(
            request.endpoint, body, request_id=request.request_id
        )
        return WholeAnswer(
            answer.body, answer.headers.get("Content-Type", ""), served_by=request.model
        )

    async def __aexit__(self, *error: object) -> None:
        if self._exchange is not None:
            self._exchange.close()


def _headers(api_key: Secret | None, further: dict[str, Secret]) -> dict[str, str]:
    headers = {
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "famulus",
    }
    if api_key:
        headers["Authorization"] = f"Bearer {api_key.reveal()}"
    headers.update({name: value.reveal() for name, value in further.items()})
    return headers
