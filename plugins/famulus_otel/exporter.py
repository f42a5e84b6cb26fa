"""Spans on their way to a collector: a bounded queue, and one batch at a time."""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import httpx

from famulus_otel.finished import Finished, Traced, finished
from famulus_otel.settings import OtelSettings

if TYPE_CHECKING:
    from famulus.log import Log

RETRYABLE = frozenset({429, 502, 503, 504})
"""Answers after which OTLP has the same sent again."""
RETRY_MAX_S = 30.0


class NotTaken(Exception):
    """A collector did not take a batch; says why, and whether it may take it later."""

    def __init__(self, reason: str, *, is_worth_a_retry: bool) -> None:
        super().__init__(reason)
        self.is_worth_a_retry = is_worth_a_retry


class Exporter:
    """Sends what is finished. Nobody waits for it; what does not fit is dropped, and counted."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: OtelSettings,
        pack: Callable[[Sequence[Finished]], bytes],
        *,
        log: Log,
    ) -> None:
        self._client = client
        self._settings = settings
        self._pack = pack
        self._log = log
        self._waiting: deque[Finished] = deque()
        self._is_full = asyncio.Event()
        self.exported = 0
        self.dropped = 0
        self.failure: str | None = None
        """Why the last batch was not taken; None where it was."""

    @property
    def waiting(self) -> int:
        """How many were not sent yet."""
        return len(self._waiting)

    def add(self, event: Traced) -> None:
        """Have the span of what is over sent soon, where it is traced."""
        span = finished(event)
        if span is None:
            return
        if len(self._waiting) >= self._settings.queue_max:
            self.dropped += 1
            return
        self._waiting.append(span)
        if len(self._waiting) >= self._settings.batch_max:
            self._is_full.set()

    async def work(self) -> None:
        """Send what waits, for ever."""
        while True:
            try:
                async with asyncio.timeout(self._settings.pause_s):
                    await self._is_full.wait()
            except TimeoutError:
                pass
            self._is_full.clear()
            while self._waiting:
                await self._send_batch()

    async def flush(self) -> None:
        """Send what waits, once."""
        while self._waiting:
            batch = self._taken()
            try:
                await self._send(batch)
            except NotTaken as error:
                self.dropped += len(batch) + len(self._waiting)
                self._waiting.clear()
                self._note(str(error))
            else:
                self.exported += len(batch)

    async def _send_batch(self) -> None:
        batch = self._taken()
        pause_s = self._settings.retry_s
        try:
            for attempt in range(self._settings.attempts_max):
                try:
                    await self._send(batch)
                except NotTaken as error:
                    self._note(str(error))
                    is_last = attempt + 1 == self._settings.attempts_max
                    if is_last or not error.is_worth_a_retry:
                        self.dropped += len(batch)
                        return
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_MAX_S)
                else:
                    self.exported += len(batch)
                    self._note(None)
                    return
        except asyncio.CancelledError:
            # The server stops, and sends what it can once more.
            self._waiting.extendleft(reversed(batch))
            raise

    def _taken(self) -> list[Finished]:
        count = min(self._settings.batch_max, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]

    async def _send(self, batch: Sequence[Finished]) -> None:
        # In a thread: some hundred spans take milliseconds to pack.
        body = await asyncio.to_thread(self._body, batch)
        headers = {"content-type": "application/x-protobuf"}
        if self._settings.compression == "gzip":
            headers["content-encoding"] = "gzip"
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                # The answer may say how many were refused, and is not read: nobody could mend it.
                async with self._client.stream(
                    "POST", self._settings.url, content=body, headers=headers
                ) as response:
                    status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise NotTaken(type(error).__name__, is_worth_a_retry=True) from error
        if not 200 <= status < 300:
            raise NotTaken(f"it answers {status}", is_worth_a_retry=status in RETRYABLE)

    def _body(self, batch: Sequence[Finished]) -> bytes:
        body = self._pack(batch)
        return gzip.compress(body, 1) if self._settings.compression == "gzip" else body

    def _note(self, failure: str | None) -> None:
        if failure is not None and self.failure is None:
            self._log.warning("spans_not_taken", reason=failure)
        elif failure is None and self.failure is not None:
            self._log.info("spans_taken_again", dropped=self.dropped)
        self.failure = failure
