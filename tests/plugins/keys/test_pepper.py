"""The pepper is made once, kept from others, and never made up anew in silence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from famulus.mistakes import ConfigError
from famulus_keys.pepper import load_pepper, pepper_from


def test_the_pepper_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    first = load_pepper(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_pepper(path) == first
    assert [each.name for each in tmp_path.iterdir()] == ["pepper"]


def test_two_servers_have_different_peppers(tmp_path: Path) -> None:
    assert load_pepper(tmp_path / "one") != load_pepper(tmp_path / "two")


def test_of_many_that_make_it_at_once_all_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda _: load_pepper(tmp_path / "pepper"), range(16)))
    assert len(set(found)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["pepper"]


def test_a_pepper_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    load_pepper(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_pepper(path)


@pytest.mark.parametrize("content", ["", "abc", "x" * 63])
def test_a_broken_pepper_is_told_and_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pepper"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="restore it from a backup"):
        load_pepper(path)
    assert path.read_text() == content


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        load_pepper(tmp_path / "nowhere" / "pepper")


def test_a_pepper_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    path.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_pepper(path)


def test_a_pepper_by_setting_must_have_some_length() -> None:
    assert pepper_from("a pepper by setting") == b"a pepper by setting"
    with pytest.raises(ConfigError, match="at least 16"):
        pepper_from("short")
