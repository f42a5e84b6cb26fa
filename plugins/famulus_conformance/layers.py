"""The layers that a server is looked at in, each optional: what it needs may not be installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Collection, Iterable

import msgspec

from famulus_conformance.findings import Aspect, Finding
from famulus_conformance.oracle import Oracle
from famulus_conformance.probing import Told, probe
from famulus_conformance.target import Target, client_of, first_model


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is, and how it is asked."""

    base_url: str
    api_key: str
    model: str
    profile: str = "quick"


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One way to look at a server."""

    name: str
    aspects: tuple[Aspect, ...]
    run: Callable[[Oracle, Place, Collection[str], Told], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    """Modules without which it does not run."""

    def runs(self) -> bool:
        """Whether all that it needs is there."""
        return all(importlib.util.find_spec(name) is not None for name in self.needs)


def _probes(oracle: Oracle, place: Place, only: Collection[str], tell: Told) -> Iterable[Finding]:
    import anyio

    async def ask() -> list[Finding]:
        async with client_of(place.base_url) as client:
            target = Target(client, api_key=place.api_key, model=place.model)
            return await probe(oracle, target, only=only, tell=tell)

    return anyio.run(ask)


def _streams(oracle: Oracle, place: Place, only: Collection[str], tell: Told) -> Iterable[Finding]:
    streams = importlib.import_module("famulus_conformance.streams").streams
    found: Iterable[Finding] = streams(oracle, place.base_url, place.api_key, place.model)
    return found


def _clients(oracle: Oracle, place: Place, only: Collection[str], tell: Told) -> Iterable[Finding]:
    clients = importlib.import_module("famulus_conformance.clients").clients
    found: Iterable[Finding] = clients(place.base_url, place.api_key, place.model)
    return found


def _fuzz(oracle: Oracle, place: Place, only: Collection[str], tell: Told) -> Iterable[Finding]:
    profiles = importlib.import_module("famulus_conformance.fuzz_profiles")
    profile = profiles.FULL if place.profile == "full" else profiles.QUICK
    fuzz = importlib.import_module("famulus_conformance.fuzz").fuzz
    found: Iterable[Finding] = fuzz(oracle, place.base_url, place.api_key, profile=profile)
    return found


LAYERS = (
    Layer(name="probes", aspects=("implemented", "properties", "limits", "errors"), run=_probes),
    Layer(
        name="streams", aspects=("streams",), run=_streams, needs=("famulus_conformance.streams",)
    ),
    Layer(
        name="clients",
        aspects=("clients",),
        run=_clients,
        needs=("famulus_conformance.clients", "openai"),
    ),
    Layer(
        name="fuzz",
        aspects=("fuzz",),
        run=_fuzz,
        needs=("famulus_conformance.fuzz", "schemathesis"),
    ),
)
NAMES = tuple(layer.name for layer in LAYERS)


def look(
    oracle: Oracle,
    place: Place,
    *,
    only: Collection[str] = (),
    layers: Collection[str] = (),
    tell: Told = lambda text: None,
) -> tuple[list[Finding], list[Aspect]]:
    """All that the layers find, and the respects that were looked at.

    `only` names groups of operations, and `layers` layers; all where it is empty.
    """
    groups = {each.id: each.group for each in oracle.operations()}
    findings: list[Finding] = []
    ran: list[Aspect] = []
    for layer in LAYERS:
        if layer.runs() and (not layers or layer.name in layers):
            tell(f"looking at {', '.join(layer.aspects)}")
            found = layer.run(oracle, place, only, tell)
            findings += (one for one in found if not only or groups.get(one.operation) in only)
            ran += layer.aspects
    return findings, ran


def listed_model(base_url: str, api_key: str) -> str:
    """The first model that a server lists. Raises LookupError or httpx.HTTPError."""
    import anyio

    async def ask() -> str:
        async with client_of(base_url) as client:
            return await first_model(client, api_key)

    return anyio.run(ask)
