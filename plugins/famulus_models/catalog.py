"""What all servers serve, as last heard from each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from famulus_schemas.gauges import Values
from famulus_schemas.inference import Backend, BackendFault, ModelCard, RelaysRequests

if TYPE_CHECKING:
    from famulus.log import Log


class Served(msgspec.Struct, frozen=True):
    """A model on the server that serves it; `card.id` is that server's own name for it."""

    card: ModelCard
    backend: Backend
    relays: RelaysRequests | None = None
    """The backend, where it takes a client's request as it is."""


class Listing:
    """One state of the catalog; it never changes."""

    def __init__(
        self,
        served: Sequence[Served],
        silent: Mapping[str, BackendFault],
        last_resort: Sequence[Served],
        *,
        is_alone: bool,
    ) -> None:
        self.silent = silent
        """Servers that could not be asked, by name."""
        self.last_resort = last_resort
        self.models: dict[str, Served] = {}
        """By the name to ask for: the first server named has a name, the others qualify theirs."""
        self.qualified: dict[str, Served] = {}
        """By `backend/model`, whether that is needed or not."""
        for one in served:
            qualified = f"{one.card.backend}/{one.card.id}"
            self.qualified[qualified] = one
            self.models[qualified if one.card.id in self.models else one.card.id] = one
        if is_alone:
            self.models = {one.card.id: one for one in last_resort} | self.models

    def named(self, model: str) -> Served | None:
        """The model of exactly this name."""
        found = self.models.get(model) or self.qualified.get(model)
        if found is not None:
            return found
        for one in self.last_resort:
            if model in (one.card.id, f"{one.card.backend}/{one.card.id}"):
                return one
        return None


class Catalog:
    """Asks every server for its models, all at once, and remembers what they said."""

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        clock: Callable[[], float],
        log: Log,
        last_resort: str,
        ttl_s: float,
        timeout_s: float,
        refresh_min_s: float,
    ) -> None:
        self._backends = backends
        self._clock = clock
        self._log = log
        self._last_resort = last_resort
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._refresh_min_s = refresh_min_s
        self._cards: dict[str, Sequence[ModelCard]] = {}
        self._silent: dict[str, BackendFault] = {}
        self._listing: Listing | None = None
        self._noted: set[str] = set()
        """Models of the last resort whose notes were logged."""
        self._asked_at = 0.0
        self._asking: asyncio.Task[Listing] | None = None

    async def current(self) -> Listing:
        """What is known. Only the first caller waits; an old list is renewed behind its back."""
        return self.known() or await self._ask()

    def known(self) -> Listing | None:
        """What is known now, without waiting; None until the servers were asked once."""
        if self._listing is not None and not 0 <= self._clock() - self._asked_at < self._ttl_s:
            self._begin()
        return self._listing

    def answering(self) -> Values:
        """1 for each server that answered when it was last asked, 0 for each that did not."""
        if self._listing is None:
            return {}
        silent = self._listing.silent
        return {(each.name,): float(each.name not in silent) for each in self._backends}

    async def renewed(self) -> Listing:
        """What the servers say now, or said less than `refresh_min_s` ago."""
        age = self._clock() - self._asked_at
        if self._listing is not None and 0 <= age < self._refresh_min_s:
            return self._listing
        return await self._ask()

    async def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def begin(self) -> None:
        """Ask without waiting."""
        self._begin()

    async def _ask(self) -> Listing:
        # Shielded: the caller may leave, and others wait for the same answer.
        return await asyncio.shield(self._begin())

    def _begin(self) -> asyncio.Task[Listing]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all(), name="models")
        return self._asking

    async def _ask_all(self) -> Listing:
        answers = await asyncio.gather(
            *(self._ask_one(backend) for backend in self._backends), return_exceptions=True
        )
        for backend, answer in zip(self._backends, answers, strict=True):
            if isinstance(answer, BaseException):
                self._note_silence(backend.name, answer)
            else:
                self._note_answer(backend.name, answer)
        self._asked_at = self._clock()
        self._listing = self._listed()
        self._log_notes(self._listing)
        return self._listing

    async def _ask_one(self, backend: Backend) -> Sequence[ModelCard]:
        async with asyncio.timeout(self._timeout_s):
            return await backend.models()

    def _note_silence(self, name: str, error: BaseException) -> None:
        if isinstance(error, BackendFault):
            fault = error
        elif isinstance(error, TimeoutError):
            fault = BackendFault(
                "timeout", f"it did not list its models within {self._timeout_s:g} s", backend=name
            )
        else:
            fault = BackendFault("broken", f"{type(error).__name__}: {error}", backend=name)
        if name not in self._silent or self._silent[name].message != fault.message:
            self._log.warning("model_server_silent", backend=name, reason=fault.message)
        self._silent[name] = fault

    def _note_answer(self, name: str, cards: Sequence[ModelCard]) -> None:
        if self._silent.pop(name, None) is not None or name not in self._cards:
            ids = [card.id for card in cards[:10]]
            self._log.info("model_server_answers", backend=name, models=ids, count=len(cards))
        first = {card.id: card.created for card in self._cards.get(name, ())}
        # vLLM says of each model that it was made just now.
        self._cards[name] = [
            msgspec.structs.replace(card, created=first.get(card.id, card.created))
            for card in cards
        ]

    def _log_notes(self, listing: Listing) -> None:
        """Say once what answers where nothing else does."""
        for one in listing.last_resort:
            card = one.card
            if card.note and card.id in listing.models and card.id not in self._noted:
                self._noted.add(card.id)
                self._log.warning("last_resort_listed", model=card.id, note=card.note)

    def _listed(self) -> Listing:
        # A server that is silent now is still the one to ask for what it served before.
        served = [
            (backend.name, Served(card, backend, _relaying(backend)))
            for backend in self._backends
            for card in self._cards.get(backend.name, ())
        ]
        return Listing(
            [one for name, one in served if name != self._last_resort],
            {name: fault for name, fault in self._silent.items() if name != self._last_resort},
            [one for name, one in served if name == self._last_resort],
            is_alone=all(self._leaves_chats(backend.name) for backend in self._backends),
        )

    def _leaves_chats(self, name: str) -> bool:
        """Whether the last resort is still wanted beside this backend."""
        cards = self._cards.get(name)
        only_embeds = bool(cards) and not any(card.chats for card in cards or ())
        return name == self._last_resort or only_embeds


def _relaying(backend: Backend) -> RelaysRequests | None:
    # Asked here and not at each request: such a question costs as much as sending one.
    return backend if isinstance(backend, RelaysRequests) else None
