"""The boundaries that the architecture stands on, read from the sources themselves."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LIBRARIES = {
    "famulus_boxes": "what local sandboxes share: all but how a box is shut in",
    "famulus_http_models": "speaks to model servers over HTTP for those that reach one",
    "famulus_indexes": "searches vectors and words in this process, exactly",
}
"""Folders in `plugins/` that are no plugin, each with what it is for."""

MAY_IMPORT = {
    ("famulus_exact_vectors", "famulus_indexes"): "provides what the library has",
    ("famulus_bubblewrap", "famulus_boxes"): "shuts in boxes that are run like all others",
    ("famulus_builtin", "famulus_indexes"): "knows forms of one word as searches do",
    ("famulus_file_search", "famulus_indexes"): "knows forms of one word as searches do",
    ("famulus_hnsw", "famulus_indexes"): "is exact in small stores, and in what passes filters",
    ("famulus_landlock", "famulus_boxes"): "shuts in boxes that are run like all others",
    ("famulus_pgvector", "famulus_indexes"): "takes texts apart and brings stores in as others do",
    ("famulus_openai_compatible", "famulus_http_models"): "every server of this API speaks alike",
    (
        "famulus_remote_sandbox",
        "famulus_boxes",
    ): "gives places and tells what cells show as they do",
    ("famulus_sandbox", "famulus_boxes"): "installs packages where boxes look for them",
    ("famulus_vllm", "famulus_http_models"): "vLLM's own endpoints are added to the same client",
}
"""The only imports from one folder of `plugins/` to another, each with its reason."""

MAY_IMPORT_PYDANTIC = {
    "famulus_conformance": "reads the official client's types, which are pydantic's, in a command",
}
"""The only folders of `plugins/` that import pydantic, and in no server, each with its reason."""

SYSTEM_RECORDS = {
    "famulus_audit": "tells an administrator what was done in every project",
    "famulus_containers": "ends containers whose time is over, in every project",
    "famulus_files": "ends files and uploads of every project that have expired",
    "famulus_idempotency": "forgets keys of every project once they are over",
    "famulus_jobs": "takes jobs of every project, and takes over those of dead workers",
    "famulus_rate_limits": "asks once a second whether any project has limits of its own",
    "famulus_retention": "deletes what is too old, and erases, in every project",
    "famulus_runs": "ends runs of every project whose client never came back",
    "famulus_usage": "adds up what every project used, and tells administrators of all",
    "famulus_vector_stores": "ends vector stores of every project that have expired",
    "famulus_keys": "finds a key by its hash before it is known whose project it is",
}
"""The only plugins that see the records of all projects, each with its reason."""

HTTP_CLIENTS = {
    "kernel/famulus/testing/kit.py": "asks the server that a test started",
    "kernel/famulus/testing/transport.py": "asks the server that a test started, in its process",
    "kernel/famulus/testing/scripted_server.py": "serves a scripted model to tests",
    "plugins/famulus_conformance/command.py": "a command that asks the server it is pointed at",
    "plugins/famulus_conformance/fuzz_served.py": "the same",
    "plugins/famulus_conformance/streams.py": "the same",
    "plugins/famulus_conformance/streams_asking.py": "the same",
    "plugins/famulus_conformance/target.py": "the same",
    "plugins/famulus_fetch/client.py": "asks whom clients and contents name, after checking whom",
    "plugins/famulus_fetch/holding.py": "reads what that is answered",
    "plugins/famulus_http_models/link.py": "asks model servers, which the configuration names",
    "plugins/famulus_oidc/documents.py": "asks issuers, which the configuration names, for keys",
    "plugins/famulus_oidc/plugin.py": "opens the client that asks them",
    "plugins/famulus_otel/exporter.py": "sends spans to the one collector of the configuration",
    "plugins/famulus_otel/plugin.py": "opens the client that sends them",
    "plugins/famulus_remote_sandbox/channel.py": "asks the one gateway of the configuration",
    "plugins/famulus_remote_sandbox/gateway.py": "asks the one gateway of the configuration",
}
"""The only modules that import what speaks HTTP, each with its reason. Blobs go to the one endpoint
of the configuration by obstore, which no other plugin imports."""

HTTP_LIBRARIES = {
    *("aiohttp", "httpx", "httpx2", "httpcore", "requests", "urllib3", "websockets", "websocket"),
    *("http.client", "urllib.request", "ftplib", "smtplib", "telnetlib", "xmlrpc", "obstore"),
}

SOCKETS = {
    "kernel/famulus/handshakes.py": "accepts",
    "kernel/famulus/listening.py": "listens",
    "kernel/famulus/server.py": "listens",
    "kernel/famulus/testing/scripted_server.py": "listens, in tests",
    "plugins/famulus_boxes/probing.py": "is bait for what is tried in a box",
    "plugins/famulus_fetch/client.py": "makes sockets for checked addresses alone",
    "plugins/famulus_fetch/resolving.py": "asks the resolver",
    "plugins/famulus_hnsw/searcher.py": "talks to a child over a pair",
    "plugins/famulus_openai_compatible/discovery.py": "looks at known ports of this machine",
    "plugins/famulus_sqlite/lockfile.py": "names the machine that has the lock",
}
"""The only modules that import `socket`, each with its reason."""

CONNECTING = {"open_connection", "create_connection", "open_unix_connection", "sock_connect"}
"""What asyncio connects by."""

THE_KIT = ROOT / "kernel" / "famulus" / "testing"
"""Plays a foreign model server, whose paths are that server's; everything else has none."""

