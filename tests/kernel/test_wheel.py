"""The wheel holds all of the product and nothing else: an editable install would hide a gap."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "kernel", ROOT / "schemas", ROOT / "plugins"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert pip.returncode == 0, pip.stderr
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_every_file_of_every_package_is_in_it(wheel: zipfile.ZipFile) -> None:
    suffixes = {".py", ".typed", ".template", ".html", ".md", ".toml", ".txt"}
    expected = {
        str(path.relative_to(source))
        for source in SOURCES
        for path in source.glob("famulus*/**/*")
        if path.suffix in suffixes and "__pycache__" not in str(path.relative_to(source))
    }
    assert {"famulus/cli.py", "famulus_runs/py.typed", "famulus/api_page.html"} <= expected
    assert "famulus_conformance/overlay.toml" in expected
    assert expected - set(wheel.namelist()) == set()


def test_nothing_else_is_in_it(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    known = {path.name for source in SOURCES for path in source.glob("famulus*")}
    assert {top for top in tops if not top.endswith(".dist-info")} == known
    assert [name for name in wheel.namelist() if "__pycache__" in name] == []


def test_every_entry_point_leads_into_it(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    parser = ConfigParser()
    parser.read_string(wheel.read(name).decode())
    modules = [value.partition(":")[0] for section in parser.values() for value in section.values()]
    assert "famulus_sqlite" in modules
    for module in modules:
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & set(wheel.namelist()), module
