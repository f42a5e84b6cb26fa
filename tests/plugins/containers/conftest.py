"""A server with containers, on each of the stores, and somebody who runs code in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.plugins.code_interpreter.trusted_sandbox import TrustedSandbox

from famulus import NoSettings, Plugin, need
from famulus.testing import FixedClock, TestServer, kernel_with
from famulus_schemas.ports import BLOBS, CONTAINERS

PLUGINS = ("sqlite", "events", "jobs", "local_blobs", "files", "containers")


class User(Plugin[NoSettings]):
    """Reaches the ports for a test."""

    name = "user"
    containers = need(CONTAINERS)
    blobs = need(BLOBS)


class Harbour:
    """A server, and what tests of containers ask of it again and again."""

    def __init__(self, server: TestServer, clock: FixedClock) -> None:
        self.server = server
        self.clock = clock
        self.user: User = server.plugin("user")
        self.plugin: Any = server.plugin("containers")
        self.sandbox: Any = server.plugin("trusted_sandbox")

    async def ok(self, response: httpx.Response) -> Any:
        """The JSON of a success."""
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, response: httpx.Response) -> tuple[int, str | None, str | None]:
        """Status, code and param of a refusal."""
        error = response.json()["error"]
        return response.status_code, error["code"], error["param"]

    async def create(self, **fields: Any) -> Any:
        """A new container."""
        body = {"name": "c", **fields}
        return await self.ok(await self.server.post("/v1/containers", body))

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        """GET below the containers."""
        return await self.server.get(f"/v1/containers{path}", **arguments)

    async def send(
        self, container: str, content: bytes = b"hello", name: str = "a.txt", **arguments: Any
    ) -> httpx.Response:
        """Send a file as a form."""
        return await self.server.client.post(
            f"/v1/containers/{container}/files", files={"file": (name, content)}, **arguments
        )

    async def sent(self, container: str, content: bytes = b"hello", name: str = "a.txt") -> Any:
        """A new file of a container."""
        return await self.ok(await self.send(container, content, name))

    async def kept(self, content: bytes = b"kept", name: str = "kept.txt") -> str:
        """The id of a file of the project."""
        response = await self.server.client.post(
            "/v1/files", files={"file": (name, content)}, data={"purpose": "assistants"}
        )
        return str((await self.ok(response))["id"])

    async def paths(self, container: str) -> list[str]:
        """The paths of a container's files, oldest first."""
        response = await self.get(f"/{container}/files", params={"order": "asc", "limit": 100})
        return [file["path"] for file in (await self.ok(response))["data"]]

    async def keys(self) -> set[str]:
        """The keys of all blobs that containers have."""
        return {blob.key async for blob in self.user.blobs.stored("cfile_")}


Open = Callable[..., AbstractAsyncContextManager[Harbour]]


@pytest.fixture
def open_harbour(tmp_path: Path) -> Open:
    """Opens a server; one opened again in the same test finds the same data, and no box."""
    clock = FixedClock()

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Harbour]:
        async with kernel_with(
            *(*PLUGINS, TrustedSandbox, User),
            settings={"containers": settings},
            data_dir=tmp_path,
            clock=clock,
        ) as server:
            yield Harbour(server, clock)

    return opened


@pytest.fixture
async def harbour(open_harbour: Open) -> AsyncIterator[Harbour]:
    async with open_harbour() as opened:
        yield opened