Complaints = Iterator[tuple[int, str]]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported module with its line; what only type checkers read is an import too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def top(module: str) -> str:
    return module.partition(".")[0]


# --- the rules: each says what is wrong in one source ------------------------------------------


def schemas_import_only_msgspec(source: str) -> Complaints:
    for line, module in imported(ast.parse(source)):
        known = top(module) in sys.stdlib_module_names
        if not known and top(module) not in ("msgspec", "famulus_schemas"):
            yield line, f"schemas import {module}"


def the_kernel_imports_no_plugin(source: str) -> Complaints:
    for line, module in imported(ast.parse(source)):
        if top(module).startswith("famulus_") and top(module) != "famulus_schemas":
            yield line, f"the kernel imports {module}"


def the_kernel_knows_no_api(source: str) -> Complaints:
    for number, line in enumerate(source.splitlines(), 1):
        if "/v1" in line:
            yield number, "the kernel speaks of /v1"


def a_plugin_imports_no_plugin(owner: str) -> Callable[[str], Complaints]:
    def rule(source: str) -> Complaints:
        for line, module in imported(ast.parse(source)):
            other = top(module)
            if not other.startswith("famulus_") or other in ("famulus_schemas", owner):
                continue
            if (owner, other) not in MAY_IMPORT:
                yield line, f"{owner} imports {module}; reach it by a port"

    return rule


def nobody_imports_pydantic(source: str) -> Complaints:
    for line, module in imported(ast.parse(source)):
        if top(module) in ("pydantic", "pydantic_settings", "fastapi"):
            yield line, f"imports {module}; the server's structs are msgspec's"


def imports_are_absolute(source: str) -> Complaints:
    for line, module in imported(ast.parse(source)):
        if module.startswith("."):
            yield line, "imports by a relative path"


def middleware_is_pure_asgi(source: str) -> Complaints:
    for node in ast.walk(ast.parse(source)):
        names = {getattr(node, "id", ""), getattr(node, "attr", ""), getattr(node, "name", "")}
        if "BaseHTTPMiddleware" in names:
            yield getattr(node, "lineno", 0), "uses BaseHTTPMiddleware, which holds streams back"


def catching_everything_has_a_reason(source: str) -> Complaints:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            yield node.lineno, "catches everything by a bare except"
            continue
        caught = {getattr(name, "id", "") for name in ast.walk(node.type)}
        passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        if not caught & {"Exception", "BaseException"} or passed_on:
            continue
        if "# " not in lines[node.lineno - 1]:
            yield node.lineno, "catches Exception and gives no reason on the line"


def speaks_http(source: str) -> bool:
    """Whether a module imports what speaks HTTP to others."""
    found = _with_names(ast.parse(source))
    return any(top(name) in HTTP_LIBRARIES or name in HTTP_LIBRARIES for name in found)


def makes_sockets(source: str) -> bool:
    """Whether a module could make connections by itself."""
    tree = ast.parse(source)
    called = {getattr(node, "attr", "") for node in ast.walk(tree)}
    return "socket" in _with_names(tree) or bool(called & CONNECTING)


