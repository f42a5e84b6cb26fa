"""`famulus new-plugin` makes a plugin that works before a line of it is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from famulus.cli import command_line
from famulus.config import load_config
from famulus.discover import discover
from famulus.kernel import Kernel
from famulus.new_plugin import NewPluginError, generate
from famulus.testing import kernel_with, live_server
from famulus.testing.kit import Everyone, found_class, quiet_log

pytestmark = pytest.mark.anyio

FAST_PIP = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A new package, and the folder that pip installed it in."""
    folder = tmp_path_factory.mktemp("made")
    package = generate("my-notes", into=folder, single_file=False)[0].parent
    site = folder / "site"
    # By its wheel, so that a file missing from the package would be missing here.
    pip = run("-m", "pip", "install", "-q", *FAST_PIP, "--target", str(site), ".", cwd=package)
    assert pip.returncode == 0, pip.stderr
    return package, site


def test_a_new_package_passes_its_own_tests(installed: tuple[Path, Path]) -> None:
    package, site = installed
    tests = run("-m", "pytest", "-q", cwd=package, PYTHONPATH=str(site))
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "5 passed" in tests.stdout


def test_an_installed_new_package_is_found_by_its_entry_point(
    installed: tuple[Path, Path],
) -> None:
    _, site = installed
    listed = run("-m", "famulus", "plugins", cwd=site, PYTHONPATH=str(site))
    assert listed.returncode == 0, listed.stderr
    assert "famulus_my_notes:MyNotes (package famulus-my-notes)" in listed.stdout


def test_a_new_package_is_typed_and_tidy(installed: tuple[Path, Path]) -> None:
    package, _ = installed
    for check in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        checked = run("-m", *check, cwd=package)
        assert checked.returncode == 0, checked.stdout


async def test_a_new_single_file_serves_from_a_plugins_dir(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    [path] = generate("quick_notes", into=folder, single_file=True)
    assert path == folder / "quick_notes.py"
    config = load_config(
        None,
        environment={},
        flags={"server": {"plugins_dir": str(folder), "data_dir": str(tmp_path / "data")}},
    )
    wanted = {"sqlite", "quick_notes"}
    found = [each for each in discover(folder) if each.name in wanted]
    kernel = Kernel(config, found=[*found, found_class(Everyone)], log=quiet_log())
    async with live_server(kernel) as url, httpx.AsyncClient(base_url=url) as client:
        made = await client.post("/quick_notes", json={"text": "from one file"})
        assert made.status_code == 200, made.text
        page = (await client.get("/quick_notes")).json()
        assert [item["text"] for item in page["data"]] == ["from one file"]
    assert kernel.lifecycle.slots["quick_notes"].source == str(path)


@pytest.mark.parametrize(
    "name", ["", "9lives", "My_Notes", "a__b", "notes_", "no/tes", "../notes", "a b", "x" * 31]
)
def test_a_name_that_could_not_be_configured_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NewPluginError, match="cannot be a plugin's name: use small letters"):
        generate(name, into=tmp_path, single_file=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["server", "ports", "class"])
def test_a_name_with_another_meaning_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NewPluginError, match="has a meaning already"):
        generate(name, into=tmp_path, single_file=True)


def test_the_name_of_an_installed_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NewPluginError, match="'sqlite' is installed already: famulus_sqlite"):
        generate("sqlite", into=tmp_path, single_file=False)


@pytest.mark.parametrize("single_file", [True, False])
def test_nothing_is_overwritten(single_file: bool, tmp_path: Path) -> None:
    first = generate("notes", into=tmp_path, single_file=single_file)
    first[0].write_text("mine")
    with pytest.raises(NewPluginError, match="exists already; choose another"):
        generate("notes", into=tmp_path, single_file=single_file)
    assert first[0].read_text() == "mine"


def test_the_command_lists_what_it_made_and_words_its_errors(tmp_path: Path) -> None:
    runner = CliRunner()
    arguments = ["new-plugin", "notes", "--single-file", "--into", str(tmp_path)]
    made = runner.invoke(command_line(), arguments)
    assert made.exit_code == 0
    assert made.output.strip().endswith(f"made {tmp_path / 'notes.py'}")
    again = runner.invoke(command_line(), arguments)
    assert again.exit_code == 1
    assert "Error:" in again.output
    assert "exists already" in again.output
    assert "Traceback" not in again.output


async def test_two_new_plugins_serve_side_by_side(tmp_path: Path) -> None:
    for name in ("left_notes", "right_notes"):
        generate(name, into=tmp_path, single_file=True)
    classes = [found.load() for found in discover(tmp_path) if found.source.endswith("_notes.py")]
    async with kernel_with("sqlite", *classes) as server:
        await server.post("/left_notes", {"text": "left"})
        assert (await server.get("/right_notes")).json()["data"] == []
        assert len((await server.get("/left_notes")).json()["data"]) == 1
