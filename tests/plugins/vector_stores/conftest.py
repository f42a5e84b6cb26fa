"""A server with vector stores, whose files are read as plain text, or not, as a test says."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx
import pytest

from famulus.plugin import NoSettings, Plugin, need
from famulus.testing import FixedClock, TestServer, kernel_with
from famulus_schemas.ports import EXTRACTION, FILES, JOBS, RECORDS, STORES, VECTORS
from famulus_schemas.retrieval import Chunk, Chunking, ExtractionRefused

PLUGINS = (
    "sqlite",
    "events",
    "jobs",
    "local_blobs",
    "files",
    "models",
    "builtin",
    "embeddings",
    "exact_vectors",
    "vector_stores",
)
LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
QUICK = {"vector_stores": {"retry_s": 0.01}, "jobs": {"retry_s": 0.01, "poll_s": 0.05}}


class PlainText(Plugin[NoSettings]):
    """Reads text, a token a word; files can be made to fail, or to wait."""

    name = "plain_text"
    provides = (EXTRACTION,)
    faults: int
    """How many more attempts fail for the server's reasons."""
    gate: asyncio.Event
    """Nothing is read to its end before it is open."""
    begun: int
    """How often a file was begun."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Provide the port."""
        self.faults = self.begun = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.provide(EXTRACTION, self)
        yield

    async def chunks(
        self,
        content: AsyncIterable[bytes],
        *,
        filename: str,
        media_type: str = "",
        chunking: Chunking,
    ) -> AsyncIterator[Sequence[Chunk]]:
        """As Extraction.chunks."""
        self.begun += 1
        data = b"".join([piece async for piece in content])
        if data.startswith(b"\x00"):
            raise ExtractionRefused("unsupported_file", "Files of this kind are not read.")
        if data.startswith(b"bomb"):
            raise ExtractionRefused("invalid_file", "The file takes up too much room.")
        if self.faults:
            self.faults -= 1
            raise RuntimeError("the disk is on fire")
        text = data.decode()
        for number, chunk in enumerate(cut(text, chunking)):
            if number == 1:
                await self.gate.wait()
            yield [chunk]
        await self.gate.wait()


def cut(text: str, chunking: Chunking) -> Iterator[Chunk]:
    """Chunks of a text, at its spaces."""
    at, starts = 0, []
    for word in text.split(" "):
        starts.append(at)
        at += len(word) + 1
    step = max(1, chunking.max_tokens - chunking.overlap_tokens)
    for first in range(0, len(starts), step):
        last = min(first + chunking.max_tokens, len(starts))
        start = starts[first]
        end = len(text) if last == len(starts) else starts[last]
        if text[start:end].strip():
            yield Chunk(text=text[start:end], tokens=last - first, start=start, end=end)
        if last == len(starts):
            return


class User(Plugin[NoSettings]):
    """Reaches the ports for a test."""

    name = "user"
    stores = need(STORES)
    files = need(FILES)
    vectors = need(VECTORS)
    jobs = need(JOBS)
    records = need(RECORDS)
    every_project = need(RECORDS.system)


