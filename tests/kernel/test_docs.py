"""README.md is held to the code: what it lists is what there is, and what it shows works."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import click
import pytest

from famulus import hookspecs
from famulus.cli import command_line
from famulus.config import load_config
from famulus.kernel import Kernel
from famulus.operations import Operation
from famulus.server_settings import ServerSettings
from famulus.setting_fields import settings_fields
from famulus.testing import live_server
from famulus.testing.kit import quiet_log
from famulus_schemas import errors, ports
from famulus_schemas.errors import Fault
from famulus_schemas.ports import Port

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TREES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    """The script that writes the tables."""
    spec = importlib.util.spec_from_file_location("ops_docs", ROOT / "ops" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(language: str) -> list[str]:
    found = [body for name, body in BLOCK.findall(README) if name == language]
    assert found, f"README has no block of {language}"
    return found


# --- what is listed is what there is -------------------------------------------------------------


def test_the_generated_parts_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "ops/docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_difference_is_seen_and_mended(docs: ModuleType) -> None:
    spoilt = README.replace("`async check_health(", "`check_wealth(").replace("`drain_s`", "`x`")
    assert spoilt.count("check_wealth") == 1
    assert docs.written(spoilt) == README


def test_an_unknown_section_is_an_error(docs: ModuleType) -> None:
    with pytest.raises(LookupError, match="there is no section 'weather'"):
        docs.written("<!-- begin: weather -->\nsunny\n<!-- end: weather -->")


@pytest.mark.parametrize("name", [n for n, f in vars(hookspecs).items() if inspect.isfunction(f)])
def test_every_hook_is_there_with_its_exact_signature(name: str) -> None:
    tree = ast.parse(inspect.getsource(hookspecs))
    [node] = [
        each
        for each in tree.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name == name
    ]
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    assert node.returns is not None
    arguments, returns = ast.unparse(node.args), ast.unparse(node.returns)
    assert f"- `{word}{name}({arguments}) -> {returns}`" in README
    assert ast.get_docstring(node) in README


@pytest.mark.parametrize("port", ports.ALL_PORTS, ids=lambda port: port.name)
def test_every_port_is_there(port: Port[object]) -> None:
    assert f"- `{port.name}`: `" in README


def test_every_setting_of_the_server_is_there_with_its_default_and_reason() -> None:
    table = README.partition("<code>[server]</code>")[2].partition("</details>")[0]
    for field, why, env, flag in settings_fields(ServerSettings):
        [row] = [row for row in table.splitlines() if row.startswith(f"| `{field.name}` |")]
        assert why
        assert why in row
        assert all(f"`{each}`" in row for each in (env, flag) if each)


def test_every_setting_of_every_plugin_is_there_with_a_reason(docs: ModuleType) -> None:
    for name, plugin_type in docs.plugin_types().items():
        fields = list(settings_fields(plugin_type.settings_type))
        if not fields:
            continue
        head = f"<summary><code>[plugins.{name}]</code></summary>"
        assert README.count(head) == 1
        table = README.partition(head)[2].partition("</details>")[0]
        for field, why, _, _ in fields:
            assert why, f"{name}.{field.name} has no reason"
            assert f"| `{field.name}` |" in table


def test_every_command_is_there() -> None:
    def words(prefix: str, command: click.Command) -> Iterator[str]:
        if not isinstance(command, click.Group):
            yield prefix
            return
        for name, each in command.commands.items():
            yield from words(f"{prefix} {name}", each)

    listed = list(words("famulus", command_line().whole()))
    assert {"famulus serve", "famulus demo", "famulus keys create"} <= set(listed)
    for each in listed:
        assert re.search(rf"^- `{each}[` ]", README, re.MULTILINE), each


@pytest.mark.parametrize(
    "fault",
    [each for each in vars(errors).values() if isinstance(each, Fault)],
    ids=lambda f: f.text,
)
def test_every_error_is_there(fault: Fault) -> None:
    code = f"`{fault.code}`" if fault.code else ""
    text = fault.text.replace("<", "&lt;").replace("|", "\\|")
    assert f"| {fault.status} | {code} | {text} |" in README


def test_every_plugin_is_there() -> None:
    for folder in sorted((ROOT / "plugins").glob("famulus_*/")):
        if folder.name not in ("famulus_boxes", "famulus_http_models", "famulus_indexes"):
            assert f"](plugins/{folder.name})" in README


# --- what is shown works -------------------------------------------------------------------------


@pytest.mark.parametrize("name", TREES)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in LINK.findall((ROOT / name).read_text()):
        assert (ROOT / target).exists(), f"{name} links to {target}"


def test_every_path_that_is_named_is_there() -> None:
    for name in re.findall(
        r"`((?:kernel|schemas|plugins|tests|conformance|ops)/[\w/.-]*)`", README
    ):
        assert (ROOT / name).exists() or "<" in name, name


def commands() -> list[str]:
    """Every command of the README, one a line."""
    lines = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_exists_with_its_flags(line: str) -> None:
    for part in line.split(" && "):
        words = shlex.split(part)
        program = Path(words[0]).name
        if program == "famulus":
            _parsed(words[1:])
        elif program in ("pip", "pip3"):
            _installs(words[1:])
        elif program in ("python", "python3"):
            assert words[1:] == ["-m", "venv", ".venv"]
        elif program == "pytest":
            assert words[1:] == []
        else:
            assert program == "export", f"nothing checks {part!r}"
            assert "=" in words[1]


def _parsed(arguments: list[str]) -> None:
    """Have click read the arguments as it would, without calling anything."""
    command: click.Command = command_line()
    context = click.Context(command, info_name="famulus")
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert found is not None
        context = click.Context(found, info_name=name, parent=context)
        command = found
    command.parse_args(context, arguments)


def _installs(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    flags = {"-q", "-e", "-r", "--no-deps", "--require-hashes"}
    for argument in arguments[1:]:
        if argument in flags:
            continue
        path, _, extras = argument.rstrip("]").partition("[")
        assert (ROOT / path).exists()
        for extra in filter(None, extras.split(",")):
            assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


def test_a_command_that_does_not_exist_would_be_seen() -> None:
    for wrong in (["serve", "--bakend", "x"], ["server"], ["new-plugin"]):
        with pytest.raises(click.UsageError):
            _parsed(wrong)


@pytest.mark.parametrize("block", blocks("toml")[:1])
def test_the_configuration_that_is_shown_would_start(block: str, tmp_path: Path) -> None:
    path = tmp_path / "famulus.toml"
    path.write_text(block)
    kernel = Kernel(load_config(path, environment={"MY_API_KEY": "sk-1"}), log=quiet_log())
    slots = kernel.plan()
    assert slots["openai_compatible"].settings.backend == ["http://127.0.0.1:8000/v1"]  # type: ignore[union-attr]
    assert slots["models"].settings.aliases["gpt-4o"] == "qwen3"  # type: ignore[union-attr]
    assert [name for name, slot in slots.items() if slot.state == "failed"] == []


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.split("\n")[0])
def test_the_python_that_is_shown_compiles(block: str) -> None:
    compile(block, "README.md", "exec")


@asynccontextmanager
async def served(tmp_path: Path, toml: str = "") -> typing.AsyncIterator[str]:
    """A server as `famulus serve` starts it, with all of our plugins."""
    file = tmp_path / "famulus.toml"
    file.write_text(toml)
    keys = {"api_key": "sk-readme", "admin_api_key": "sk-admin-readme"}
    quiet = {"openai_compatible": {"discover": False}, "keys": keys}
    config = load_config(
        file,
        environment={},
        flags={"server": {"data_dir": str(tmp_path / "data"), "drain_s": 2}, **quiet},
    )
    async with live_server(Kernel(config, log=quiet_log())) as url:
        yield url


async def run_as_shown(block: str, url: str) -> str:
    """What a block of the README prints, as a client of the server at that URL."""
    import asyncio

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", block.replace("http://127.0.0.1:8400", url)],
        env={
            **os.environ,
            "OPENAI_API_KEY": "sk-readme",
            "OPENAI_ADMIN_KEY": "sk-admin-readme",
            "OPENAI_BASE_URL": f"{url}/v1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_client_code_that_is_shown_gets_its_answer(tmp_path: Path) -> None:
    [block] = [block for block in blocks("python") if "base_url=" in block]
    assert block.count("http://127.0.0.1:8400") == 1
    async with served(tmp_path) as url:
        printed = await run_as_shown(block, url)
    assert printed.startswith("completed ")
    assert "42" in printed


async def test_the_administration_that_is_shown_makes_a_key(tmp_path: Path) -> None:
    [makes] = [block for block in blocks("python") if "service_accounts" in block]
    [audits] = [block for block in blocks("python") if "audit_logs" in block]
    async with served(tmp_path) as url:
        assert (await run_as_shown(makes, url)).startswith("sk-fam-")
        told = await run_as_shown(audits, url)
    assert " api_key.created key_" in told


async def test_the_usage_that_is_shown_is_told(tmp_path: Path) -> None:
    [block] = [block for block in blocks("python") if "usage.costs" in block]
    [prices] = [block for block in blocks("toml") if "[plugins.usage" in block]
    async with served(tmp_path, prices) as url:
        first, second = (await run_as_shown(block, url)).splitlines()
    assert first.startswith("default famulus-builtin 1 request, tokens: ")
    assert re.search(r"value=[0-9.e-]*[1-9]", second)
    assert "currency='usd'" in second


async def test_the_search_that_is_shown_cites_what_is_shown(tmp_path: Path) -> None:
    [block] = [block for block in blocks("python") if "file_search" in block and "OpenAI" in block]
    [shown] = [block for block in blocks("text") if "holidays.md" in block]
    async with served(tmp_path) as url:
        assert await run_as_shown(block, url) == shown


async def test_what_is_said_to_be_served_is_served(tmp_path: Path, docs: ModuleType) -> None:
    import httpx

    operations: list[Operation] = docs.served_operations()
    assert len(operations) > 20
    async with served(tmp_path) as url, httpx.AsyncClient(base_url=url) as client:
        document = (await client.get("/openapi.json")).json()
    paths = {(method.upper(), path) for path, each in document["paths"].items() for method in each}
    for each in operations:
        assert (each.method, each.path.replace(":path}", "}")) in paths


# --- promises that other files share -------------------------------------------------------------


def test_the_two_commands_come_first() -> None:
    first, second = commands()[:2]
    assert first.endswith(".venv/bin/famulus serve")
    assert second.endswith(".venv/bin/pytest")
    assert all(each.startswith("python3 -m venv .venv && ") for each in (first, second))


def test_the_same_tests_are_run_by_the_machine() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    [pattern] = re.findall(r"grep -m 1 '(.+)' README\.md", script)
    found = [line for line in README.splitlines() if re.search(pattern, line)]
    assert found == [commands()[1]]
    assert 'bash -euo pipefail -c "${command//.venv/$venv}"' in script


def test_no_registry_is_named_by_the_locked_requirements() -> None:
    for name in ("base", "dev"):
        text = (ROOT / "ops" / "requirements" / f"{name}.txt").read_text()
        assert "://" not in text
        assert not re.search(r"^-", text, re.MULTILINE)
        assert all("==" in line for line in re.findall(r"^[a-z].*$", text, re.MULTILINE))


def test_everything_that_is_declared_is_locked() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    declared += [*project["optional-dependencies"]["demo"]]
    text = (ROOT / "ops" / "requirements" / "dev.txt").read_text()
    for each in declared:
        name = re.split(r"[<>=\[]", each)[0]
        assert name == "famulus" or re.search(rf"^{name}==", text, re.MULTILINE), name
