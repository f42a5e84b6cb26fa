"""A gateway that is played: it does what ours needs, except where a test has it do otherwise."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Socket = web.WebSocketResponse
Cell = Callable[[Socket, str], Awaitable[None]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ASKED = re.compile(r"ask\('([^']*)', '([^']*)'\)")


def message(kind: str, parent: str, **content: Any) -> dict[str, Any]:
    """What a kernel says."""
    return {
        "header": {"msg_id": "m", "msg_type": kind, "date": "2026", "version": "5.3"},
        "parent_header": {"msg_id": parent} if parent else {},
        "metadata": {},
        "content": content,
        "channel": "iopub",
        "buffers": [],
    }


async def well(socket: Socket, parent: str) -> None:
    """A cell that prints, and ends as it should."""
    await socket.send_json(message("stream", parent, name="stdout", text="well\n"))
    await ends(socket, parent)


async def ends(socket: Socket, parent: str) -> None:
    """What stands at the end of every cell."""
    await socket.send_json(message("execute_reply", parent, status="ok", user_expressions={}))
    await socket.send_json(message("status", parent, execution_state="idle"))


def told(head: dict[str, Any], blob: bytes = b"") -> str:
    """An answer as our part in a kernel writes it."""
    parts = (json.dumps(head).encode(), blob)
    return " ".join(base64.b64encode(each).decode() for each in parts)


class PlayedGateway:
    """Counts what it is asked for. `cell` is what its kernels do with code."""

    def __init__(self) -> None:
        self.url = ""
        self.cell: Cell = well
        self.answers: dict[str, str] = {}
        """What the part in the kernel answers to a kind of question, if not `done`."""
        self.instead: dict[str, Handler] = {}
        """By method, or `channels`: what is done with a request in place of what should be."""
        self.kernels: list[str] = []
        self.deleted: list[str] = []
        self.answered: list[str] = []
        self.interrupts = 0
        self.tokens: set[str] = set()
        self.sockets: list[Socket] = []
        self.visits = 0
        """Of the page that redirects lead to."""

    async def post(self, request: web.Request) -> web.StreamResponse:
        self.kernels.append(f"kernel-{len(self.kernels)}")
        return web.json_response({"id": self.kernels[-1], "name": "python3"}, status=201)

    async def interrupt(self, request: web.Request) -> web.StreamResponse:
        self.interrupts += 1
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        self.deleted.append(request.match_info["kernel"])
        return web.Response(status=204)

    async def visit(self, request: web.Request) -> web.StreamResponse:
        self.visits += 1
        return web.json_response({"id": "elsewhere"}, status=201)

    async def channels(self, request: web.Request) -> web.StreamResponse:
        socket = Socket(max_msg_size=0)
        await socket.prepare(request)
        self.sockets.append(socket)
        async for received in socket:
            asked = json.loads(received.data)
            parent, content = asked["header"]["msg_id"], asked["content"]
            if content["silent"]:
                await self._answer(socket, parent, content["user_expressions"]["told"])
            else:
                await self.cell(socket, parent)
        return socket

    async def _answer(self, socket: Socket, parent: str, expression: str) -> None:
        plain = "None"
        if found := ASKED.search(expression):
            kind = json.loads(base64.b64decode(found[1]))["kind"]
            self.answered.append(kind)
            plain = self.answers.get(kind, told({"kind": "done", "text": "3.12.1"}))
        value = {"status": "ok", "data": {"text/plain": plain}, "metadata": {}}
        reply = message("execute_reply", parent, status="ok", user_expressions={"told": value})
        await socket.send_json(reply)
        await socket.send_json(message("status", parent, execution_state="idle"))

    def _or_instead(self, name: str, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.tokens.add(request.headers.get("Authorization", ""))
            return await self.instead.get(name, handler)(request)

        return handle


@asynccontextmanager
async def played_gateway() -> AsyncIterator[PlayedGateway]:
    """One that answers on this machine."""
    gateway = PlayedGateway()
    kernel = "/base/api/kernels/{kernel}"
    app = web.Application()
    app.router.add_post("/base/api/kernels", gateway._or_instead("post", gateway.post))
    app.router.add_post(f"{kernel}/interrupt", gateway._or_instead("interrupt", gateway.interrupt))
    app.router.add_delete(kernel, gateway._or_instead("delete", gateway.delete))
    app.router.add_get(f"{kernel}/channels", gateway._or_instead("channels", gateway.channels))
    app.router.add_route("*", "/elsewhere", gateway.visit)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}/base/"
    try:
        yield gateway
    finally:
        await runner.cleanup()