class Api:
    """The operations, as a test asks for them."""

    def __init__(self, server: TestServer, project: str = "default") -> None:
        self.server = server
        self.headers = {"x-test-project": project}
        self.user: User = server.plugin("user")
        self.reader: PlainText = server.plugin("plain_text")

    async def ask(
        self, method: str, path: str, json: Any = None, *, status: int = 200, **more: Any
    ) -> Any:
        """What is answered, which must be of that status."""
        if json is not None:
            more["json"] = json
        response = await self.server.client.request(
            method, f"/v1{path}", headers=self.headers, **more
        )
        assert response.status_code == status, response.text
        return response.json()

    async def get(self, path: str, **more: Any) -> Any:
        return await self.ask("GET", path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> Any:
        return await self.ask("POST", path, {} if json is None else json, **more)

    async def delete(self, path: str, **more: Any) -> Any:
        return await self.ask("DELETE", path, **more)

    async def refused(
        self, path: str, json: Any = None, *, status: int = 400, method: str = "POST"
    ) -> tuple[str | None, str | None, str]:
        """What a refusal says: param, code and message."""
        body = None if method != "POST" else {} if json is None else json
        error = (await self.ask(method, path, body, status=status))["error"]
        return error["param"], error["code"], error["message"]

    async def file(self, content: str | bytes = "hello world", name: str = "a.txt") -> str:
        """The id of a new file."""
        data = content.encode() if isinstance(content, str) else content
        answer = await self.ask(
            "POST",
            "/files",
            files={"file": (name, data)},
            data={"purpose": "assistants"},
        )
        return str(answer["id"])

    async def store(self, *contents: str | bytes, **fields: Any) -> str:
        """The id of a new store with files of these contents, once they are read."""
        files = [await self.file(each) for each in contents]
        store = await self.post("/vector_stores", {"file_ids": files, **fields})
        return str((await self.settled(store["id"]))["id"])

    async def settled(self, store: str) -> Any:
        """The store once none of its files is in progress."""
        async with asyncio.timeout(30):
            while True:
                found = await self.get(f"/vector_stores/{store}")
                if not found["file_counts"]["in_progress"]:
                    return found
                await asyncio.sleep(0.005)

    async def files_of(self, store: str, **params: Any) -> list[Any]:
        """The files of a store, the newest first."""
        page = await self.get(f"/vector_stores/{store}/files", params=params)
        return list(page["data"])

    async def search(self, store: str, query: Any, **options: Any) -> list[Any]:
        """What a search finds."""
        body = {"query": query, **options}
        return list((await self.post(f"/vector_stores/{store}/search", body))["data"])

    async def chunks(self) -> int:
        """How many bundles of chunks there are, of all projects."""
        return await self.count("vector_store_chunks")

    async def count(self, kind: str) -> int:
        """How many records of a kind there are."""
        found, after = 0, 0
        while page := await self.user.every_project.scan(kind, after_seq=after, limit=1000):
            found += len(page)
            after = page[-1].seq
        return found

    async def cleared(self) -> None:
        """Wait until nothing is left to be done."""
        async with asyncio.timeout(30):
            while await self.count("job"):
                await asyncio.sleep(0.005)


@asynccontextmanager
async def server_of(
    *more: Any, without: Sequence[str] = (), **arguments: Any
) -> AsyncIterator[TestServer]:
    plugins = [name for name in PLUGINS if name not in without]
    settings = {**QUICK, **arguments.pop("settings", {})}
    settings["vector_stores"] = {**QUICK["vector_stores"], **settings.get("vector_stores", {})}
    settings["jobs"] = {**QUICK["jobs"], **settings.get("jobs", {})}
    async with kernel_with(
        *more, *plugins, PlainText, User, settings=settings, **arguments
    ) as server:
        for name in (*plugins, "user"):
            assert server.state(name)[0] == "running", (name, server.state(name))
        yield server


@pytest.fixture
async def server(fixed_clock: FixedClock, tmp_path: Path) -> AsyncIterator[TestServer]:
    async with server_of(clock=fixed_clock, data_dir=tmp_path) as started:
        yield started


@pytest.fixture
async def api(server: TestServer) -> Api:
    return Api(server)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """How `server_of` is given each of the record stores, with nothing in it."""
    if request.param == "sqlite":
        yield {}
        return
    dsn = os.environ.get("FAMULUS_TEST_POSTGRES") or LOCAL_POSTGRES
    schema = f"stores_{secrets.token_hex(6)}"
    try:
        anyio.run(_execute, dsn, "select 1")
    except OSError:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    yield {"dsn": dsn, "schema": schema}
    anyio.run(_execute, dsn, f"drop schema if exists {schema} cascade")


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    await connection.execute(statement)
    await connection.close()


def error_of(response: httpx.Response, status: int = 400) -> tuple[str | None, str | None, str]:
    """What a refusal says: param, code and message."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    return error["param"], error["code"], error["message"]
