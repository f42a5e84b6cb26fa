"""The one session through which a process hears the others and speaks to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from famulus.log import Log
from famulus_postgres import statements
from famulus_postgres.envelopes import Message, Packer, Unreadable, channel_of, unpack
from famulus_postgres.failures import UNREACHABLE, described
from famulus_postgres.outbox import Outbox
from famulus_postgres.sessions import Sessions
from famulus_postgres.settings import PostgresSettings


class Line:
    """Keeps a session with the server that listens, and sends what the outbox holds."""

    def __init__(
        self,
        sessions: Sessions,
        settings: PostgresSettings,
        log: Log,
        *,
        outbox: Outbox,
        packer: Packer,
        on_open: Callable[[], None],
        on_heard: Callable[[list[Message]], None],
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._log = log
        self._outbox = outbox
        self._packer = packer
        self._on_open = on_open
        self._on_heard = on_heard
        self._channel = channel_of(settings.schema)
        self._closing = asyncio.Event()
        self.down = "not connected yet"
        """Why the other processes are not heard; empty while they are."""
        self.tried = asyncio.Event()
        """Set once the first session is open, or could not be opened."""

    async def run(self) -> None:
        """Keep a session, and open another when it is lost, until `stop`."""
        pause = self._settings.retry_first_s
        while not self._closing.is_set():
            try:
                await self._serve()
            except Exception as error:  # Whatever it was, the others must be heard again.
                if not self.down:
                    pause = self._settings.retry_first_s
                self._fall(error)
            try:
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            except TimeoutError:
                pause = min(2 * pause, self._settings.retry_max_s)

    def stop(self) -> None:
        """Let `run` return once it has sent what waits."""
        self._closing.set()
        self._outbox.wake()

    def _fall(self, error: Exception) -> None:
        reason = described(error)
        if not isinstance(error, UNREACHABLE):
            self._log.error("postgres_line_failed", exc_info=error)
        elif not self.down:
            self._log.warning("postgres_line_lost", reason=reason)
        self.down = reason
        self.tried.set()

    async def _serve(self) -> None:
        connection = await self._sessions.open()
        try:
            connection.add_termination_listener(lambda _: self._outbox.wake())
            await connection.add_listener(self._channel, self._hear)
            if self.tried.is_set():
                self._log.info("postgres_line_back")
            self.down = ""
            self.tried.set()
            self._outbox.open_line()
            self._on_open()
            await self._send_all(connection)
        finally:
            self._outbox.shut_line()
            connection.terminate()

    async def _send_all(self, connection: Any) -> None:
        """Send what comes, and beat where nothing does; returns when stopped."""
        while True:
            try:
                async with asyncio.timeout(self._settings.line_beat_s):
                    await self._outbox.wait()
            except TimeoutError:
                # A line that is cut in the middle of nowhere is found out only by using it.
                await connection.execute("select", timeout=self._settings.statement_s)
            if connection.is_closed():
                raise ConnectionError("the server ended the session")
            await self._send(connection)
            if self._closing.is_set():
                return
            # What is published meanwhile goes together.
            await asyncio.sleep(self._settings.notify_pause_s)

    async def _send(self, connection: Any) -> None:
        messages = self._outbox.take()
        if not messages:
            return
        try:
            await connection.fetch(
                statements.NOTIFY,
                self._channel,
                list(self._packer.pack(messages)),
                timeout=self._settings.statement_s,
            )
        except BaseException:
            self._outbox.shut_line(messages)
            raise

    def _hear(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        if payload.startswith(f"{self._packer.sender}:"):
            return
        try:
            _, messages = unpack(payload)
        except Unreadable as error:
            self._log.warning("postgres_event_unreadable", reason=str(error))
            return
        self._on_heard(messages)
