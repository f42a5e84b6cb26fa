"""Every moment at which a plugin may speak, one test each, and how answers are gathered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from click.testing import CliRunner
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from famulus import (
    Call,
    NoSettings,
    Operation,
    Plugin,
    Problem,
    hookimpl,
    hookspecs,
    operation,
    operations,
)
from famulus.cli import command_line
from famulus.middleware import Layer
from famulus.migrations import Migrations
from famulus.operations import Identify, Proceed
from famulus.testing import Script, ScriptedBackend, kernel_with, make_kernel
from famulus_schemas.errors import WRONG_API_KEY, Fault
from famulus_schemas.gauges import Gauge
from famulus_schemas.health import Health
from famulus_schemas.identity import Principal
from famulus_schemas.inference import Backend, PromptMessage
from famulus_schemas.jobs import Gate
from famulus_schemas.notices import Notice, RequestServed, RunEnded, ToolCalled
from famulus_schemas.records import Insert, Record, Unit, Write
from famulus_schemas.retention import DataKind, Idle
from famulus_schemas.retrieval import Chunker, Extractor
from famulus_schemas.runs import Run
from famulus_schemas.tooling import ToolKind

pytestmark = pytest.mark.anyio


class Said(msgspec.Struct):
    """What a test's operation answers."""

    by: str


class Greeter(Plugin[NoSettings]):
    """Serves one operation."""

    name = "greeter"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/hello", action="hello.read")
    async def hello(self, call: Call) -> Said:
        """Say who asks."""
        return Said(by=call.principal.id)

    @operation("GET", "/hello/{name}", action="hello.read")
    async def hello_name(self, call: Call, name: str) -> Said:
        """Fail for some."""
        if name == "nobody":
            raise LookupError("there is nobody")
        return Said(by=name)


def with_hooks(name: str, **hooks: Callable[..., Any]) -> type[Plugin[Any]]:
    """A plugin that implements these hooks."""
    body = {hook: hookimpl(function) for hook, function in hooks.items()}
    return type(name.capitalize(), (Plugin,), {"name": name, "__doc__": name, **body})


def hook_names() -> list[str]:
    return [
        name
        for name, function in vars(hookspecs).items()
        if hasattr(function, "famulus_spec") and inspect.isfunction(function)
    ]


def test_every_hook_has_a_test() -> None:
    assert len(hook_names()) == 25
    missing = [name for name in hook_names() if f"test_hook_{name}" not in globals()]
    assert missing == []


def test_every_hook_says_in_one_line_what_it_is_for() -> None:
    for name in hook_names():
        doc = inspect.getdoc(getattr(hookspecs, name))
        assert doc, name
        assert "\n" not in doc, name


# --- boot ----------------------------------------------------------------------------------------


def test_hook_register_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "polite.py").write_text(
        "import click\n"
        "from famulus import NoSettings, Plugin, hookimpl\n"
        "class Polite(Plugin[NoSettings]):\n"
        "    '''Brings a command.'''\n"
        "    @staticmethod\n"
        "    @hookimpl\n"
        "    def register_commands(cli):\n"
        "        cli.add_command(click.Command('greet', callback=lambda: click.echo('Hello!')))\n"
    )
    monkeypatch.setenv("FAMULUS_PLUGINS_DIR", str(tmp_path))
    result = CliRunner().invoke(command_line(), ["greet"])
    assert (result.exit_code, result.output) == (0, "Hello!\n")


async def test_hook_register_migrations(tmp_path: Path) -> None:
    class Titles(Migrations):
        owner = "store"

        async def pending(self) -> list[str]:
            return ["1 first form"]

        async def apply(self) -> list[str]:
            return []

    def register_migrations(self: Any) -> list[Migrations]:
        return [Titles()]

    plugin = with_hooks("store", register_migrations=register_migrations)
    kernel = make_kernel(plugin, data_dir=tmp_path)
    kernel.plan()
    kernel.prepare()
    [migrations] = kernel.gather_constructed("register_migrations")
    assert (migrations.owner, await migrations.pending()) == ("store", ["1 first form"])


async def test_hook_register_operations() -> None:
    async with kernel_with(Greeter) as server:
        assert (await server.get("/hello")).json() == {"by": "tester"}


