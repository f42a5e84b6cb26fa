"""The Embedder: one road through INFERENCE, whichever backend has the model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Literal

from famulus import Problem
from famulus_embeddings.batches import in_batches
from famulus_embeddings.faults import CANNOT_EMBED
from famulus_embeddings.gate import Gate
from famulus_embeddings.packing import NUMBER_BYTES, BadVectors, no_direction, packed
from famulus_embeddings.settings import EmbeddingsSettings, Prefixes
from famulus_schemas.errors import MODEL_NOT_FOUND, NOT_SUPPORTED
from famulus_schemas.inference import Inference

Role = Literal["query", "passage"]

_NOBODY_CAN = (MODEL_NOT_FOUND.code, NOT_SUPPORTED.code)
_PROBE = "dimensions"
_PLAIN = Prefixes()


class RoutedEmbedder:
    """What `need(EMBEDDER)` gives."""

    def __init__(self, inference: Inference, settings: EmbeddingsSettings) -> None:
        self.default_model = settings.default_model
        self._inference = inference
        self._settings = settings
        calls = settings.calls_waiting_max
        self._gates: dict[Role, Gate] = {
            "query": Gate(settings.queries_at_once_max, calls),
            "passage": Gate(settings.requests_at_once_max, calls),
        }
        self._dimensions: dict[str, int] = {}

    async def dimensions(self, model: str) -> int:
        """Numbers in a vector of the model, which is asked once. Raises Problem."""
        if model not in self._dimensions:
            await self.embed([_PROBE], model=model, role="query")
        return self._dimensions[model]

    async def embed(self, texts: Sequence[str], *, model: str, role: Role) -> Sequence[bytes]:
        """One vector a text, in order; a blank text has the first axis. Raises Problem."""
        said = [text[: self._settings.text_characters_max] for text in texts]
        telling = [text for text in said if text and not text.isspace()]
        prefixes = self._settings.prefixes.get(model, _PLAIN)
        prefix = prefixes.query if role == "query" else prefixes.passage
        vectors = iter(await self._vectors(model, [prefix + text for text in telling], role))
        if len(telling) == len(said):
            return list(vectors)
        blank = no_direction(await self.dimensions(model))
        return [next(vectors) if text and not text.isspace() else blank for text in said]

    async def _vectors(self, model: str, texts: Sequence[str], role: Role) -> Sequence[bytes]:
        batches = in_batches(
            texts,
            texts_max=self._settings.texts_per_request_max,
            characters_max=self._settings.characters_per_request_max,
        )
        gate = self._gates[role]
        answers: dict[int, Sequence[bytes]] = {}
        numbered = enumerate(batches)
        # One call has no more requests in line than there is room for, so that a large file
        # takes turns with the others.
        at_once = min(gate.at_once_max, len(texts))
        with gate.call():
            work = [
                asyncio.ensure_future(self._work(model, numbered, answers, gate))
                for _ in range(at_once)
            ]
            try:
                await asyncio.gather(*work)
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
        return [vector for number in sorted(answers) for vector in answers[number]]

    async def _work(
        self,
        model: str,
        numbered: Iterator[tuple[int, Sequence[str]]],
        answers: dict[int, Sequence[bytes]],
        gate: Gate,
    ) -> None:
        for number, batch in numbered:
            async with gate.room:
                answers[number] = await self._ask(model, batch)

    async def _ask(self, model: str, batch: Sequence[str]) -> Sequence[bytes]:
        try:
            answer = await self._inference.embed(model, batch)
        except Problem as problem:
            if problem.body.code in _NOBODY_CAN:
                reason = problem.body.message
                raise Problem(CANNOT_EMBED, model=model, reason=reason) from problem
            raise
        try:
            if len(answer) != len(batch):
                raise BadVectors(f"it answered {len(batch)} texts with {len(answer)} vectors")
            # Off the loop: of a batch, these are tens of thousands of numbers.
            vectors = await asyncio.to_thread(packed, answer)
        except BadVectors as error:
            raise Problem(CANNOT_EMBED, model=model, reason=str(error)) from error
        self._dimensions[model] = len(vectors[0]) // NUMBER_BYTES
        return vectors
