"""Connections that are not encrypted yet: counted like all others, and held to a time."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from famulus.connections import GuardedProtocol
from famulus.log import Log
from famulus.tls import Tls

ACCEPTED_AT_ONCE = 64
"""Connections that are accepted before the event loop does anything else."""

RETRY_S = 1.0
"""Pause where the system has no more files or memory, in which others may end."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class EncryptedListener:
    """Accepts connections of one socket, and has each encrypted before its protocol hears of it.

    A server of the event loop tells nobody of a connection before it is encrypted, and so lets
    anybody have any number of them. Here one too many is closed as it comes: it cannot be told
    why, since that costs as much as letting it in.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], GuardedProtocol],
        *,
        tls: Tls,
        limit_s: float,
        log: Log,
    ) -> None:
        self.sockets = (listener,)
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._limit_s = limit_s
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._accept()

    def close(self) -> None:
        """Accept nobody any more, and end handshakes; who is encrypted stays connected."""
        self._loop.remove_reader(self._listener)
        if self._retry is not None:
            self._retry.cancel()
        for each in self._under_way:
            each.cancel()

    async def wait_closed(self) -> None:
        """Wait until all handshakes have ended."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _accept(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listener, self._accept_some)

    def _accept_some(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, (client, *_) = self._listener.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                # Anything else is about one that is gone again, or says that there are no more.
                return
            self._begin(accepted, client)

    def _pause(self, error: OSError) -> None:
        self._log.warning("connections_not_accepted", reason=error.strerror, retry_s=RETRY_S)
        self._loop.remove_reader(self._listener)
        self._retry = self._loop.call_later(RETRY_S, self._accept)

    def _begin(self, accepted: socket.socket, client: str) -> None:
        protocol = self._protocol()
        place = protocol.take_place(client)
        if place.over is not None:
            place.leave()
            accepted.close()
            self._log.info("connection_refused", reason=place.over.body.message, client=client)
            return
        accepted.setblocking(False)
        task = self._loop.create_task(self._encrypted(accepted, protocol))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _encrypted(self, accepted: socket.socket, protocol: GuardedProtocol) -> None:
        is_encrypted = False
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._limit_s,
                ssl_shutdown_timeout=self._limit_s,
            )
            is_encrypted = True
        except OSError:
            # It spoke no TLS, was too slow, or went: what every scanner of ports does.
            pass
        finally:
            if not is_encrypted:
                protocol.leave_place()