async def test_hook_register_middleware() -> None:
    def marks(mark: str) -> Callable[[ASGIApp], ASGIApp]:
        def factory(app: ASGIApp) -> ASGIApp:
            async def layer(scope: Scope, receive: Receive, send: Send) -> None:
                async def marked(message: Any) -> None:
                    if message["type"] == "http.response.start":
                        message["headers"].append((b"x-mark", mark.encode()))
                    await send(message)

                await app(scope, receive, marked)

            return layer

        return factory

    def inner(self: Any) -> list[Layer]:
        return [Layer(name="inner", factory=marks("inner"), order=200)]

    def outer(self: Any) -> list[Layer]:
        return [Layer(name="outer", factory=marks("outer"), order=1)]

    plugins = [
        with_hooks("a", register_middleware=inner),
        with_hooks("b", register_middleware=outer),
    ]
    async with kernel_with(Greeter, *plugins) as server:
        answer = await server.get("/hello")
        # What leaves the server passes the innermost layer first.
        assert answer.headers.get_list("x-mark") == ["inner", "outer"]


class Gatherer(Plugin[NoSettings]):
    """Asks for what others list, as it starts."""

    name = "gatherer"
    gathers: ClassVar[tuple[str, ...]] = (
        "register_backends",
        "register_tools",
        "register_extractors",
        "register_chunkers",
        "register_run_gates",
    )

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.found = {hook: list(self.gather(hook)) for hook in self.gathers}
        yield


async def test_hook_register_backends() -> None:
    backends = [ScriptedBackend(Script(), name="x"), ScriptedBackend(Script(), name="y")]

    def first(self: Any) -> list[Backend]:
        return [backends[0]]

    def second(self: Any) -> list[Backend]:
        return [backends[1]]

    plugins = [with_hooks("a", register_backends=first), with_hooks("b", register_backends=second)]
    async with kernel_with(*plugins, Gatherer) as server:
        assert server.plugin("gatherer").found["register_backends"] == backends


async def test_hook_register_tools() -> None:
    kind = object()

    def register_tools(self: Any) -> list[ToolKind]:
        return [kind]  # type: ignore[list-item]

    plugin = with_hooks("tools", register_tools=register_tools)
    async with kernel_with(plugin, Gatherer) as server:
        assert server.plugin("gatherer").found["register_tools"] == [kind]


async def test_hook_register_extractors() -> None:
    rot13 = Extractor(
        name="rot13", function="secrets_plugin.rot13:sections", media_types=(), suffixes=(".rot",)
    )

    def register_extractors(self: Any) -> list[Extractor]:
        return [rot13]

    plugin = with_hooks("secrets", register_extractors=register_extractors)
    async with kernel_with(plugin, Gatherer) as server:
        assert server.plugin("gatherer").found["register_extractors"] == [rot13]


async def test_hook_register_chunkers() -> None:
    chunker = Chunker(name="verses", function="verses_plugin.verses:chunks")

    def register_chunkers(self: Any) -> list[Chunker]:
        return [chunker]

    plugin = with_hooks("verses", register_chunkers=register_chunkers)
    async with kernel_with(plugin, Gatherer) as server:
        assert server.plugin("gatherer").found["register_chunkers"] == [chunker]


async def test_hook_register_data_kinds() -> None:
    async def delete(principal: Principal, record: Record, idle: Idle | None) -> None:
        return None

    notes = DataKind(name="notes", kind="note", delete=delete)
    keeper = with_hooks("keeper", register_data_kinds=lambda self: [notes])

    class Asker(Plugin[NoSettings]):
        """Asks who keeps what."""

        name = "asker"
        gathers = ("register_data_kinds",)

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            self.found = list(self.gather("register_data_kinds"))
            yield

    async with kernel_with(Asker, keeper) as server:
        assert server.plugin("asker").found == [notes]


async def test_hook_register_run_gates() -> None:
    gate = object()

    def register_run_gates(self: Any) -> list[Gate]:
        return [gate]  # type: ignore[list-item]

    plugin = with_hooks("turnstile", register_run_gates=register_run_gates)
    async with kernel_with(plugin, Gatherer) as server:
        assert server.plugin("gatherer").found["register_run_gates"] == [gate]


