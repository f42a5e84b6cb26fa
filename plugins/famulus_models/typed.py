"""Relays on backends that speak no HTTP: the request typed, the answer written by us."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from famulus_models import telling
from famulus_models.asking import read_chat, read_embedding, wants_usage
from famulus_models.closing import closed
from famulus_models.telling import ChatForm, CompletionForm, Form
from famulus_schemas.inference import (
    Backend,
    BackendFault,
    ChatChunk,
    EmbedsTexts,
    Relay,
    RelayRequest,
)

DONE_EVENT = b"data: [DONE]\n\n"


class TypedRelays:
    """Makes relays out of typed chats and embeddings."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        make_id: Callable[[str], str],
        estimate: Callable[[str, str], int],
    ) -> None:
        self._clock = clock
        self._make_id = make_id
        self._estimate = estimate

    @asynccontextmanager
    async def relay(self, request: RelayRequest, backend: Backend) -> AsyncIterator[Relay]:
        """As RelaysRequests.relay. Raises BackendFault, and Problem for what has no typed form."""
        if request.endpoint == "embeddings":
            yield _Whole(await self._embedded(request, backend), request.model)
            return
        form = self._form(request)
        async with closed(backend.chat(read_chat(request, backend.name))) as batches:
            if request.stream:
                yield _Streamed(batches, form, request)
                return
            chunks = [chunk async for batch in batches for chunk in batch]
            yield _Whole(form.whole(chunks), request.model)

    def _form(self, request: RelayRequest) -> Form:
        created = int(self._clock())
        if request.endpoint == "completions":
            return CompletionForm(id=self._make_id("cmpl-"), created=created, model=request.model)
        return ChatForm(id=self._make_id("chatcmpl-"), created=created, model=request.model)

    async def _embedded(self, request: RelayRequest, backend: Backend) -> bytes:
        if not isinstance(backend, EmbedsTexts):
            raise BackendFault("unsupported", "it offers no embeddings", backend=backend.name)
        asked, texts = read_embedding(request, backend.name)
        dimensions = asked.dimensions if isinstance(asked.dimensions, int) else None
        vectors = await backend.embed(request.model, texts, dimensions)
        return telling.embeddings(
            request.model,
            vectors,
            as_base64=asked.encoding_format == "base64",
            tokens=sum(self._estimate(request.model, text) for text in texts),
        )


class _Whole:
    status = 200
    content_type = "application/json"

    def __init__(self, body: bytes, served_by: str) -> None:
        self.served_by = served_by
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class _Streamed:
    status = 200
    content_type = "text/event-stream"

    def __init__(
        self, batches: AsyncIterator[Sequence[ChatChunk]], form: Form, request: RelayRequest
    ) -> None:
        self.served_by = request.model
        self._batches = batches
        self._form = form
        self._wants_usage = wants_usage(request)

    async def chunks(self) -> AsyncIterator[bytes]:
        async for batch in self._batches:
            yield b"".join(self._event(chunk) for chunk in batch)
        yield DONE_EVENT

    def _event(self, chunk: ChatChunk) -> bytes:
        event = self._form.event(chunk)
        if chunk.usage and self._wants_usage:
            event += self._form.usage(chunk.usage)
        return event
