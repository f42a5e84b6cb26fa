"""A routing world: everything that requests need, made once and swapped as one reference."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from famulus.dispatch import Dispatcher, Endpoint
from famulus.hooks import Hooks
from famulus.lifecycle import Lifecycle, describe
from famulus.operations import Operation
from famulus.router import DuplicateRoute, Router
from famulus.sse import OpenStreams

if TYPE_CHECKING:
    from famulus.clock import MakeId
    from famulus.front import Front
    from famulus.log import Log
    from famulus.middleware import Layer
    from famulus.notices import Notices
    from famulus.server_settings import ServerSettings


class World:
    """One generation of routes and hooks, and the guests that it still serves."""

    def __init__(
        self, app: ASGIApp, hooks: Hooks, operations: list[Operation], streams: OpenStreams
    ) -> None:
        self._app = app
        self._streams = streams
        self.hooks = hooks
        self.operations = operations
        self._guests = 0
        self._waits_for_empty: set[asyncio.Event] = set()

    @property
    def guests(self) -> int:
        """Requests and streams that began in this world and are not over."""
        return self._guests

    @property
    def streams(self) -> int:
        """Streams of events among them."""
        return len(self._streams)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; it ends in the world in which it began."""
        self._guests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._guests -= 1
            if self._waits_for_empty and not self._guests:
                for each in self._waits_for_empty:
                    each.set()

    def end_streams(self) -> None:
        """End the streams that are still open, each after a whole event."""
        self._streams.end()

    async def drained(self, limit_s: float) -> bool:
        """Wait until all guests have left, but no longer than that; whether they have."""
        is_empty = asyncio.Event()
        self._waits_for_empty.add(is_empty)
        try:
            async with asyncio.timeout(limit_s):
                while self._guests:
                    await is_empty.wait()
                    is_empty.clear()
        except TimeoutError:
            return False
        finally:
            self._waits_for_empty.discard(is_empty)
        return True


def build_world(
    lifecycle: Lifecycle,
    *,
    own: list[Operation],
    settings: ServerSettings,
    front: Front,
    make_id: MakeId,
    log: Log,
    notices: Notices,
) -> World:
    """A world of the plugins as they now are. `own` are the kernel's operations."""
    router: Router[Endpoint] = Router()
    served: list[Operation] = []
    for operation in own:
        router.add(operation.method, operation.path, Endpoint(operation, None, settings))
        served.append(operation)
    # Of one that does not run too: its operations answer 503 and name it.
    for name, operation in lifecycle.answers("register_operations", lambda _: True):
        slot = lifecycle.slots[name]
        try:
            router.add(operation.method, operation.path, Endpoint(operation, slot, settings))
        except DuplicateRoute as error:
            lifecycle.fail(name, f"{error} is served by {_holder(router, operation)} already")
        else:
            served.append(operation)
    layers = lifecycle.answers("register_middleware", lifecycle.is_running)
    hooks = Hooks(lifecycle.relay, lifecycle.is_running)
    streams = OpenStreams()
    app: ASGIApp = Dispatcher(
        router=router,
        hooks=hooks,
        settings=settings,
        make_id=make_id,
        log=log,
        notices=notices,
        streams=streams,
        front=front,
        writes_heads=not layers and not settings.cors_origins,
    )
    for name, layer in reversed(_outermost_first(layers)):
        try:
            app = layer.factory(app)
        except Exception as error:  # Isolation: as with the hook that listed it.
            lifecycle.fail(name, f"its layer {layer.name}: {describe(error)}")
    return World(app, hooks, served, streams)


def _holder(router: Router[Endpoint], operation: Operation) -> str:
    found = router.find(operation.path)
    slot = found[0][operation.method].slot if found else None
    return f"plugin {slot.name}" if slot else "the server itself"


def _outermost_first(layers: list[tuple[str, Layer]]) -> list[tuple[str, Layer]]:
    return sorted(layers, key=lambda each: (each[1].order, each[1].name))