async def test_hook_register_gauges() -> None:
    eggs = Gauge(name="famulus_eggs", help="Eggs that are left.", read=lambda: 6)

    def register_gauges(self: Any) -> list[Gauge]:
        return [eggs]

    async with kernel_with(with_hooks("hen", register_gauges=register_gauges)) as server:
        found = {each.name: each for each in server.kernel.gauges()}
        assert found["famulus_eggs"] is eggs
        assert found["famulus_plugin_state"].read()[("hen", "running")] == 1
        assert found["famulus_requests_in_flight"].read() == 0


@pytest.mark.parametrize("hook", Gatherer.gathers)
async def test_one_that_raises_while_it_lists_fails_alone(hook: str) -> None:
    def raises(self: Any) -> list[Any]:
        raise KeyError("oops")

    def lists(self: Any) -> list[Any]:
        return ["good"]

    plugins = [with_hooks("bad", **{hook: raises}), with_hooks("good", **{hook: lists})]
    async with kernel_with(*plugins, Gatherer) as server:
        assert server.plugin("gatherer").found[hook] == ["good"]
        assert server.state("bad") == ("failed", f"{hook}: KeyError: 'oops'")


async def test_middleware_that_cannot_be_built_fails_its_plugin_alone() -> None:
    def broken(app: ASGIApp) -> ASGIApp:
        raise ValueError("no certificate")

    def register_middleware(self: Any) -> list[Layer]:
        return [Layer(name="tls", factory=broken)]

    plugin = with_hooks("gate", register_middleware=register_middleware)
    async with kernel_with(Greeter, plugin) as server:
        assert (await server.get("/hello")).status_code == 200
        assert server.state("gate") == ("failed", "its layer tls: ValueError: no certificate")


# --- request -------------------------------------------------------------------------------------


def knows(key: str, principal_id: str) -> Callable[..., Any]:
    async def authenticate(self: Any, headers: Headers) -> Principal | None:
        if headers.get("authorization") != f"Bearer {key}":
            return None
        return Principal(id=principal_id)

    return authenticate


class Keys(with_hooks("keys", authenticate=knows("open", "by-keys"))):  # type: ignore[misc]
    """Stands in for the plugin of this name, so that the kit lets nobody in by itself."""


async def test_hook_authenticate() -> None:
    other = with_hooks("other", authenticate=knows("sesame", "by-other"))
    async with kernel_with(Greeter, Keys, other) as server:
        for key, by in (("open", "by-keys"), ("sesame", "by-other")):
            answer = await server.get("/hello", headers={"authorization": f"Bearer {key}"})
            assert answer.json() == {"by": by}
        unknown = await server.get("/hello", headers={"authorization": "Bearer else"})
        assert unknown.status_code == 401


