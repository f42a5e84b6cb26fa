"""One model server behind the Backend protocols, whichever plugin named it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from famulus import Secret
from famulus.clock import Clock
from famulus_http_models.address import Address
from famulus_http_models.chunks import ChatReader
from famulus_http_models.dialect import Dialect, OpenAIDialect
from famulus_http_models.frames import Splitter
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
    from famulus_http_models.link import Exchange, Link

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
        body = await self._ask_all(self._address.api + "/models", None)
        await self._recognise()
        return read_models(body, backend=self.name, context_tokens=self._server.context_tokens)

    async def _recognise(self) -> None:
        if self._dialect is None:
            self._dialect = self._vllm if await speaks_vllm(self) else self._openai

    def _card(self, id: str) -> ModelCard:
        return ModelCard(
            id=id,
            backend=self.name,
            owned_by=self.name,
            context_tokens=self._server.context_tokens,
        )

    async def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """Stream an answer; what one read of the network brought is one item."""
        exchange = await self._ask(
            self._address.api + "/chat/completions", self.dialect.chat_body(request), stream=True
        )
        try:
            await self._expect_events(exchange)
            reader = ChatReader(self.name)
            splitter = Splitter(self._limits.event_bytes_max, backend=self.name)
            while not reader.is_done:
                piece = await exchange.read()
                chunks = reader.read(splitter.feed(piece) if piece else splitter.flush())
                if chunks:
                    yield chunks
                if reader.fault:
                    raise reader.fault
                if not piece:
                    break
            reader.end()
            if reader.fault:
                raise reader.fault
            await exchange.settle()
        finally:
            exchange.close()

    @asynccontextmanager
    async def relay(self, request: RelayRequest) -> AsyncIterator[Relay]:
        """Send a client's request on. Raises BackendFault unless the server accepted it."""
        exchange = await self._ask(
            f"{self._address.api}/{request.endpoint}",
            msgspec.json.encode(request.fields),
            stream=request.stream,
            request_id=request.request_id,
        )
        try:
            if request.stream:
                await self._expect_events(exchange)
                yield StreamedAnswer(
                    exchange,
                    served_by=request.model,
                    backend=self.name,
                    event_bytes_max=self._limits.event_bytes_max,
                )
                return
            body = await exchange.read_all(self._limits.answer_bytes_max)
            fault = fault_of_whole(body, exchange.content_type, backend=self.name)
            if fault:
                raise fault
            yield WholeAnswer(body, exchange.content_type, served_by=request.model)
        finally:
            exchange.close()

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
            exchange = await self._ask(
                self._address.api + "/embeddings", msgspec.json.encode(question), stream=False
            )
            body = await self._whole(exchange)
            fault = fault_of_whole(body, exchange.content_type, backend=self.name)
            if fault:
                raise fault
            vectors += read_vectors(body, len(part), backend=self.name)
        return vectors

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text, by the configured tokenizer or the server's own."""
        if self._tokenizer is not None:
            return await self._tokenizer.count(texts)
        return await self.dialect.count_tokens(self, model, texts)

    async def ask_own(self, path: str, body: bytes | None) -> bytes:
        """What the server answers at a path beside its API. Raises BackendFault."""
        return await self._ask_all(self._address.root + path, body)

    async def _ask_all(self, url: str, body: bytes | None) -> bytes:
        exchange = await self._ask(url, body, limit_s=self._timeouts.list_timeout_s)
        return await self._whole(exchange)

    async def _whole(self, exchange: Exchange) -> bytes:
        try:
            return await exchange.read_all(self._limits.answer_bytes_max)
        finally:
            exchange.close()

    async def _ask(
        self,
        url: str,
        body: bytes | None,
        *,
        stream: bool = False,
        limit_s: float | None = None,
        request_id: str = "",
    ) -> Exchange:
        headers = {**self._headers, "X-Request-Id": request_id} if request_id else self._headers
        # A whole answer begins when it is complete, so only the limit of the call fits it.
        first_byte_s = limit_s or (
            self._timeouts.first_byte_timeout_s if stream else self._timeouts.call_timeout_s
        )
        exchange = await self._link.ask(
            Question(
                url=url,
                headers=headers,
                body=body,
                backend=self.name,
                timeouts=self._timeouts,
                first_byte_s=first_byte_s,
            )
        )
        if exchange.status == 200:
            return exchange
        try:
            said = await exchange.read_all(ERROR_BYTES_MAX)
        finally:
            exchange.close()
        raise fault_of_answer(
            exchange.status,
            exchange.headers,
            said,
            backend=self.name,
            url=url,
            now=self._clock(),
        )

    async def _expect_events(self, exchange: Exchange) -> None:
        if exchange.content_type.startswith("text/event-stream"):
            return
        body = await exchange.read_all(self._limits.answer_bytes_max)
        fault = fault_of_whole(body, exchange.content_type, backend=self.name)
        raise fault or unexpected_type(
            exchange.content_type, "text/event-stream", backend=self.name
        )


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
