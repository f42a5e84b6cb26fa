"""Requests through whole servers in one process, without sockets: `overhead.py` runs this.

It reads a plan from stdin: what each server is told by variables, and how often to ask. Every
round asks each of them a batch, in turn; what is printed is the CPU a request of each, by round.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import AsyncExitStack, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import floors
import msgspec
import sample
import uvloop

from famulus.clock import system_clock
from famulus.config import load_config
from famulus.kernel import Kernel
from famulus.log import flush, make_log

Message = MutableMapping[str, Any]

GC_THRESHOLD = 10_000
"""As the server has it."""
_FIRST_KEY = re.compile(r"OPENAI_API_KEY=(\S+)")


class Plan(msgspec.Struct, kw_only=True):
    """What to do."""

    servers: dict[str, dict[str, str]]
    """The variables of each, by its name."""
    rounds: int
    requests: int
    """Of each server in a round, one after the other."""
    folder: str


class Target:
    """An ASGI app and the one request that it is asked."""

    def __init__(self, app: Any, path: str, key: str = "") -> None:
        self.app = app
        headers = [(b"host", b"127.0.0.1:8400"), (b"authorization", b"Bearer " + key.encode())]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8400),
            "client": ("127.0.0.1", 40_000),
            "scheme": "http",
            "method": "GET",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
        }
        self.sent = b""
        self.status = 0
        self.answered = b""

    async def receive(self) -> Message:
        """The whole body."""
        return {"type": "http.request", "body": self.sent, "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.answered = message["body"]

    async def ask(self, times: int) -> None:
        """One request after the other, each in a task of its own, as uvicorn has them."""
        loop = asyncio.get_running_loop()
        for _ in range(times):
            # uvicorn makes a scope for each, too; its making is no part of this.
            scope = dict(self.scope, headers=list(self.scope["headers"]))
            await loop.create_task(self.app(scope, self.receive, self.send))
        assert self.status == 200, self.answered

    async def cpu_us(self, times: int) -> float:
        """CPU of this process for each request, and for what is done a little after it."""
        before = time.process_time_ns()
        await self.ask(times)
        if isinstance(self.app, Kernel):
            await settled(self.app)
        return (time.process_time_ns() - before) / 1000 / times


async def settled(kernel: Kernel) -> None:
    """Do now what requests have left for later: their lines, and what plugins hear of them."""
    flush(kernel.log)
    kernel.notices.hurry()
    while kernel.notices.waiting:
        await asyncio.sleep(0)


async def opened(
    stack: AsyncExitStack, variables: Mapping[str, str], folder: Path
) -> tuple[Kernel, str]:
    """A started server with its data in that folder, and a key of it."""
    given = {"FAMULUS_SERVER__DATA_DIR": str(folder / "data"), **variables}
    config = load_config(None, environment=given)
    log = stack.enter_context((folder / "log").open("w"))
    printed = StringIO()
    kernel = Kernel(config, clock=system_clock, log=make_log("info", "json", stream=log))
    with redirect_stderr(printed):
        await kernel.start()
    stack.push_async_callback(kernel.stop)
    found = _FIRST_KEY.search(printed.getvalue())
    return kernel, found[1] if found else ""


async def asked(kernel: Kernel, path: str, key: str, body: bytes) -> Any:
    """What a POST answers, outside any measurement."""
    target = Target(kernel, path, key)
    target.scope["method"] = "POST"
    target.scope["headers"].append((b"content-type", b"application/json"))
    target.scope["headers"].append((b"content-length", b"%d" % len(body)))
    target.sent = body
    await target.ask(1)
    return json.loads(target.answered)


async def measured(plan: Plan) -> dict[str, list[float]]:
    """The CPU a request, by what was asked, one figure a round."""
    async with AsyncExitStack() as stack:
        targets: dict[str, Target] = {"bare": Target(floors.whole, "/")}
        for number, (name, variables) in enumerate(plan.servers.items()):
            kernel, key = await opened(stack, variables, Path(plan.folder) / str(number))
            made = await asked(kernel, "/v1/assistants", key, sample.CREATE_ASSISTANT)
            targets[f"{name}: assistant"] = Target(kernel, f"/v1/assistants/{made['id']}", key)
            targets[f"{name}: models"] = Target(kernel, "/v1/models", key)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
        for target in targets.values():
            await target.ask(plan.requests)
        found: dict[str, list[float]] = {name: [] for name in targets}
        for _ in range(plan.rounds):
            for name, target in targets.items():
                found[name].append(await target.cpu_us(plan.requests))
        return found


def main() -> None:
    """Read the plan, and print what was measured."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    for number in range(len(plan.servers)):
        Path(plan.folder, str(number)).mkdir()
    json.dump(uvloop.run(measured(plan)), sys.stdout)


if __name__ == "__main__":
    main()