async def test_a_wrong_credential_is_refused_by_whom_it_belongs_to() -> None:
    async def refuses(self: Any, headers: Headers) -> Principal | None:
        raise Problem(WRONG_API_KEY, shown="sk-...x")

    asked: list[str] = []

    async def never_asked(self: Any, headers: Headers) -> Principal | None:
        asked.append("later")
        return None

    keys = with_hooks("keys", authenticate=refuses)
    async with kernel_with(Greeter, keys, with_hooks("zz", authenticate=never_asked)) as server:
        answer = await server.get("/hello", headers={"authorization": "Bearer x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert asked == []


async def test_hook_authorize() -> None:
    asked: list[tuple[str, str, str | None]] = []

    async def agrees(self: Any, principal: Principal, action: str, resource: str | None) -> None:
        asked.append((principal.id, action, resource))

    async def refuses(self: Any, principal: Principal, action: str, resource: str | None) -> None:
        if resource == "secret":
            raise Problem(Fault(403, "not_yours", "This is not yours."))

    plugins = [with_hooks("a", authorize=agrees), with_hooks("b", authorize=refuses)]
    async with kernel_with(Greeter, *plugins) as server:
        assert (await server.get("/hello")).status_code == 200
        assert (await server.get("/hello/ada")).status_code == 200
        refused = await server.get("/hello/secret")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_yours")
    assert asked == [
        ("tester", "hello.read", None),
        ("tester", "hello.read", "ada"),
        ("tester", "hello.read", "secret"),
    ]


RUN = Run(
    id="run_1",
    created_at=1,
    thread_id="thread_1",
    assistant_id="asst_1",
    status="queued",
    model="scripted",
)


def adds(text: str) -> Callable[..., Any]:
    async def prepare_messages(
        self: Any, run: Run, messages: list[PromptMessage]
    ) -> list[PromptMessage]:
        return [*messages, PromptMessage(role="system", content=f"{text} after {len(messages)}")]

    return prepare_messages


async def test_hook_prepare_messages() -> None:
    plugins = [with_hooks(name, prepare_messages=adds(name)) for name in ("one", "two")]
    async with kernel_with(*plugins) as server:
        asked = [PromptMessage(role="user", content="Hi")]
        shown = await server.kernel.prepare_messages(RUN, asked)
        # Each is given what the one before answered.
        assert [each.content for each in shown] == ["Hi", "one after 1", "two after 2"]


async def test_hook_join_unit() -> None:
    told: list[str] = []

    def writes(kind: str) -> Callable[..., Any]:
        async def join_unit(
            self: Any, principal: Principal, action: str, unit: Unit
        ) -> list[Write]:
            told.append(f"{kind}: {principal.id} {action} {len(unit)}")
            return [Insert(kind=kind, id="1", created_at=1, body=b"{}")]

        return join_unit

    plugins = [with_hooks(name, join_unit=writes(name)) for name in ("audit", "usage")]
    async with kernel_with(*plugins, "sqlite") as server:
        mine = Insert(kind="note", id="1", created_at=1, body=b"{}")
        plugin = server.plugin("audit")
        unit = await plugin.joined(Principal(id="ada"), "note.write", [mine])
        assert [write.kind for write in unit] == ["note", "audit", "usage"]
    assert told == ["audit: ada note.write 1", "usage: ada note.write 1"]


async def test_without_anybody_to_join_a_unit_stays_itself() -> None:
    async with kernel_with(Greeter) as server:
        unit: Unit = [Insert(kind="note", id="1", created_at=1, body=b"{}")]
        assert await server.plugin("greeter").joined(Principal(id="ada"), "x", unit) is unit


async def test_a_plugin_that_cannot_join_its_writes_refuses_the_unit() -> None:
    async def join_unit(self: Any, principal: Principal, action: str, unit: Unit) -> list[Write]:
        raise RuntimeError("no audit, no write")

    async with kernel_with(Greeter, with_hooks("audit", join_unit=join_unit)) as server:
        with pytest.raises(RuntimeError, match="no audit, no write"):
            await server.plugin("greeter").joined(Principal(id="ada"), "x", [])


async def test_hook_around_authenticate() -> None:
    def around(name: str) -> Any:
        async def around_authenticate(
            self: Any, headers: Headers, client: str, proceed: Identify
        ) -> Principal | None:
            if headers.get("x-stop-at") == name:
                raise Problem(Fault(429, None, f"stopped by {name}, from {client}"))
            try:
                return await proceed()
            except Problem as refusal:
                seen.append(f"{name} {refusal.status}")
                raise

        return around_authenticate

    async def authenticate(self: Any, headers: Headers) -> Principal | None:
        if headers.get("x-key") == "wrong":
            raise Problem(WRONG_API_KEY, shown="w")
        return None

    seen: list[str] = []
    plugins = [with_hooks(name, around_authenticate=around(name)) for name in ("a", "b")]
    locked = with_hooks("door", authenticate=authenticate)
    async with kernel_with(Greeter, *plugins, locked) as server:
        assert (await server.get("/hello")).json() == {"by": "tester"}
        stopped = await server.get("/hello", headers={"x-stop-at": "b", "x-key": "wrong"})
        assert stopped.status_code == 429
        assert stopped.json()["error"]["message"].startswith("stopped by b, from ")
        assert seen == ["a 429"]
        assert (await server.get("/hello", headers={"x-key": "wrong"})).status_code == 401
        assert seen == ["a 429", "b 401", "a 401"]
        assert (await server.get("/health/live", headers={"x-stop-at": "a"})).status_code == 200


def doorman(name: str, asked: list[str], *, known: str | None = None) -> type[Plugin[Any]]:
    """Lets in whoever says its name, and recognizes one at once."""

    async def authenticate(self: Any, headers: Headers) -> Principal | None:
        asked.append(name)
        return Principal(id=f"{name} asked") if name in headers.get("x-key", "") else None

    def recognize(self: Any, headers: Headers) -> Principal | None:
        return Principal(id=f"{name} knew") if headers.get("x-key") == known else None

    hooks: dict[str, Callable[..., Any]] = {"authenticate": authenticate}
    return with_hooks(name, **(hooks if known is None else {**hooks, "recognize": recognize}))


async def said(server: Any, key: str) -> str:
    answer = await server.get("/hello", headers={"x-key": key})
    assert answer.status_code == 200
    by: str = answer.json()["by"]
    return by


async def test_hook_recognize() -> None:
    asked: list[str] = []
    plugins = doorman("a", asked, known="a1"), doorman("b", asked, known="b1")
    async with kernel_with(Greeter, *plugins) as server:
        assert await said(server, "a1") == "a knew"
        assert await said(server, "b1") == "b knew"
        assert asked == []
        assert await said(server, "b2") == "b asked"
        assert asked == ["a", "b"]


async def test_nobody_recognizes_whom_one_that_is_asked_before_may_know() -> None:
    asked: list[str] = []
    plugins = doorman("a", asked), doorman("b", asked, known="a and b")
    async with kernel_with(Greeter, *plugins) as server:
        assert await said(server, "a and b") == "a asked"
        assert await said(server, "b") == "b asked"


async def test_what_is_around_authentication_is_around_who_is_recognized_too() -> None:
    async def around_authenticate(
        self: Any, headers: Headers, client: str, proceed: Identify
    ) -> Principal | None:
        passed.append(headers["x-key"])
        return await proceed()

    passed: list[str] = []
    fence = with_hooks("fence", around_authenticate=around_authenticate)
    async with kernel_with(Greeter, doorman("a", [], known="a1"), fence) as server:
        assert await said(server, "a1") == "a knew"
        assert await said(server, "a2") == "a asked"
    assert passed == ["a1", "a2"]


async def test_hook_around_login() -> None:
    def around(name: str) -> Any:
        async def around_login(
            self: Any, headers: Headers, client: str, proceed: Identify
        ) -> Principal | None:
            if headers.get("x-key") == "stopped":
                raise Problem(Fault(429, None, f"stopped by {name}, from {client}"))
            principal = await proceed()
            passed.append(f"{name}: {principal.id if principal else None}")
            return principal

        return around_login

    passed: list[str] = []
    around_both = [with_hooks(name, around_login=around(name)) for name in ("x", "y")]
    async with kernel_with(Greeter, doorman("a", [], known="a1"), *around_both) as server:
        assert await said(server, "a1") == "a knew"
        assert passed == []
        assert await said(server, "a2") == "a asked"
        assert passed == ["y: a asked", "x: a asked"]
        stopped = await server.get("/hello", headers={"x-key": "stopped"})
        assert stopped.status_code == 429
        assert stopped.json()["error"]["message"].startswith("stopped by x, from ")


async def test_arguments_may_stand_in_any_order() -> None:
    async def around_call(self: Any, proceed: Proceed, call: Call, operation: Operation) -> Any:
        return {"by": f"{operation.name} {call.method}"}

    async def authorize(self: Any, resource: str | None, principal: Principal, action: str) -> None:
        asked.append((principal.id, action, resource))

    asked: list[tuple[str, str, str | None]] = []
    other = with_hooks("other", around_call=around_call, authorize=authorize)
    async with kernel_with(Greeter, other) as server:
        assert (await server.get("/hello")).json() == {"by": "hello GET"}
    assert asked == [("tester", "hello.read", None)]


async def test_hook_around_call() -> None:
    def around(name: str) -> Any:
        async def around_call(self: Any, call: Call, operation: Operation, proceed: Proceed) -> Any:
            if call.headers.get("x-stop-at") == name:
                return {"stopped": name, "operation": operation.name}
            answer = await proceed()
            before = call.response_headers.get("x-around", "")
            call.response_headers["x-around"] = f"{before}{name}"
            return answer

        return around_call

    plugins = [with_hooks(name, around_call=around(name)) for name in ("a", "b")]
    async with kernel_with(Greeter, *plugins) as server:
        greeted = await server.get("/hello/ada")
        assert greeted.status_code == 200
        assert greeted.headers["x-around"] == "ba"
        stopped = await server.get("/hello/ada", headers={"x-stop-at": "b"})
        assert stopped.json()["stopped"] == "b"
        assert stopped.headers["x-around"] == "a"


async def test_hook_handle_exception() -> None:
    async def words_it(self: Any, call: Call, error: Exception) -> Problem | None:
        if isinstance(error, LookupError):
            return Problem(Fault(410, "gone", f"{error} ({call.path})"))
        return None

    async def words_nothing(self: Any, call: Call, error: Exception) -> Problem | None:
        return None

    plugins = [
        with_hooks("a", handle_exception=words_nothing),
        with_hooks("b", handle_exception=words_it),
    ]
    async with kernel_with(Greeter, *plugins) as server:
        answer = await server.get("/hello/nobody")
        assert answer.status_code == 410
        assert answer.json()["error"]["message"] == "there is nobody (/hello/nobody)"


async def test_one_that_raises_while_it_words_an_exception_changes_nothing() -> None:
    async def raises(self: Any, call: Call, error: Exception) -> Problem | None:
        raise ValueError("worse")

    async with kernel_with(Greeter, with_hooks("a", handle_exception=raises)) as server:
        answer = await server.get("/hello/nobody")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")


# --- life ----------------------------------------------------------------------------------------


def hears(into: asyncio.Queue[Notice]) -> Callable[..., Any]:
    async def on_event(self: Any, event: Notice) -> None:
        into.put_nowait(event)

    return on_event


async def test_hook_on_event() -> None:
    heard: asyncio.Queue[Notice] = asyncio.Queue()
    async with kernel_with(Greeter, with_hooks("ear", on_event=hears(heard))) as server:
        answer = await server.get("/hello")
        told = await heard.get()
    assert isinstance(told, RequestServed)
    assert (told.operation, told.status, told.project) == ("hello", 200, "default")
    assert told.request_id == answer.headers["x-request-id"]


async def test_one_that_fails_to_hear_silences_nobody() -> None:
    heard: asyncio.Queue[Notice] = asyncio.Queue()

    async def deaf(self: Any, event: Notice) -> None:
        raise RuntimeError("what?")

    plugins = [with_hooks("a_deaf", on_event=deaf), with_hooks("ear", on_event=hears(heard))]
    async with kernel_with(Greeter, *plugins) as server:
        for _ in range(2):
            await server.get("/hello")
            assert isinstance(await heard.get(), RequestServed)


async def test_a_plugin_hears_only_of_the_kinds_that_its_annotation_names() -> None:
    heard: list[str] = []

    async def of_two(self: Any, event: RunEnded | ToolCalled) -> None:
        heard.append(f"two: {type(event).__name__}")

    async def of_one(self: Any, event: RequestServed) -> None:
        heard.append(f"one: {type(event).__name__}")

    def everything(into: asyncio.Queue[Notice]) -> Callable[..., Any]:
        async def on_event(self: Any, event: Any) -> None:
            into.put_nowait(event)

        return on_event

    every: asyncio.Queue[Notice] = asyncio.Queue()
    plugins = [
        with_hooks("a", on_event=of_two),
        with_hooks("b", on_event=of_one),
        with_hooks("c", on_event=everything(every)),
    ]
    async with kernel_with(Greeter, *plugins) as server:
        await server.get("/hello")
        server.kernel.tell(ToolCalled(kind="k", result="ok", seconds=0.0))
        kinds = [type(await every.get()) for _ in range(2)]
    assert kinds == [RequestServed, ToolCalled]
    assert heard == ["one: RequestServed", "two: ToolCalled"]


async def test_notices_of_requests_are_heard_before_what_came_after_them() -> None:
    heard: asyncio.Queue[Notice] = asyncio.Queue()
    async with kernel_with(Greeter, with_hooks("ear", on_event=hears(heard))) as server:
        for _ in range(3):
            await server.get("/hello")
        assert server.kernel.notices.waiting == 3
        server.kernel.tell(ToolCalled(kind="k", result="ok", seconds=0.0))
        told = [type(await heard.get()) for _ in range(4)]
    assert told == [RequestServed] * 3 + [ToolCalled]


async def test_what_was_told_before_a_stop_is_heard() -> None:
    heard: asyncio.Queue[Notice] = asyncio.Queue()
    async with kernel_with(Greeter, with_hooks("ear", on_event=hears(heard))) as server:
        for _ in range(3):
            await server.get("/hello")
        assert heard.empty()
    assert [type(heard.get_nowait()) for _ in range(3)] == [RequestServed] * 3


async def test_notices_past_the_limit_are_lost_and_no_request_waits_for_them() -> None:
    free = asyncio.Event()
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def slow(self: Any, event: Notice) -> None:
        await free.wait()
        heard.put_nowait(event.request_id)

    settings = {"server": {"notices_max": 2}}
    plugin = with_hooks("slow", on_event=slow)
    async with kernel_with(Greeter, plugin, settings=settings) as server:
        answers = [await server.get("/hello") for _ in range(10)]
        free.set()
        ids = [answer.headers["x-request-id"] for answer in answers]
        # Two were being told, two waited; the other six are lost.
        assert [await heard.get() for _ in range(4)] == ids[:4]
        last = await server.get("/hello")
        assert await heard.get() == last.headers["x-request-id"]


async def test_hook_on_requests() -> None:
    heard: asyncio.Queue[list[RequestServed]] = asyncio.Queue()

    async def on_requests(self: Any, served: list[RequestServed]) -> None:
        heard.put_nowait(served)

    async with kernel_with(Greeter, with_hooks("ear", on_requests=on_requests)) as server:
        answers = [await server.get("/hello") for _ in range(3)]
        server.kernel.tell(ToolCalled(kind="k", result="ok", seconds=0.0))
        told = await heard.get()
    assert [each.request_id for each in told] == [
        answer.headers["x-request-id"] for answer in answers
    ]
    assert {(each.operation, each.status, each.principal) for each in told} == {
        ("hello", 200, "tester")
    }


async def test_hook_on_started() -> None:
    told: list[str] = []

    async def on_started(self: Any) -> None:
        # Also of those that start later.
        told.extend(await self.joined(Principal(id="p"), "things.create", []))

    async def join_unit(self: Any, principal: Any, action: str, unit: Any) -> list[str]:
        return [action]

    plugins = with_hooks("a", on_started=on_started), with_hooks("b", join_unit=join_unit)
    async with kernel_with(*plugins) as server:
        assert told == ["things.create"]
        await server.kernel.reload(server.kernel.config)
        assert told == ["things.create"] * 2


async def test_a_plugin_that_cannot_begin_is_failed_and_the_others_serve() -> None:
    async def raises(self: Any) -> None:
        raise OSError("gone")

    async with kernel_with(Greeter, with_hooks("a", on_started=raises)) as server:
        plugins = {each["name"]: each for each in (await server.get("/-/plugins")).json()["data"]}
        assert plugins["a"]["state"] == "failed"
        assert plugins["a"]["reason"] == "on_started: OSError: gone"
        assert (await server.get("/hello")).status_code == 200


async def test_hook_on_drain() -> None:
    told: list[str] = []

    async def on_drain(self: Any) -> None:
        told.append(self.name)

    async def raises(self: Any) -> None:
        raise OSError("gone")

    plugins = with_hooks("a", on_drain=raises), with_hooks("b", on_drain=on_drain)
    async with kernel_with(Greeter, *plugins) as server:
        assert told == []
        await server.kernel.drain()
        assert told == ["b"]
        assert server.kernel.is_draining
        # Who is there already is served to the end.
        assert (await server.get("/hello")).status_code == 200
    assert told == ["b"]


async def test_hook_check_health() -> None:
    async def check_health(self: Any) -> Health:
        return Health(status="degraded", detail="the disk is nearly full; free some space")

    async with kernel_with(with_hooks("disk", check_health=check_health)) as server:
        ready = (await server.get("/health/ready")).json()
        assert ready["status"] == "degraded"
        assert ready["plugins"]["disk"]["detail"].startswith("the disk is nearly full")
        plugins = {each["name"]: each for each in (await server.get("/-/plugins")).json()["data"]}
        assert plugins["disk"]["health"]["status"] == "degraded"
        assert plugins["everyone"]["health"] is None


async def test_a_health_check_that_raises_or_hangs_is_down_and_delays_no_other() -> None:
    async def raises(self: Any) -> Health:
        raise OSError("gone")

    async def hangs(self: Any) -> Health:
        await asyncio.Event().wait()
        return Health()

    async def well(self: Any) -> Health:
        return Health()

    plugins = [
        with_hooks("a", check_health=raises),
        with_hooks("b", check_health=hangs),
        with_hooks("c", check_health=well),
    ]
    async with kernel_with(*plugins, settings={"server": {"health_s": 0.05}}) as server:
        data = (await server.get("/-/plugins")).json()["data"]
        health = {each["name"]: each["health"] for each in data}
    assert health["a"] == {"status": "down", "detail": "OSError: gone"}
    assert health["b"] == {"status": "down", "detail": "no answer within 0.05 s"}
    assert health["c"] == {"status": "ok", "detail": ""}


# --- the rules of hooks --------------------------------------------------------------------------


async def _asynchronous(self: Any) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("hook", "function", "reason"),
    [
        ("register_tolls", lambda self: [], "unknown hook 'register_tolls'; did you mean 'reg"),
        (
            "on_events",
            lambda self, event: None,
            "unknown hook 'on_events'; did you mean 'on_event'?",
        ),
        (
            "weather",
            lambda self: None,
            "there are around_authenticate, around_call, ",
        ),
        ("on_event", lambda self, evnt: None, "'evnt'"),
        ("authorize", lambda self, principal, what: None, "'what'"),
        ("authorize", lambda self, principal, action: None, "'authorize' must be async def"),
        ("register_tools", _asynchronous, "'register_tools' must be def, without async"),
    ],
)
async def test_a_misspelt_hook_or_argument_is_refused_and_named(
    hook: str, function: Callable[..., Any], reason: str
) -> None:
    async with kernel_with(with_hooks("odd", **{hook: function}), Greeter) as server:
        state, why = server.state("odd")
        assert state == "failed"
        assert reason in why
        assert server.state("greeter")[0] == "running"


async def test_no_key_is_called_wrong_or_missing_while_nobody_can_check_it() -> None:
    async with kernel_with("keys", Greeter) as server:
        assert server.state("keys")[0] == "blocked"
        answer = await server.get("/hello", headers={"authorization": "Bearer right"})
    assert answer.status_code == 503
    error = answer.json()["error"]
    assert error["code"] == "plugin_unavailable"
    assert "'keys'" in error["message"]


async def test_hooks_are_asked_in_the_order_of_the_start_tryfirst_before_all() -> None:
    asked: list[str] = []

    def notes(name: str) -> Callable[..., Any]:
        async def authorize(self: Any, principal: Principal, action: str, resource: Any) -> None:
            asked.append(name)

        return authorize

    plugins = [with_hooks(name, authorize=notes(name)) for name in ("b", "a", "c")]
    eager = type("Eager", (Plugin,), {"name": "eager", "__doc__": "First."})
    eager.authorize = hookimpl(notes("eager"), tryfirst=True)  # type: ignore[attr-defined]
    late = type("Late", (Plugin,), {"name": "a_late", "__doc__": "Last."})
    late.authorize = hookimpl(notes("late"), trylast=True)  # type: ignore[attr-defined]
    async with kernel_with(Greeter, late, *plugins, eager) as server:
        await server.get("/hello")
    assert asked == ["eager", "a", "b", "c", "late"]


async def test_looking_for_hooks_touches_no_port() -> None:
    from famulus import need
    from famulus_schemas.ports import RECORDS

    class Needy(Plugin[NoSettings]):
        """Needs a port that nobody fills."""

        name = "needy"
        records = need(RECORDS)

        @hookimpl
        async def check_health(self) -> Health:
            return Health()

    async with kernel_with(Needy) as server:
        assert server.state("needy")[0] == "blocked"


async def test_a_plugin_that_does_not_run_is_asked_nothing() -> None:
    asked: list[str] = []

    class Broken(Plugin[NoSettings]):
        """Cannot start."""

        name = "broken"

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            raise OSError("no")
            yield

        @hookimpl
        async def authorize(self, principal: Principal, action: str, resource: str | None) -> None:
            asked.append("broken")

    async with kernel_with(Greeter, Broken) as server:
        assert (await server.get("/hello")).status_code == 200
    assert asked == []
