"""Servers whose metrics are read, and what was read of them."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from famulus.testing import TestServer

COUNTED_S = 10.0

Key = tuple[str, frozenset[tuple[str, str]]]


class Samples:
    """One reading."""

    def __init__(self, text: str) -> None:
        self.families = {each.name: each for each in text_string_to_metric_families(text)}
        self._values: dict[Key, float] = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def get(self, name: str, **labels: str) -> float | None:
        """One sample's value; None where there is no such series."""
        return self._values.get((name, frozenset(labels.items())))

    def labels(self, name: str, label: str) -> set[str]:
        """Every value that a label of a sample has."""
        return {dict(key)[label] for sample, key in self._values if sample == name}


async def read(server: TestServer) -> Samples:
    """What is told now."""
    body, _ = await server.plugin("metrics").reading.text("")
    return Samples(body.decode())


async def counted(server: TestServer, value: float, name: str, **labels: str) -> Samples:
    """The first reading in which a sample has this value: notices are heard a little later."""
    async with asyncio.timeout(COUNTED_S):
        while True:
            samples = await read(server)
            if samples.get(name, **labels) == value:
                return samples
            await asyncio.sleep(0.002)


async def run_of(server: TestServer, **assistant: Any) -> Any:
    """A run of a new assistant on a new thread, at rest."""
    body = {"model": "scripted", **assistant}
    made = (await server.post("/v1/assistants", body)).json()
    request = {
        "assistant_id": made["id"],
        "thread": {"messages": [{"role": "user", "content": "?"}]},
    }
    run = (await server.post("/v1/threads/runs", request)).json()
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    async with asyncio.timeout(COUNTED_S):
        while run["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0.005)
            run = (await server.get(path)).json()
    return run
