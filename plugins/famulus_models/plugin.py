"""The plugin: INFERENCE, and the list of models for clients."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from msgspec import UNSET

from famulus import Call, Operation, Plugin, Problem, hookimpl, operation, operations
from famulus_models.attempts import Policy
from famulus_models.catalog import Catalog
from famulus_models.circuit import Circuits
from famulus_models.counting import Memory, Ratios
from famulus_models.names import Names
from famulus_models.router import Router
from famulus_models.settings import ModelsSettings
from famulus_models.typed import TypedRelays
from famulus_schemas.errors import Fault
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.inference import Backend, ModelCard
from famulus_schemas.models import Model, ModelDeleted, ModelList
from famulus_schemas.ports import INFERENCE

NOT_DELETABLE = Fault(
    403,
    "model_not_deletable",
    "The model '{model}' cannot be deleted here: it belongs to the model server '{backend}'. "
    "Only fine-tuned models are deleted through this API.",
)


class Models(Plugin[ModelsSettings]):
    """One router over all model servers."""

    name: ClassVar[str] = "models"
    provides = (INFERENCE,)
    gathers = ("register_backends",)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Gather the backends and begin to ask what they serve."""
        settings, clock = self.settings, self.host.clock
        backends: Sequence[Backend] = self.gather("register_backends")
        _refuse_same_names(backends)
        self._circuits = Circuits(settings.circuit_failures_max, settings.circuit_cooldown_s, clock)
        self._catalog = Catalog(
            backends,
            clock=clock,
            log=self.log,
            last_resort=settings.last_resort,
            ttl_s=settings.models_ttl_s,
            timeout_s=settings.models_timeout_s,
            refresh_min_s=settings.refresh_min_s,
        )
        ratios = Ratios()
        self._router = Router(
            self._catalog,
            Names(settings),
            Policy(settings, self._circuits, chance=random.random, tell=self.tell, log=self.log),
            typed=TypedRelays(clock=clock, make_id=self.host.make_id, estimate=ratios.estimate),
            ratios=ratios,
            memory=Memory(settings.counts_kept_max),
            log=self.log,
        )
        self.provide(INFERENCE, self._router)
        # Nobody waits for it here: a server that is down must not hold up the start.
        self._catalog.begin()
        try:
            yield
        finally:
            await self._catalog.close()

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """The models, for clients."""
        return operations(self)

    @hookimpl
    def register_gauges(self) -> list[Gauge]:
        """How each model server is."""
        return [
            Gauge(
                name="famulus_backend_up",
                help="1 where the model server said what it serves when it was last asked, else 0.",
                labels=("backend",),
                read=lambda: self._catalog.answering(),
            ),
            Gauge(
                name="famulus_backend_circuit_open",
                help="1 while the model server is left alone since it failed time after time.",
                labels=("backend",),
                read=lambda: self._circuits.states(),
            ),
        ]

    @hookimpl
    async def check_health(self) -> Health:
        """Whether there is a server to ask, and which are silent or left alone."""
        # Never `down`, and never waiting: what needs no model is served all the same.
        listing = self._catalog.known()
        if listing is None:
            return Health(status="degraded", detail="the model servers are being asked")
        troubles = {name: fault.message for name, fault in listing.silent.items()}
        troubles |= self._circuits.open()
        if not listing.models and not troubles:
            troubles = {"models": "none is served; name a model server with --backend URL"}
        detail = "; ".join(f"{name}: {reason}" for name, reason in troubles.items())
        return Health(status="degraded" if troubles else "ok", detail=detail)

    @operation("GET", "/v1/models", action="models.read", tags=("Models",))
    async def list_models(self, call: Call) -> ModelList:
        """List the models and aliases that can be asked for."""
        return ModelList(data=[_model(card) for card in await self._router.models()])

    @operation("GET", "/v1/models/{model:path}", action="models.read", tags=("Models",))
    async def retrieve_model(self, call: Call, model: str) -> Model:
        """Describe one model."""
        return _model(await self._router.find(model))

    @operation("DELETE", "/v1/models/{model:path}", action="models.delete", tags=("Models",))
    async def delete_model(self, call: Call, model: str) -> ModelDeleted:
        """Refuse to delete a model, and say why."""
        card = await self._router.find(model)
        raise Problem(NOT_DELETABLE, param="model", model=model, backend=card.backend)


def _model(card: ModelCard) -> Model:
    return Model(id=card.id, created=card.created, owned_by=card.owned_by, note=card.note or UNSET)


def _refuse_same_names(backends: Sequence[Backend]) -> None:
    names = [backend.name for backend in backends]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two backends are called {min(twice)!r}; give each server a name")
