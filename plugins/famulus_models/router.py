"""Every backend behind one door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from famulus import Problem, tracing
from famulus_models.attempts import Attempts, Policy
from famulus_models.catalog import Catalog, Listing, Served
from famulus_models.closing import closed
from famulus_models.counting import Memory, Ratios, split_known
from famulus_models.metering import Meter
from famulus_models.names import Names
from famulus_models.problems import problem_of
from famulus_models.relay import RoutedRelay
from famulus_models.seeing import cannot_see, has_images, relays_images
from famulus_models.typed import TypedRelays
from famulus_schemas.errors import BACKEND_DOWN, MODEL_NOT_FOUND
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    ChatRequest,
    CountsTokens,
    EmbedsTexts,
    FaultKind,
    MeteredRelay,
    ModelCard,
    RelayRequest,
    TokenCount,
)

if TYPE_CHECKING:
    from famulus.log import Log

NAMES_SHOWN_MAX = 20
"""Of the models that there are, how many an error names."""
RETIRED_NOTED_MAX = 100
"""Retired names that are logged once each."""


class Router:
    """What `need(INFERENCE)` gives."""

    def __init__(
        self,
        catalog: Catalog,
        names: Names,
        policy: Policy,
        *,
        typed: TypedRelays,
        ratios: Ratios,
        memory: Memory,
        log: Log,
    ) -> None:
        self._catalog = catalog
        self._names = names
        self._policy = policy
        self._typed = typed
        self._ratios = ratios
        self._memory = memory
        self._log = log
        self._noted: set[str] = set()

    async def models(self) -> Sequence[ModelCard]:
        """All models and aliases that can be asked for now, in a stable order."""
        return self._names.cards(await self._catalog.current())

    async def find(self, model: str) -> ModelCard:
        """The card of one model or alias. Raises Problem (MODEL_NOT_FOUND)."""
        candidates = await self._candidates(model)
        return self._names.card(model, candidates[0])

    async def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """Stream an answer. Raises BackendFault; kind `not_found` for a model nobody serves."""
        candidates = await self._chat_candidates(request.model)
        self._refuse_unseen(request.model, candidates[0], partial(has_images, request))
        attempts = Attempts(candidates, self._policy)
        async for candidate in attempts:
            asked = msgspec.structs.replace(request, model=candidate.card.id)
            meter = Meter(candidate, self._policy.tell, asked_for=request.model)
            try:
                async with closed(_asked_within(meter, candidate.backend.chat(asked))) as batches:
                    async for batch in batches:
                        if not meter.has_begun:
                            meter.begin()
                            attempts.succeeded(candidate)
                        yield self._learn(candidate, asked, batch, meter)
            except BackendFault as fault:
                attempts.failed(candidate, fault, meter=meter)
            else:
                return
            finally:
                meter.end()

    def relay(self, request: RelayRequest) -> AbstractAsyncContextManager[MeteredRelay]:
        """Pass a client's request on. Entering raises Problem unless it is accepted."""
        return _Passing(self, request)

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        """One unit-length vector a text, in order. Raises Problem where the model cannot."""
        try:
            attempts = Attempts(_same_model(await self._candidates(model)), self._policy)
            async for candidate in attempts:
                backend = candidate.backend
                try:
                    if not isinstance(backend, EmbedsTexts):
                        raise BackendFault(
                            "unsupported", "it offers no embeddings", backend=backend.name
                        )
                    vectors = await backend.embed(candidate.card.id, texts, dimensions)
                except BackendFault as fault:
                    attempts.failed(candidate, fault)
                else:
                    attempts.succeeded(candidate)
                    return vectors
        except BackendFault as fault:
            raise problem_of(fault, model=model) from fault
        raise AssertionError("attempts end with an answer or a fault")

    async def count_tokens(self, model: str, texts: Sequence[str]) -> TokenCount:
        """Tokens of each text by the model's own tokenizer, or an estimate. Never raises."""
        served = self._names.resolve(await self._catalog.current(), model)
        key = model if served is None else _key(served)
        counts, unknown = split_known(self._memory, key, texts)
        if unknown:
            asked = await self._ask_counts(served, unknown)
            if asked is None:
                return TokenCount(
                    counts=tuple(self._ratios.estimate(key, text) for text in texts), exact=False
                )
            for text, count in zip(unknown, asked, strict=True):
                self._memory.put(key, text, count)
            fresh = iter(asked)
            counts = [next(fresh) if count is None else count for count in counts]
        return TokenCount(counts=tuple(count or 0 for count in counts), exact=True)

    # --- who is asked -------------------------------------------------------------------------

    async def _candidates(self, model: str) -> Sequence[Served]:
        listing = await self._catalog.current()
        found = self._names.candidates(listing, model)
        if not found:
            listing = await self._catalog.renewed()
            found = self._names.candidates(listing, model)
        if not found:
            raise self._unknown(listing, model)
        self._note_retired(model, found[0])
        return found

    async def _chat_candidates(self, model: str) -> Sequence[Served]:
        try:
            return await self._candidates(model)
        except Problem as problem:
            kind: FaultKind = "not_found" if problem.status == 404 else "unreachable"
            raise BackendFault(
                kind, problem.body.message, status=problem.status, code=problem.body.code
            ) from problem

    def _refuse_unseen(self, model: str, served: Served, asks_to_see: Callable[[], bool]) -> None:
        """Raise BackendFault where a model is to be shown pictures that is known to see none."""
        if self._names.sees(model, served) is False and asks_to_see():
            raise cannot_see(served.card.backend)

    def _unknown(self, listing: Listing, model: str) -> Problem:
        if listing.silent:
            # It may well be served by one that cannot be asked: the client should try again.
            name, fault = next(iter(listing.silent.items()))
            return Problem(
                BACKEND_DOWN,
                backend=name,
                reason=f"{fault.message} (no other server has a model '{model}')",
            )
        names = [card.id for card in self._names.cards(listing)]
        shown = ", ".join(names[:NAMES_SHOWN_MAX]) or "none; name a model server with --backend URL"
        more = len(names) - NAMES_SHOWN_MAX
        served = f"{shown} and {more} more" if more > 0 else shown
        return Problem(MODEL_NOT_FOUND, param="model", model=model, served=served)

    def _note_retired(self, model: str, served: Served) -> None:
        if (
            model not in self._noted
            and self._names.is_retired(model)
            and served.card.id != model
            and len(self._noted) < RETIRED_NOTED_MAX
        ):
            self._noted.add(model)
            self._log.info("retired_model_replaced", asked_for=model, answered_by=served.card.id)

    # --- relays and counts ----------------------------------------------------------------------

    async def open(self, request: RelayRequest) -> RoutedRelay:
        """The answer of the first server that accepts the request. Raises Problem."""
        try:
            candidates = await self._candidates(request.model)
            self._refuse_unseen(request.model, candidates[0], partial(relays_images, request))
            if request.endpoint == "embeddings":
                candidates = _same_model(candidates)
            attempts = Attempts(candidates, self._policy)
            async for candidate in attempts:
                meter = Meter(
                    candidate,
                    self._policy.tell,
                    asked_for=request.model,
                    endpoint=request.endpoint,
                )
                relay = RoutedRelay(request, candidate, self._typed, meter)
                try:
                    await relay.open(self._policy.settings.first_event_s)
                except BackendFault as fault:
                    attempts.failed(candidate, fault, meter=meter)
                else:
                    attempts.succeeded(candidate)
                    return relay
        except BackendFault as fault:
            raise problem_of(fault, model=request.model) from fault
        raise AssertionError("attempts end with an answer or a fault")

    async def _ask_counts(
        self, served: Served | None, texts: Sequence[str]
    ) -> Sequence[int] | None:
        if served is None or not isinstance(served.backend, CountsTokens):
            return None
        circuit = self._policy.circuits.of(served.card.backend)
        if circuit.is_open:
            return None
        try:
            return await served.backend.count_tokens(served.card.id, texts)
        except BackendFault as fault:
            circuit.failed(fault)
            return None

    def _learn(
        self, served: Served, request: ChatRequest, batch: Sequence[ChatChunk], meter: Meter
    ) -> Sequence[ChatChunk]:
        """The batch; the usage that it tells is learned from, and says which model it is of."""
        if not any(chunk.usage for chunk in batch):
            return batch
        told = []
        for chunk in batch:
            if chunk.usage:
                usage = msgspec.structs.replace(chunk.usage, served_by=served.card.id)
                chunk = msgspec.structs.replace(chunk, usage=usage)
                meter.use(usage)
                self._ratios.learn(_key(served), request, usage)
            told.append(chunk)
        return told


def _same_model(candidates: Sequence[Served]) -> Sequence[Served]:
    """Those that may answer for the first: no two models' vectors can be compared."""
    return [one for one in candidates if one.card.id == candidates[0].card.id]


def _key(served: Served) -> str:
    return f"{served.card.backend}/{served.card.id}"


class _Passing:
    """One relay, opened when entered and closed when left."""

    def __init__(self, router: Router, request: RelayRequest) -> None:
        self._router = router
        self._request = request
        self._relay: RoutedRelay | None = None

    async def __aenter__(self) -> MeteredRelay:
        self._relay = await self._router.open(self._request)
        return self._relay

    async def __aexit__(self, *error: object) -> None:
        if self._relay is not None:
            await self._relay.close()


def _asked_within(
    meter: Meter, batches: AsyncIterator[Sequence[ChatChunk]]
) -> AsyncIterator[Sequence[ChatChunk]]:
    """An answer that is asked for as the part of a trace that it is."""
    return batches if meter.span is None else tracing.begun_within(meter.span, batches)
