"""Servers for tests: in this process or on a real socket, with time and ids held still."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec
from starlette.datastructures import Headers

from famulus.clock import Clock, MakeId, system_clock
from famulus.config import load_config
from famulus.discover import Found, discover, found_class
from famulus.kernel import Kernel
from famulus.log import Log, make_log
from famulus.markers import hookimpl
from famulus.plugin import NoSettings, Plugin
from famulus.testing.scripted import ScriptedBackend
from famulus.testing.transport import InProcess
from famulus_schemas.identity import DEFAULT_PROJECT, Principal
from famulus_schemas.inference import Backend
from famulus_schemas.ports import BLOBS, LIMITS, RECORDS, SANDBOX, VECTORS, Port

PROJECT_HEADER = "x-test-project"


class FixedClock:
    """A clock that stands still until the test moves it."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


class NumberedIds:
    """Ids that count up for each prefix: `thread_1`, `thread_2`, ..."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __call__(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}{self._counts[prefix]}"


class Everyone(Plugin[NoSettings]):
    """Lets every request in, as the project that the header `x-test-project` names."""

    name: ClassVar[str] = "everyone"

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        """Whoever it is."""
        return Principal(id="tester", project=headers.get(PROJECT_HEADER, DEFAULT_PROJECT))


def serves(backend: ScriptedBackend | Backend) -> type[Plugin[Any]]:
    """A plugin that brings one backend."""

    class Brings(Plugin[NoSettings]):
        """Brings the backend of a test."""

        name: ClassVar[str] = f"brings_{backend.name}"

        @hookimpl
        def register_backends(self) -> list[Backend]:
            """The backend."""
            return [backend]

    return Brings


class TestServer:
    """A started kernel and a client of it."""

    __test__ = False

    def __init__(self, kernel: Kernel, client: httpx.AsyncClient) -> None:
        self.kernel = kernel
        self.client = client

    async def get(self, path: str, **arguments: Any) -> httpx.Response:
        """GET a path."""
        return await self.client.get(path, **arguments)

    async def post(self, path: str, json: Any = None, **arguments: Any) -> httpx.Response:
        """POST a JSON body; none where `json` is None."""
        if json is not None:
            arguments["json"] = json
        return await self.client.post(path, **arguments)

    async def delete(self, path: str, **arguments: Any) -> httpx.Response:
        """DELETE a path."""
        return await self.client.delete(path, **arguments)

    @asynccontextmanager
    async def stream(self, path: str, json: Any, **arguments: Any) -> AsyncIterator[EventReader]:
        """POST a JSON body and read the answer's events; leaving the block is leaving."""
        async with self.client.stream("POST", path, json=json, **arguments) as response:
            yield EventReader(response)

    def plugin(self, name: str) -> Any:
        """A plugin's instance, for tests of its inner state."""
        return self.kernel.lifecycle.slots[name].plugin

    def state(self, name: str) -> tuple[str, str]:
        """A plugin's state and reason."""
        slot = self.kernel.lifecycle.slots[name]
        return str(slot.state), slot.reason


class SentEvent:
    """One server-sent event as it came."""

    def __init__(self, name: str | None, data: str, id: str | None) -> None:
        self.name = name
        self.data = data
        self.id = id

    def json(self) -> Any:
        """The data, decoded."""
        return msgspec.json.decode(self.data)

    def __repr__(self) -> str:
        return f"SentEvent({self.name!r}, {self.data[:60]!r})"


