"""A whole server whose assistants run code, on each sandbox that there is here."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.code_interpreter.trusted_sandbox import TrustedSandbox
from tests.plugins.runs.conftest import Api

from famulus.testing import Script, ScriptedBackend, TestServer, kernel_with, tool

PLUGINS = (
    *("sqlite", "events", "jobs", "local_blobs", "files", "assistants", "threads", "models"),
    *("runs", "functions", "code_interpreter"),
)
TOOL = {"type": "code_interpreter"}

BUBBLEWRAP = pytest.param(
    "bubblewrap",
    marks=pytest.mark.skipif(
        shutil.which("bwrap") is None, reason="NO BUBBLEWRAP: apt-get install bubblewrap"
    ),
)
SMALL = {
    "memory_bytes": 150_000_000,
    "files_bytes": 16_000_000,
    "warm": 0,
    "preload": [],
    "probe_after_s": 3600,
}
"""Of boxes that a test can open quickly."""

PICTURE = """
import struct, zlib
def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
class Picture:
    def _repr_png_(self):
        rows = b"".join(b"\\0" + bytes([x * 8 for x in range(32)]) for _ in range(16))
        head = struct.pack(">IIBBBBB", 32, 16, 8, 0, 0, 0, 0)
        parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
        return b"\\x89PNG\\r\\n\\x1a\\n" + b"".join(parts)
"""
"""Code that defines a picture of 32 by 16 points, with nothing but the standard library."""


def is_picture(content: bytes, *, width: int, height: int) -> bool:
    """Whether this is a whole PNG of that size, of which every byte decodes."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, size, depth, color = 8, b"", (0, 0), 0, 0
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        (check,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind + body) == check
        if kind == b"IHDR":
            *size_, depth, color = struct.unpack(">IIBB", body[:10])
            size = (size_[0], size_[1])
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = 1 + (size[0] * channels * depth + 7) // 8
    return size == (width, height) and len(zlib.decompress(data)) == row * size[1]


def runs_code(*codes: str, id: str = "call") -> Any:
    """A scripted answer that runs these pieces of code at once."""
    return [tool("python", {"code": code}, id=f"{id}_{n}") for n, code in enumerate(codes)]


class Bench(Api):
    """A server, and what tests of code ask of it again and again."""

    def __init__(self, server: TestServer, backend: ScriptedBackend) -> None:
        super().__init__(server, backend)
        slots = server.kernel.lifecycle.slots
        self.sandbox: Any = slots["trusted_sandbox"].plugin if "trusted_sandbox" in slots else None

    async def file(self, content: bytes, name: str = "data.csv") -> str:
        """A new file's id."""
        response = await self.server.client.post(
            "/v1/files", files={"file": (name, content)}, data={"purpose": "assistants"}
        )
        return str((await self.ok(response))["id"])

    async def content(self, file_id: str) -> bytes:
        """A file's content."""
        response = await self.server.get(f"/v1/files/{file_id}/content")
        assert response.status_code == 200, response.text
        return bytes(response.content)

    async def coder(self, **fields: Any) -> str:
        """A new assistant that may run code."""
        return await self.assistant(tools=[TOOL], **fields)

    async def ask(self, thread: str, text: str = "go on", *file_ids: str) -> None:
        """One more message, with files for the code."""
        attachments = [{"file_id": id, "tools": [TOOL]} for id in file_ids]
        body = {"role": "user", "content": text, "attachments": attachments}
        await self.ok(await self.server.post(f"/v1/threads/{thread}/messages", body))

    async def outputs(self, run: Any) -> list[Any]:
        """What all code of a run put out, as its steps show it."""
        calls = [
            call
            for step in await self.steps(run)
            if step["type"] == "tool_calls"
            for call in step["step_details"]["tool_calls"]
        ]
        return [output for call in calls for output in call["code_interpreter"]["outputs"]]

    async def logs(self, run: Any) -> str:
        """All that the code of a run printed."""
        return "".join(o["logs"] for o in await self.outputs(run) if o["type"] == "logs")

    def told(self, asked: int = -1) -> list[str]:
        """What the model was told of its calls, when it was asked for that time."""
        messages = self.backend.chats[asked].chat.messages
        return [str(m.content) for m in messages if m.role == "tool"]

    def instructed(self, asked: int = -1) -> str:
        """What it was told before everything else."""
        first = self.backend.chats[asked].chat.messages[0]
        return str(first.content) if first.role == "system" else ""

    async def said(self, run: Any) -> Any:
        """The message of a run."""
        (message,) = await self.messages(run["thread_id"], run_id=run["id"])
        return message


OpenBench = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def open_bench(tmp_path: Path) -> OpenBench:
    """Opens a server; one opened again in the same test finds the same data, and no box."""

    @asynccontextmanager
    async def opened(
        script: Script,
        *,
        settings: Mapping[str, Any] | None = None,
        runs: Mapping[str, Any] | None = None,
        sandbox: Any = TrustedSandbox,
        boxes: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> AsyncIterator[Bench]:
        backend = ScriptedBackend(script)
        tables = {"code_interpreter": dict(settings or {}), "runs": dict(runs or {})}
        if sandbox == "bubblewrap":
            tables["bubblewrap"] = dict(SMALL)
        if boxes is not None:
            tables[sandbox] = dict(boxes)
        async with kernel_with(
            *(*PLUGINS, sandbox),
            backend=backend,
            settings=tables,
            data_dir=tmp_path,
            **arguments,
        ) as server:
            yield Bench(server, backend)

    return opened