def _with_names(tree: ast.AST) -> set[str]:
    """Imported modules, and what is imported from one, which may be a module as well.

    What only type checkers read speaks to nobody.
    """
    unread = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for each in node.body
        for inner in ast.walk(each)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in unread:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in unread:
            found |= {node.module or "", *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def asks_for_all_projects(source: str) -> bool:
    """Whether a plugin needs or wants the view of every project's records."""
    return any(
        getattr(node.func, "id", "") in ("need", "want")
        and any(getattr(argument, "attr", "") == "system" for argument in node.args)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    )


# --- the sources ---------------------------------------------------------------------------------


def sources(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"{folder} holds no sources"
    return found


def complaints(rule: Callable[[str], Complaints], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {complaint}"
        for path in paths
        for line, complaint in rule(path.read_text())
    ]


SCHEMAS = ROOT / "schemas" / "famulus_schemas"
KERNEL = ROOT / "kernel" / "famulus"
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if path.is_dir())
EVERYTHING = [*sources(SCHEMAS), *sources(KERNEL), *sources(ROOT / "plugins")]


def test_schemas_import_nothing_of_ours() -> None:
    assert complaints(schemas_import_only_msgspec, sources(SCHEMAS)) == []


def test_the_kernel_imports_no_plugin() -> None:
    assert complaints(the_kernel_imports_no_plugin, sources(KERNEL)) == []


def test_the_kernel_names_no_path_of_the_api() -> None:
    kernel = [path for path in sources(KERNEL) if THE_KIT not in path.parents]
    templates = sorted((KERNEL / "templates").glob("*.template"))
    assert templates
    assert complaints(the_kernel_knows_no_api, [*kernel, *templates]) == []


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_no_other(folder: Path) -> None:
    assert complaints(a_plugin_imports_no_plugin(folder.name), sources(folder)) == []


def test_every_permission_to_import_is_used() -> None:
    used = {
        (folder.name, top(module))
        for folder in PLUGINS
        for path in sources(folder)
        for _, module in imported(ast.parse(path.read_text()))
        if top(module) in LIBRARIES and top(module) != folder.name
    }
    assert used == set(MAY_IMPORT)


def test_nobody_imports_pydantic() -> None:
    excepted = {ROOT / "plugins" / name for name in MAY_IMPORT_PYDANTIC}
    others = [path for path in EVERYTHING if not excepted & set(path.parents)]
    assert complaints(nobody_imports_pydantic, others) == []
    for folder in excepted:
        assert complaints(nobody_imports_pydantic, sources(folder))


def test_imports_are_absolute() -> None:
    assert complaints(imports_are_absolute, EVERYTHING) == []


def test_all_middleware_is_pure_asgi() -> None:
    assert complaints(middleware_is_pure_asgi, EVERYTHING) == []


def test_whoever_catches_everything_says_why() -> None:
    assert complaints(catching_everything_has_a_reason, EVERYTHING) == []


def test_only_these_plugins_see_the_records_of_all_projects() -> None:
    asking = {
        folder.name
        for folder in PLUGINS
        if any(asks_for_all_projects(path.read_text()) for path in sources(folder))
    }
    assert asking == set(SYSTEM_RECORDS)


@pytest.mark.parametrize(
    ("rule", "allowed"), [(speaks_http, HTTP_CLIENTS), (makes_sockets, SOCKETS)]
)
def test_only_these_modules_reach_others(
    rule: Callable[[str], bool], allowed: dict[str, str]
) -> None:
    reaching = {str(path.relative_to(ROOT)) for path in EVERYTHING if rule(path.read_text())}
    of_blobs = {path for path in reaching if path.startswith("plugins/famulus_s3/")}
    assert reaching - of_blobs == set(allowed)


def entry_points() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    points: dict[str, str] = project["entry-points"]["famulus.plugins"]
    return points


def test_every_entry_point_is_a_folder_and_every_folder_an_entry_point() -> None:
    modules = sorted(value.partition(":")[0] for value in entry_points().values())
    plugins = sorted(folder.name for folder in PLUGINS if folder.name not in LIBRARIES)
    assert modules == plugins


def test_a_plugin_is_named_after_its_folder() -> None:
    for name, value in entry_points().items():
        assert value.partition(":")[0] == f"famulus_{name}"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_whole(folder: Path) -> None:
    for name in ("__init__.py", "py.typed", "README.md"):
        assert (folder / name).is_file(), f"{folder.name} has no {name}"
    tests = ROOT / "tests" / "plugins" / folder.name.removeprefix("famulus_")
    assert list(tests.glob("test_*.py")), f"{tests.relative_to(ROOT)} holds no tests"


@pytest.mark.parametrize("path", [ROOT / "kernel/famulus", ROOT / "schemas/famulus_schemas"])
def test_kernel_and_schemas_are_typed(path: Path) -> None:
    assert (path / "py.typed").is_file()


# --- the rules see what they are for -------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (schemas_import_only_msgspec, "import starlette"),
        (schemas_import_only_msgspec, "from famulus.plugin import Plugin"),
        (schemas_import_only_msgspec, "if TYPE_CHECKING:\n    from famulus import Plugin"),
        (the_kernel_imports_no_plugin, "from famulus_sqlite.store import SqliteStore"),
        (the_kernel_imports_no_plugin, "def late():\n    import famulus_runs.engine"),
        (the_kernel_knows_no_api, 'PATH = f"{url}/v1"'),
        (the_kernel_knows_no_api, "# as in /v1/models"),
        (a_plugin_imports_no_plugin("famulus_threads"), "import famulus_runs"),
        (a_plugin_imports_no_plugin("famulus_threads"), "from famulus_http_models import link"),
        (nobody_imports_pydantic, "from pydantic import BaseModel"),
        (imports_are_absolute, "from .store import Store"),
        (middleware_is_pure_asgi, "from starlette.middleware.base import BaseHTTPMiddleware"),
        (middleware_is_pure_asgi, "class Late(base.BaseHTTPMiddleware): ..."),
        (catching_everything_has_a_reason, "try: ...\nexcept: ..."),
        (catching_everything_has_a_reason, "try: ...\nexcept Exception: ..."),
        (catching_everything_has_a_reason, "try: ...\nexcept (OSError, Exception) as e: ..."),
        (catching_everything_has_a_reason, "try: ...\nexcept BaseException as error: ..."),
    ],
)
def test_a_breach_is_seen(rule: Callable[[str], Complaints], source: str) -> None:
    assert len(list(rule(source))) == 1


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (schemas_import_only_msgspec, "import re\nfrom msgspec import Struct"),
        (schemas_import_only_msgspec, "from famulus_schemas.wire import Answer"),
        (the_kernel_imports_no_plugin, "import famulus_schemas.ports\nimport famulus.plugin"),
        (a_plugin_imports_no_plugin("famulus_threads"), "from famulus_threads.store import Store"),
        (a_plugin_imports_no_plugin("famulus_vllm"), "from famulus_http_models.link import Link"),
        (catching_everything_has_a_reason, "try: ...\nexcept OSError: ..."),
        (catching_everything_has_a_reason, "try: ...\nexcept BaseException:\n    end()\n    raise"),
        (catching_everything_has_a_reason, "try: ...\nexcept Exception:  # It is a guest.\n    x"),
    ],
)
def test_what_is_allowed_is_no_breach(rule: Callable[[str], Complaints], source: str) -> None:
    assert list(rule(source)) == []


