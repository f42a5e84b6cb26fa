"""A relayed stream on its way to the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import msgspec

from famulus import encode_event
from famulus_chat.spent import Spending
from famulus_schemas.errors import ErrorEnvelope, Fault, Problem
from famulus_schemas.inference import BackendFault, MeteredRelay

if TYPE_CHECKING:
    from famulus.log import Log

BROKE_OFF = Fault(
    503,
    "backend_unavailable",
    "The model server '{backend}' broke off: {reason}",
    "server_error",
)


class Passage:
    """The stream's bytes, and at the end the server's connection let go.

    A class and not a generator: one that was never begun would not let go of anything. A server
    that breaks off becomes an error event, without `[DONE]`: the answer is not whole.
    """

    def __init__(
        self,
        relay: MeteredRelay,
        opened: AbstractAsyncContextManager[MeteredRelay],
        spending: Spending,
        *,
        log: Log,
    ) -> None:
        self._relay = relay
        self._spending = spending
        self._items = relay.chunks()
        self._opened = opened
        self._log = log
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """What came with one read from the model server."""
        if self._is_over:
            raise StopAsyncIteration
        try:
            frames = await anext(self._items)
        except BackendFault as fault:
            self._is_over = True
            self._log.warning("stream_broken", backend=fault.backend, reason=fault.message)
            problem = Problem(BROKE_OFF, backend=fault.backend, reason=fault.message)
            return encode_event(msgspec.json.encode(ErrorEnvelope(error=problem.body)))
        self._spending.see(frames)
        return frames

    async def aclose(self) -> None:
        """Let go; an answer that is not at its end is aborted on the model server."""
        self._spending.end(self._relay)
        close = getattr(self._items, "aclose", None)
        if close is not None:
            await close()
        await self._opened.__aexit__(None, None, None)
