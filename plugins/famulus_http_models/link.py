"""The shared HTTP client: requests out, pieces of answers in, every wait bounded.

The one module that imports aiohttp, and itself imported only once a server is to be reached:
the import costs as much CPU as the rest of a start.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
import yarl

from famulus_http_models.question import Question
from famulus_http_models.settings import Limits
from famulus_schemas.inference import BackendFault

SETTLE_S = 0.25
"""How long the end of an answer that is complete is waited for, to use its connection again."""


class Link:
    """The connections of one plugin to all its servers."""

    def __init__(self, session: aiohttp.ClientSession, limits: Limits) -> None:
        self._session = session
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self.limits = limits

    async def ask(self, question: Question, bytes_max: int) -> Answer:
        """Send, and read the whole answer. Raises BackendFault where none comes in time."""
        try:
            async with asyncio.timeout(question.first_byte_s):
                response = await self._send(question)
                try:
                    body = await self._read_all(response, question, bytes_max)
                finally:
                    response.close()
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error, question) from error
        return Answer(response.status, response.headers, body)

    async def begin(self, question: Question) -> Exchange:
        """Send, and wait for the answer's status. Raises BackendFault where there is none."""
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            async with asyncio.timeout(question.first_byte_s):
                response = await self._send(question)
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error, question) from error
        return Exchange(response, question, self.limits.read_bytes_max, waited_s=clock() - since)

    async def _send(self, question: Question) -> aiohttp.ClientResponse:
        return await self._session.request(
            "GET" if question.body is None else "POST",
            yarl.URL(question.url, encoded=True),
            data=question.body,
            headers=question.headers,
            # A key must not follow a redirect to wherever it leads.
            allow_redirects=False,
            timeout=self._timeout(question.timeouts.connect_timeout_s),
        )

    async def _read_all(
        self, response: aiohttp.ClientResponse, question: Question, bytes_max: int
    ) -> bytes:
        read = response.content.read
        body = await read(self.limits.read_bytes_max)
        if not body:
            return body
        pieces = [body]
        size = len(body)
        while piece := await read(self.limits.read_bytes_max):
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max:
                raise _too_long(bytes_max, question)
        if size > bytes_max:
            raise _too_long(bytes_max, question)
        return body if len(pieces) == 1 else b"".join(pieces)

    def _timeout(self, connect_s: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(connect_s)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
            self._timeouts[connect_s] = timeout
        return timeout


@asynccontextmanager
async def open_link(limits: Limits) -> AsyncIterator[Link]:
    """Connections that are closed at the end, whatever is still being read from them."""
    connector = aiohttp.TCPConnector(
        limit=limits.connections_max, limit_per_host=0, keepalive_timeout=limits.keepalive_s
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=limits.read_bytes_max,
    ) as session:
        yield Link(session, limits)


class Answer(msgspec.Struct, frozen=True):
    """An answer that is there."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """An answer that has begun: its status, its headers and, read by read, its body."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        question: Question,
        read_bytes_max: int,
        *,
        waited_s: float,
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._content = response.content
        self._question = question
        self._read_bytes_max = read_bytes_max
        self._watch = _Watch(response, question, waited_s)

    async def read(self) -> bytes:
        """What has come, at least a byte; nothing at the end. Raises BackendFault.

        Whatever comes is taken for a sign of life.
        """
        piece = await self.read_unjudged()
        self._watch.advanced()
        return piece

    def advanced(self) -> None:
        """What was read brought the answer on: the next wait for more of it begins here."""
        self._watch.advanced()

    async def read_unjudged(self) -> bytes:
        """As `read`, but only `advanced` says that what came is a sign of life."""
        self._watch.begin_wait()
        try:
            piece = await self._content.read(self._read_bytes_max)
        except (aiohttp.ClientError, OSError) as error:
            raise self._fault(error) from error
        self._watch.end_wait()
        if len(piece) == self._read_bytes_max:
            # A backlog is read without ever waiting, so others get their turn here.
            await asyncio.sleep(0)
        return piece

    async def rest(self, bytes_max: int) -> bytes:
        """What is left of the body, or as much of it as is needed. Raises BackendFault."""
        body = b""
        while len(body) < bytes_max and (piece := await self.read()):
            body += piece
        return body

    async def settle(self) -> None:
        """Read what little follows a complete answer, so that the connection can be kept."""
        with suppress(TimeoutError, BackendFault):
            async with asyncio.timeout(SETTLE_S):
                while await self.read():
                    pass

    def close(self) -> None:
        """Leave. An answer that is not at its end is aborted: the connection closes now."""
        self._watch.stop()
        self._response.close()

    def _fault(self, error: Exception) -> BackendFault:
        if self._watch.expired:
            return BackendFault("timeout", self._watch.expired, backend=self._question.backend)
        return _fault(error, self._question)


class _Watch:
    """Closes an exchange that does not get on, or goes on, for too long.

    One timer an exchange, moved on only when it fires: setting one at each read would cost as
    much as the read.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, question: Question, waited_s: float
    ) -> None:
        self._response = response
        self._timeouts = question.timeouts
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._ends_at = now + question.timeouts.call_timeout_s - waited_s
        self._quiet_max_s = question.first_byte_s
        self._has_begun = False
        self._waited_s = waited_s
        """How long the server was waited for since it last brought its answer on."""
        self._waiting_since: float | None = None
        self.expired = ""
        self._timer = self._loop.call_at(self._next_look(now, self._ends_at), self._look)

    def begin_wait(self) -> None:
        """The time from here on is the server's: a slow reader of ours is not its silence."""
        self._waiting_since = self._loop.time() - self._waited_s

    def end_wait(self) -> None:
        """Something came."""
        if self._waiting_since is not None:
            self._waited_s = self._loop.time() - self._waiting_since
        self._waiting_since = None

    def advanced(self) -> None:
        """It was a part of the answer."""
        self._has_begun = True
        self._waited_s = 0.0
        self._quiet_max_s = self._timeouts.idle_timeout_s

    def stop(self) -> None:
        """The exchange is over."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        since = now - self._waited_s if self._waiting_since is None else self._waiting_since
        due = min(since + self._quiet_max_s, self._ends_at)
        if now < due:
            self._timer = self._loop.call_at(self._next_look(now, due), self._look)
            return
        self.expired = (
            f"its answer took longer than {self._timeouts.call_timeout_s:g} s (call_timeout_s)"
            if now >= self._ends_at
            else self._too_quiet()
        )
        self._response.close()

    def _too_quiet(self) -> str:
        seconds = f"{self._quiet_max_s:g} s"
        if self._has_begun:
            return f"it sent nothing more of its answer for {seconds} (idle_timeout_s)"
        return f"it sent nothing of its answer within {seconds} (first_byte_timeout_s)"

    def _next_look(self, now: float, due: float) -> float:
        # The first byte may come meanwhile, and then the shorter limit holds.
        return min(due, now + self._quiet_max_s, now + self._timeouts.idle_timeout_s)


def _too_long(bytes_max: int, question: Question) -> BackendFault:
    return BackendFault(
        "broken",
        f"its answer is longer than {bytes_max} bytes; raise answer_bytes_max",
        backend=question.backend,
    )


def _fault(error: Exception, question: Question) -> BackendFault:
    backend, timeouts = question.backend, question.timeouts
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return BackendFault(
            "unreachable",
            f"it accepted no connection within {timeouts.connect_timeout_s:g} s",
            backend=backend,
        )
    if isinstance(error, TimeoutError):
        return BackendFault(
            "timeout",
            f"it did not begin to answer within {question.first_byte_s:g} s",
            backend=backend,
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return BackendFault("unreachable", f"its certificate is refused: {error}", backend=backend)
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        return BackendFault(
            "unreachable", f"nothing answers there ({reason}); is it running?", backend=backend
        )
    if isinstance(error, aiohttp.ClientOSError | ConnectionError):
        return BackendFault("unreachable", f"the connection broke: {error}", backend=backend)
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return BackendFault("broken", "it closed the connection in mid-answer", backend=backend)
    return BackendFault("broken", f"its answer is not valid HTTP: {error}", backend=backend)
