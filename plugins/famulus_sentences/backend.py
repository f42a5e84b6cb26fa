"""The embedder as a backend, reached through INFERENCE as any other model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from famulus_schemas.inference import BackendFault, ChatChunk, ChatRequest, FaultKind, ModelCard
from famulus_sentences.settings import SentencesSettings
from famulus_sentences.windows import in_batches

if TYPE_CHECKING:
    from famulus_sentences.bert import Floats
    from famulus_sentences.encoder import Encoder

T = TypeVar("T")

NOTE = "Embeds sentences by their meaning, on this machine's CPU; it does not chat."


class SentencesBackend:
    """Serves one model, which is loaded when it is first asked for something."""

    name = "sentences"

    def __init__(self, folder: Path, settings: SentencesSettings, pool: Executor) -> None:
        self._folder = folder
        self._settings = settings
        self._pool = pool
        self._loading: asyncio.Future[Encoder] | None = None
        self._calls = 0

    async def models(self) -> Sequence[ModelCard]:
        """The one model."""
        return [ModelCard(id=self._settings.model, backend=self.name, note=NOTE, chats=False)]

    async def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """Refuses: there is nothing to chat with."""
        raise self._fault("unsupported", "it embeds texts, and does not chat")
        yield ()

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """One unit-length vector a text, in order. Raises BackendFault."""
        if model != self._settings.model:
            raise self._fault("not_found", f"it serves {self._settings.model} alone")
        if self._calls >= self._settings.calls_waiting_max:
            raise self._fault("overloaded", f"{self._calls} calls wait for it already")
        self._calls += 1
        try:
            encoder = await self._encoder()
            if dimensions not in (None, encoder.dimensions):
                raise self._fault(
                    "refused", f"the model has {encoder.dimensions} dimensions", "dimensions"
                )
            return await self._embedded(encoder, texts)
        finally:
            self._calls -= 1

    async def _embedded(self, encoder: Encoder, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        windows = await self._aside(partial(encoder.rows, texts))
        rows = [row for text in windows for row in text]
        means: dict[int, Floats] = {}
        # Batch by batch, so that calls take turns and one that nobody waits for ends soon.
        for batch in in_batches([len(row) for row in rows], self._settings.batch_tokens_max):
            found = await self._aside(partial(encoder.means, [rows[place] for place in batch]))
            means.update(zip(batch, found, strict=True))
        in_order = [means[place] for place in range(len(rows))]
        return await self._aside(partial(encoder.whole, windows, in_order))

    async def _encoder(self) -> Encoder:
        if self._loading is None or (self._loading.done() and self._loading.exception()):
            self._loading = asyncio.ensure_future(self._aside(self._load))
        try:
            # Shielded: the caller may leave, and others wait for the same weights.
            return await asyncio.shield(self._loading)
        except ValueError as error:
            raise self._fault("broken", f"its weights cannot be read: {error}") from error

    def _load(self) -> Encoder:
        # Imported here because it brings numpy, which a server that embeds elsewhere can spare.
        from famulus_sentences.encoder import Encoder

        settings = self._settings
        try:
            return Encoder(
                self._folder,
                window_tokens=settings.window_tokens,
                windows_max=settings.windows_max,
            )
        except Exception as error:  # Three libraries read the files, each with errors of its own.
            raise ValueError(f"{type(error).__name__}: {error}") from error

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _fault(self, kind: FaultKind, message: str, param: str | None = None) -> BackendFault:
        return BackendFault(kind, message, backend=self.name, param=param)