def test_asking_for_all_projects_is_seen_and_providing_is_not_asking() -> None:
    assert asks_for_all_projects("class A:\n    all = need(RECORDS.system)")
    assert asks_for_all_projects("class A:\n    all = want(RECORDS.system)")
    assert not asks_for_all_projects("class A:\n    provides = (RECORDS, RECORDS.system)")
    assert not asks_for_all_projects("class A:\n    mine = need(RECORDS)")


@pytest.mark.parametrize(
    "source",
    [
        "import aiohttp",
        "def late():\n    import httpx",
        "from urllib.request import urlopen",
        "from urllib import request",
        "import http.client as c",
        "from http import client",
        "from obstore.store import S3Store",
        "if TYPE_CHECKING:\n    import msgspec\nelse:\n    import aiohttp",
    ],
)
def test_what_speaks_http_is_seen(source: str) -> None:
    assert speaks_http(source)


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import quote",
        "if TYPE_CHECKING:\n    import aiohttp",
        "from http import HTTPStatus",
    ],
)
def test_what_only_reads_urls_does_not_speak_http(source: str) -> None:
    assert not speaks_http(source)


def test_what_makes_sockets_is_seen() -> None:
    assert makes_sockets("import socket")
    assert makes_sockets("from socket import create_connection")
    assert makes_sockets("await asyncio.open_connection(host, port)")
    assert not makes_sockets("import sockets")
