"""One reader of a run's stream, over however many connections, and what it adds up to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from famulus.testing.kit import EventReader

AT_REST = frozenset(
    f"thread.run.{status}"
    for status in ("requires_action", "completed", "incomplete", "failed", "cancelled", "expired")
)


class Event(msgspec.Struct, frozen=True):
    """One event as it came."""

    name: str
    data: Any
    id: str


class Listener:
    """Reads in the background, whenever the loop runs."""

    def __init__(self, before: Sequence[Event] = ()) -> None:
        self.events = list(before)
        """All that was heard, over all connections."""
        self.status = 0
        self.error: Any = None
        self.location = ""
        self._task: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    @property
    def last_id(self) -> str | None:
        """Where to go on."""
        ids = [event.id for event in self.events if event.id]
        return ids[-1] if ids else None

    @property
    def is_done(self) -> bool:
        """Whether it was told that the run is at rest."""
        return bool(self.events) and self.events[-1].name == "done"

    async def begin(
        self, client: httpx.AsyncClient, method: str, path: str, body: Any, headers: Any
    ) -> None:
        """Send the request, and wait for the head of its answer."""
        self._answered.clear()
        self._task = asyncio.create_task(self._read(client, method, path, body, headers))
        answered = asyncio.ensure_future(self._answered.wait())
        both: set[asyncio.Future[Any]] = {answered, self._task}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()

    async def _read(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
    ) -> None:
        given: dict[str, Any] = {"headers": headers}
        if body is not None:
            given["json"] = body
        async with client.stream(method, path, **given) as response:
            self.status = response.status_code
            self.location = response.headers.get("location", "")
            if not response.headers["content-type"].startswith("text/event-stream"):
                text = await response.aread()
                self.error = msgspec.json.decode(text) if text else None
                return
            self._answered.set()
            async for event in EventReader(response):
                data = None if event.name == "done" else event.json()
                self.events.append(Event(event.name or "", data, event.id or ""))

    async def heard(self, name: str) -> Event:
        """The first event of this name."""
        while True:
            for event in self.events:
                if event.name == name:
                    return event
            assert self._task is not None
            assert not self._task.done(), [event.name for event in self.events]
            await asyncio.sleep(0.001)

    async def leave(self) -> None:
        """Go away in the midst of it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def end(self, *, within_s: float) -> None:
        """Read on to the end; what went wrong is raised here."""
        if self._task is None:
            return
        done, _ = await asyncio.wait([self._task], timeout=within_s)
        assert done, f"the stream does not end: {self.story()}"
        await self._task
        self._task = None

    def story(self) -> str:
        """What was heard, for whoever looks for a mistake."""
        return "\n".join(f"{event.id} {event.name}" for event in self.events)


def added_up(events: Sequence[Event]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """What a client has after these events: texts and calls by item, and what it was told."""
    items: dict[str, str] = {}
    told = []
    for event in events:
        match event.name:
            case "done":
                continue
            case "thread.message.delta":
                for block in event.data["delta"]["content"]:
                    text = block["text"]["value"] if "text" in block else block["refusal"]
                    items[event.data["id"]] += text
            case "thread.run.step.delta":
                for call in event.data["delta"]["step_details"]["tool_calls"]:
                    items[event.data["id"]] += _added(call)
            case _:
                if event.name in ("thread.message.created", "thread.run.step.created"):
                    items[event.data["id"]] = ""
                told.append((event.id, event.name))
    return items, told


def _added(call: dict[str, Any]) -> str:
    function = call.get("function") or {}
    return f"{call.get('id') or ''}{function.get('name') or ''}{function.get('arguments') or ''}"


NEXT: Mapping[str, frozenset[str]] = {
    "": frozenset({"created"}),
    "created": frozenset({"queued"}),
    "queued": frozenset({"in_progress", "cancelling", "expired"}),
    "in_progress": frozenset(
        {"requires_action", "cancelling", "completed", "incomplete", "failed", "expired"}
    ),
    "requires_action": frozenset({"queued", "cancelling", "expired"}),
    "cancelling": frozenset({"cancelled"}),
}
"""Which events of a run may follow which."""


def hold_order(events: Sequence[Event]) -> str:
    """Hold the events of a run's stream to an order that is possible; its last status."""
    state = ""
    for event in events:
        if event.name.startswith("thread.run.") and not event.name.startswith("thread.run.step."):
            status = event.name.rpartition(".")[2]
            assert status in NEXT.get(state, ()), (state, status)
            assert event.data["status"] == ("queued" if status == "created" else status)
            state = status
    return state
