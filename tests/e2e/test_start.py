"""What it costs to start, what is imported for it, and whom a server talks to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from typing import Any

from tests.e2e.processes import cpu_s, pss_bytes
from tests.e2e.serving import KEY, Served, serve
from tests.e2e.tracing import ended, system_calls, under_strace

CPU_S_MAX = 2.0
"""Half as much again as the 1.3 that a start takes on two slow cores that others use, too."""
PSS_BYTES_MAX = 100_000_000
SERVING = frozenset(
    {"aiosqlite", "anyio", "click", "httptools", "idna", "msgspec", "multipart", "pluggy"}
    | {"sniffio", "starlette", "structlog", "typing_extensions", "uvicorn", "uvloop", "watchfiles"}
)
"""Packages of others that every start may import; whatever else is a plugin's, and imported by
what needs it when it needs it."""
REACHING = frozenset(
    {"aiohappyeyeballs", "aiohttp", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"}
)
"""And what one may that has a model server to reach."""
LOOKED_FOR = frozenset(
    {
        "_distutils_hack",
        "attr",
        "better_exceptions",
        "brotli",
        "colorama",
        "dotenv",
        "greenlet",
        "markdown_it",
    }
    | {"mdurl", "pygments", "rich", "websockets", "yaml"}
)
"""What these, or Python itself, import where it happens to be installed, too."""
TELLS = {
    "sentences": "famulus_sentences.weights",  # whether there are any
}
"""Modules besides `plugin` and `settings` that tell whether a plugin is on."""
IMPORTS = '''
"""Tells what is imported."""
import sys
import msgspec
from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations

class Imported(msgspec.Struct):
    modules: list[str]

class Imports(Plugin[NoSettings]):
    """Tells what is imported."""

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/test/modules", action="modules.read")
    async def get_modules(self, call: Call) -> Imported:
        """Tell it."""
        return Imported(modules=[name for name, found in sys.modules.items() if found])
'''
CONNECTING = "connect,sendto,sendmsg,sendmmsg"
STARTS = 3
"""The cheapest counts: what other work on the machine adds to the price is not the server's."""


def test_it_is_ready_after_little_work(scripted_url: str, tmp_path: Path) -> None:
    # As it is installed: pip compiles what it installs. Here the first of the starts does.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    spent = []
    for number in range(STARTS):
        with serve(
            tmp_path / str(number), arguments=["--backend", scripted_url], environment=compiled
        ) as served:
            spent.append(cpu_s(served.process.pid))
    assert min(spent) <= CPU_S_MAX


@contextmanager
def imported(folder: Path, *arguments: str) -> Iterator[tuple[Served, set[str]]]:
    """A server that has just started, and what it has imported."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "imports.py").write_text(IMPORTS)
    with serve(folder, arguments=["--plugins-dir", str(plugins), *arguments]) as served:
        yield served, set(served.get("/test/modules").json()["modules"])


def of_others(modules: set[str]) -> set[str]:
    """The packages that were installed and are not ours."""
    packages = {name.partition(".")[0] for name in modules} & set(packages_distributions())
    return {each for each in packages if not each.startswith("famulus")}


def test_a_start_imports_no_package_that_only_some_servers_need(tmp_path: Path) -> None:
    with imported(tmp_path) as (_, modules):
        assert "starlette" in of_others(modules)
        assert of_others(modules) - LOOKED_FOR <= SERVING


def test_one_that_has_a_model_server_imports_what_reaches_it(
    scripted_url: str, tmp_path: Path
) -> None:
    with imported(tmp_path, "--backend", scripted_url) as (_, modules):
        assert "aiohttp" in of_others(modules)
        assert of_others(modules) - LOOKED_FOR <= SERVING | REACHING


def test_of_a_plugin_that_is_off_only_what_tells_so_is_imported(tmp_path: Path) -> None:
    packages = {each.name: each.module for each in entry_points(group="famulus.plugins")}
    with imported(tmp_path) as (served, modules):
        listed: list[dict[str, Any]] = served.get("/-/plugins").json()["data"]
    off = [each["name"] for each in listed if each["state"] == "off"]
    assert {"hnsw", "oidc", "otel", "postgres", "redis", "s3", "vllm"} <= set(off)
    for name in off:
        package = packages[name]
        of_it = {each for each in modules if each.startswith(f"{package}.")}
        tells = {f"{package}.plugin", f"{package}.settings", TELLS.get(name)}
        assert of_it <= tells, name


def test_no_command_is_imported_but_the_one_that_is_given(tmp_path: Path) -> None:
    with imported(tmp_path) as (_, modules):
        assert not [each for each in modules if re.search(r"^famulus_\w+\.commands?$", each)]


def test_it_is_small_after_its_first_requests(scripted_url: str, tmp_path: Path) -> None:
    with serve(tmp_path, arguments=["--backend", scripted_url]) as served:
        ask_ten_times(served)
        assert pss_bytes(served.process.pid) <= PSS_BYTES_MAX


def test_it_connects_to_its_model_server_and_to_nobody_else(
    scripted_url: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    strace = under_strace(trace, CONNECTING)
    with serve(tmp_path, arguments=["--backend", scripted_url], under=strace) as served:
        ask_ten_times(served)
    backend = scripted_url.removesuffix("/v1").rpartition(":")[2]
    assert addresses_in(trace) == {("127.0.0.1", backend)}


def test_told_of_no_model_server_it_looks_at_this_machine_only(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with serve(tmp_path, under=under_strace(trace, CONNECTING)):
        pass
    assert {host for host, _ in addresses_in(trace)} == {"127.0.0.1"}


def addresses_in(trace: Path) -> set[tuple[str, str]]:
    """Hosts and ports that were connected to, or that a packet was sent to."""
    found = set()
    for call in system_calls(ended(trace)):
        if "sa_family=AF_INET" in call.text:
            host = re.search(r'inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"', call.text)
            port = re.search(r"port=htons\((\d+)\)", call.text)
            assert host is not None, call.text
            assert port is not None, call.text
            found.add((host[1], port[1]))
    return found


def test_the_key_is_not_logged_at_the_start(scripted_url: str, tmp_path: Path) -> None:
    with serve(tmp_path, arguments=["--backend", scripted_url, "--log-level", "debug"]) as served:
        ask_ten_times(served)
    assert served.events()
    assert KEY not in served.log.read_text()


def ask_ten_times(served: Served) -> None:
    """What most clients ask for: ten requests, of which three end at the model."""
    said = [{"role": "user", "content": "Hello"}]
    with served.client() as client:
        client.models.list()
        assistant = client.beta.assistants.create(model="scripted")
        thread = client.beta.threads.create()
        client.beta.threads.messages.create(thread.id, role="user", content="Hello")
        client.beta.threads.messages.list(thread.id)
        client.chat.completions.create(model="scripted", messages=said)  # type: ignore[arg-type]
        for _ in client.chat.completions.create(
            model="scripted",
            messages=said,  # type: ignore[arg-type]
            stream=True,
        ):
            pass
        events = list(
            client.beta.threads.runs.create(thread.id, assistant_id=assistant.id, stream=True)
        )
        assert events[-1].event == "thread.run.completed"
        client.beta.threads.runs.list(thread.id)
        client.beta.threads.messages.list(thread.id)