class EventReader:
    """Reads a response event by event; comments are skipped."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.status_code = response.status_code
        self.headers = response.headers

    async def __aiter__(self) -> AsyncIterator[SentEvent]:
        fields: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if line.startswith(":"):
                continue
            if line:
                key, _, value = line.partition(": ")
                fields[key] = value
            elif fields:
                yield SentEvent(fields.get("event"), fields.get("data", ""), fields.get("id"))
                fields = {}

    async def all(self) -> list[SentEvent]:
        """Every event until the end."""
        return [event async for event in self]


PluginLike = type[Plugin[Any]] | str


def _found(plugins: Iterable[PluginLike]) -> list[Found]:
    installed = {found.name: found for found in discover()}
    chosen = []
    for plugin in plugins:
        if isinstance(plugin, str):
            if plugin not in installed:
                raise LookupError(f"plugin {plugin!r} is not installed; there are {[*installed]}")
            chosen.append(installed[plugin])
        else:
            chosen.append(found_class(plugin))
    return chosen


def quiet_log() -> Log:
    """A logger that writes only what is an error."""
    return make_log("critical", "json")


@asynccontextmanager
async def kernel_with(
    *plugins: PluginLike,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    ports: Mapping[str, str] | None = None,
    backend: ScriptedBackend | Backend | None = None,
    data_dir: Path | None = None,
    clock: Clock | None = None,
    make_id: MakeId | None = None,
    log: Log | None = None,
) -> AsyncIterator[TestServer]:
    """A started server of just these plugins (classes, or names of installed ones).

    `settings` is by table, `server` or a plugin's name. Where none of the plugins is `keys`,
    every request is let in. Nothing is read from the environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        kernel = make_kernel(
            *plugins,
            settings=settings,
            ports=ports,
            backend=backend,
            data_dir=data_dir or Path(folder),
            clock=clock,
            make_id=make_id,
            log=log,
        )
        await kernel.start()
        try:
            async with httpx.AsyncClient(
                transport=InProcess(kernel), base_url="http://famulus.test"
            ) as client:
                yield TestServer(kernel, client)
        finally:
            await kernel.stop()


def make_kernel(
    *plugins: PluginLike,
    data_dir: Path,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    ports: Mapping[str, str] | None = None,
    backend: ScriptedBackend | Backend | None = None,
    clock: Clock | None = None,
    make_id: MakeId | None = None,
    log: Log | None = None,
) -> Kernel:
    """A kernel as `kernel_with` has it, not started."""
    chosen = list(plugins)
    if "keys" not in [each if isinstance(each, str) else each.name for each in chosen]:
        chosen.append(Everyone)
    if backend is not None:
        chosen.append(serves(backend))
    tables = {name: dict(table) for name, table in (settings or {}).items()}
    # Tests call it as they like.
    defaults = {"drain_s": 2.0, "retry_failed_s": 3600.0, "hosts": ["*"]}
    server = {**defaults, **tables.pop("server", {}), "data_dir": str(data_dir)}
    config = load_config(None, environment={}, flags={"server": server, **tables})
    config = msgspec.structs.replace(config, ports=dict(ports or {}))
    return Kernel(
        config,
        found=_found(chosen),
        log=log or quiet_log(),
        make_id=make_id,
        clock=clock or system_clock,
    )


@asynccontextmanager
async def live_server(kernel: Kernel) -> AsyncIterator[str]:
    """Serve a kernel that has not been started on a real socket; its URL."""
    from famulus.server import Server

    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(kernel, on_ready=ready.set_result)
    server.config.port = 0
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    both: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await task
        raise RuntimeError(f"the server did not start: {kernel.failure}")
    try:
        yield ready.result()
    finally:
        server.should_exit = True
        await task


def _no_signals() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def conformance_for(port: Port[Any]) -> type[Any]:
    """The tests that a provider of this port must pass, as a class to subclass."""
    if port is RECORDS:
        from famulus.testing.records_conformance import RecordsConformance

        return RecordsConformance
    if port is BLOBS:
        from famulus.testing.blobs_conformance import BlobsConformance

        return BlobsConformance
    if port is VECTORS:
        from famulus.testing.vectors_conformance import VectorsConformance

        return VectorsConformance
    if port is SANDBOX:
        from famulus.testing.sandbox_conformance import SandboxConformance

        return SandboxConformance
    if port is LIMITS:
        from famulus.testing.limits_conformance import LimitsConformance

        return LimitsConformance
    raise LookupError(f"there is no conformance suite for {port.name}")
