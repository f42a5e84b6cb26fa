"""Plugins are found by metadata and file names, and read only when they are wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from famulus import NoSettings, Plugin
from famulus.discover import discover, found_class
from famulus.mistakes import ConfigError

ONE = '''
from famulus import NoSettings, Plugin

class One(Plugin[NoSettings]):
    """One."""
'''


def test_our_own_plugins_are_found_as_strangers_are() -> None:
    found = {each.name: each for each in discover()}
    assert found["sqlite"].source == "famulus_sqlite:Sqlite (package famulus)"
    assert issubclass(found["sqlite"].load(), Plugin)


def test_finding_imports_nothing() -> None:
    code = (
        "import sys; from famulus.discover import discover; found = discover();"
        "assert found; print([n for n in sys.modules if n.startswith('famulus_') "
        "and not n.startswith('famulus_schemas')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_file_of_the_plugins_dir_is_a_plugin_named_after_it(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(ONE)
    (tmp_path / "_private.py").write_text("raise RuntimeError")
    (tmp_path / "notes.txt").write_text("not a plugin")
    ours = [each for each in discover(tmp_path) if str(tmp_path) in each.source]
    assert [(each.name, each.source) for each in ours] == [("tiny", str(tmp_path / "tiny.py"))]
    assert ours[0].load().__name__ == "One"


def test_the_found_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zebra", "apple"):
        (tmp_path / f"{name}.py").write_text(ONE)
    names = [each.name for each in discover(tmp_path)]
    assert names == sorted(names)
    assert {"apple", "zebra", "sqlite"} <= set(names)


def test_a_plugins_dir_that_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plugins_dir .*nowhere is not a folder"):
        discover(tmp_path / "nowhere")


def test_two_plugins_of_one_name_are_refused_naming_both(tmp_path: Path) -> None:
    (tmp_path / "sqlite.py").write_text(ONE)
    with pytest.raises(ConfigError, match="two plugins are called 'sqlite': famulus_sqlite") as e:
        discover(tmp_path)
    assert str(tmp_path / "sqlite.py") in str(e.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "must define exactly one Plugin class, but defines 0"),
        (ONE + ONE.replace("One", "Two"), "must define exactly one Plugin class, but defines 2"),
    ],
)
def test_a_file_must_define_one_plugin(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(source)
    [found] = [each for each in discover(tmp_path) if each.name == "odd"]
    with pytest.raises(TypeError, match=message):
        found.load()


def test_a_class_that_a_file_only_imports_does_not_count(tmp_path: Path) -> None:
    source = "from famulus_sqlite import Sqlite\n" + ONE
    (tmp_path / "odd.py").write_text(source)
    [found] = [each for each in discover(tmp_path) if each.name == "odd"]
    assert found.load().__name__ == "One"


def test_a_file_that_fails_leaves_no_half_made_module(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise ValueError('half way')")
    [found] = [each for each in discover(tmp_path) if each.name == "bad"]
    with pytest.raises(ValueError, match="half way"):
        found.load()
    assert "famulus_plugin_file_bad" not in sys.modules


def test_a_class_without_a_name_is_named_after_itself() -> None:
    class Plain(Plugin[NoSettings]):
        """Plain."""

    assert found_class(Plain).name == "plain"
