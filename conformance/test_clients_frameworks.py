"""Frameworks that speak Assistants, unmodified, each installed into an environment of its own.

They are large, and their newest versions come from the registry, so FAMULUS_TEST_FRAMEWORKS=1 asks
for it. A run writes FRAMEWORKS.md, which is then reviewed like code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import KEY, serve

VARIABLE = "FAMULUS_TEST_FRAMEWORKS"
HERE = Path(__file__).parent
RECORD = HERE / "FRAMEWORKS.md"
INSTALL_S = 900
WALK_S = 200
FAULT_CHARS_MAX = 300
DUE = {
    "said": ["Lagos 731", "Result: 17 degrees", "once more"],
    "cities": ["Reykjavik"],
}
"""What comes of the walk with the scripted model: an answer, one by a function, and one more."""


@dataclass(frozen=True)
class Framework:
    """What speaks Assistants, and what it is installed from."""

    name: str
    speaks: str
    program: str
    packages: tuple[str, ...]


FRAMEWORKS = (
    Framework(
        name="LangChain",
        speaks="OpenAIAssistantRunnable",
        program="langchain.py",
        packages=("langchain-classic", "langchain-openai"),
    ),
    Framework(
        name="Semantic Kernel",
        speaks="OpenAIAssistantAgent",
        program="semantic_kernel.py",
        packages=("semantic-kernel",),
    ),
    Framework(
        name="AutoGen",
        speaks="OpenAIAssistantAgent",
        program="autogen.py",
        packages=("autogen-agentchat", "autogen-ext[openai]"),
    ),
)


@dataclass(frozen=True)
class Walked:
    """What came of a framework's walk."""

    framework: Framework
    versions: str
    fault: str

    def row(self) -> str:
        """Its line of the record."""
        result = self.fault.replace("\n", " ").replace("|", "\\|") or "works"
        return f"| {self.framework.name} | `{self.framework.speaks}` | {self.versions} | {result} |"


def text_of(walks: Sequence[Walked]) -> str:
    """The record."""
    python = ".".join(map(str, sys.version_info[:3]))
    command = f"{VARIABLE}=1 pytest {Path(__file__).relative_to(HERE.parent)}"
    rows = "\n".join(walked.row() for walked in walks)
    return f"""# Frameworks that speak Assistants

Written by `{command}` on {datetime.now(UTC):%Y-%m-%d}, with Python {python}.

Each is the newest version that pip installed, unmodified: `OPENAI_BASE_URL` names our server. It
creates an assistant, is answered, has a function called and its output used, and goes on with the
same thread. The programs are in `frameworks/`.

| framework | class | versions | result |
| --- | --- | --- | --- |
{rows}
"""


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Walked]]:
    """All of them, walked against one server; and the record written."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"NOT TESTED: {VARIABLE}=1 installs large frameworks and walks them")
    environment = {"FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false"}
    folder = tmp_path_factory.mktemp("server")
    with (
        scripted_server() as url,
        serve(folder, arguments=["--backend", url], environment=environment) as served,
    ):
        found = [
            walk(each, tmp_path_factory.mktemp(each.program.partition(".")[0]), served.base_url)
            for each in FRAMEWORKS
        ]
        complaints = [each for each in served.events() if each["level"] in ("error", "critical")]
    RECORD.write_text(text_of(found))
    yield {walked.framework.name: walked for walked in found}
    assert complaints == []


def walk(framework: Framework, folder: Path, base_url: str) -> Walked:
    """Install a framework and run its program."""
    python = folder / "venv" / "bin" / "python"
    try:
        run([sys.executable, "-m", "venv", str(folder / "venv")], INSTALL_S)
        run([str(python), "-m", "pip", "install", "-q", *framework.packages], INSTALL_S)
    except Failed as failed:
        return Walked(framework, "none", f"cannot be installed: {failed}")
    versions = versions_of(framework, python)
    environment = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": KEY, "MODEL": "scripted"}
    try:
        said = run([str(python), str(HERE / "frameworks" / framework.program)], WALK_S, environment)
    except Failed as failed:
        return Walked(framework, versions, f"fails: {failed}")
    found = json.loads(said.splitlines()[-1])
    return Walked(framework, versions, "" if found == DUE else f"says otherwise: {found}")


class Failed(Exception):
    """A program failed; carries the last that it said."""


def run(command: Sequence[str], limit_s: int, environment: dict[str, str] | None = None) -> str:
    """What a program printed. Raises Failed."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done in {limit_s} s") from None
    if done.returncode:
        raise Failed(done.stderr.strip()[-FAULT_CHARS_MAX:])
    return done.stdout


def versions_of(framework: Framework, python: Path) -> str:
    """What pip took, of the framework and of the client."""
    listed = json.loads(run([str(python), "-m", "pip", "list", "--format=json"], INSTALL_S))
    versions = {each["name"].replace("_", "-"): each["version"] for each in listed}
    names = [name.partition("[")[0] for name in framework.packages]
    return ", ".join(f"{name} {versions[name]}" for name in (*names, "openai"))


@pytest.mark.timeout(3 * (INSTALL_S + WALK_S))
@pytest.mark.parametrize("name", [framework.name for framework in FRAMEWORKS])
def test_a_framework_works_unmodified(name: str, walks: dict[str, Walked]) -> None:
    assert walks[name].fault == ""


def test_the_record_says_of_each_framework_what_came_of_it() -> None:
    record = RECORD.read_text()
    for framework in FRAMEWORKS:
        (row,) = [line for line in record.splitlines() if line.startswith(f"| {framework.name} |")]
        assert f"`{framework.speaks}`" in row
        assert (HERE / "frameworks" / framework.program).is_file()
