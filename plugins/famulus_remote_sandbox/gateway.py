"""The gateway's HTTP: kernels are started, interrupted and ended; every wait and answer bounded.

The one module that imports aiohttp, itself imported only once a gateway is to be reached.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import yarl

from famulus_remote_sandbox.messages import Forged, decoded
from famulus_remote_sandbox.settings import RemoteSandboxSettings

_ANSWER_BYTES_MAX = 1_000_000
_KERNEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class GatewayFault(Exception):
    """The gateway does not do what it is asked; says why, and what can be done."""


class Kernel(msgspec.Struct, frozen=True):
    """What the gateway says of a kernel."""

    id: str


async def _stay(request: aiohttp.ClientRequest, send: Any) -> aiohttp.ClientResponse:
    """Follow no redirect: neither the token nor this server's reach is the gateway's to direct."""
    response: aiohttp.ClientResponse = await send(request)
    if 300 <= response.status < 400:
        response.close()
        raise GatewayFault(f"it redirects ({response.status}), which is not followed; set `url`")
    return response


@asynccontextmanager
async def open_gateway(settings: RemoteSandboxSettings) -> AsyncIterator[Gateway]:
    """The gateway's client, with connections that are closed at the end."""
    connector = aiohttp.TCPConnector(limit=0, ssl=await asyncio.to_thread(_trust, settings))
    headers = {"Authorization": f"token {settings.token.reveal()}"} if settings.token else {}
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        middlewares=(_stay,),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_s),
    ) as session:
        yield Gateway(session, settings)


def _trust(settings: RemoteSandboxSettings) -> ssl.SSLContext | bool:
    if not settings.verify_tls:
        return False
    return ssl.create_default_context(cafile=settings.ca_file) if settings.ca_file else True


class Gateway:
    """What can be asked of it. Everything raises GatewayFault."""

    def __init__(self, session: aiohttp.ClientSession, settings: RemoteSandboxSettings) -> None:
        self._session = session
        self._settings = settings
        self._base = yarl.URL(settings.url or "")

    async def start(self) -> str:
        """Start a kernel; its id."""
        named = {} if self._settings.kernel is None else {"name": self._settings.kernel}
        status, body = await self._ask("POST", "api/kernels", self._settings.start_s, named)
        if status != 201:
            raise _refused("start a kernel", status, body)
        try:
            id = decoded(body, Kernel).id
        except Forged as error:
            raise GatewayFault("its answer is no kernel; is `url` a Jupyter gateway?") from error
        if not _KERNEL_ID.fullmatch(id):
            raise GatewayFault("it names a kernel in a way that none is named")
        return id

    async def interrupt(self, kernel: str) -> None:
        """Have it stop what it runs."""
        path = f"api/kernels/{kernel}/interrupt"
        status, body = await self._ask("POST", path, self._settings.request_s)
        if status != 204:
            raise _refused("interrupt a kernel", status, body)

    async def end(self, kernel: str) -> None:
        """End it; one that is not there is at its end."""
        path = f"api/kernels/{kernel}"
        status, body = await self._ask("DELETE", path, self._settings.request_s)
        if status not in (204, 404):
            raise _refused("end a kernel", status, body)

    async def connect(self, kernel: str, session: str) -> aiohttp.ClientWebSocketResponse:
        """Its channels."""
        url = self._url(f"api/kernels/{kernel}/channels") % {"session_id": session}
        try:
            async with asyncio.timeout(self._settings.start_s):
                return await self._session.ws_connect(
                    url, max_msg_size=self._settings.message_bytes
                )
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error) from error

    async def _ask(
        self, method: str, path: str, seconds: float, fields: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        data = b"" if fields is None else msgspec.json.encode(fields)
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    method, self._url(path), data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                body = bytearray()
                async for piece in response.content.iter_chunked(65_536):
                    body += piece
                    if len(body) > _ANSWER_BYTES_MAX:
                        raise GatewayFault("its answer is too long")
                return response.status, bytes(body)
        except TimeoutError as error:
            raise GatewayFault(f"it did not answer within {seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error) from error

    def _url(self, path: str) -> yarl.URL:
        return self._base.with_path(f"{self._base.path.rstrip('/')}/{path}")


def _refused(what: str, status: int, body: bytes) -> GatewayFault:
    if status in (401, 403):
        return GatewayFault(f"it does not let this server {what} ({status}); set `token`")
    if status == 404:
        return GatewayFault(f"it cannot {what} (404); is `url` a Jupyter gateway?")
    return GatewayFault(f"it did not {what} ({status}); its log says why")


def _fault(error: Exception) -> GatewayFault:
    if isinstance(error, TimeoutError):
        return GatewayFault("it did not answer in time")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return GatewayFault(f"its certificate is refused; set `ca_file`: {error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.os_error.strerror or str(error.os_error)
        return GatewayFault(f"nothing answers at `url` ({reason}); is it running?")
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return GatewayFault(f"it opened no channels to a kernel ({error.status})")
    return GatewayFault(f"the connection broke: {type(error).__name__}")
