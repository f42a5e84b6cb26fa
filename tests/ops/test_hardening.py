"""The table of hardening rules names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ops" / "hardening" / "README.md").read_text()
ROWS = {
    int(number): cells for number, cells in re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
}
NAMED = re.findall(r"`((?:tests|kernel/famulus/testing)/[\w/]+\.py)::(test_\w+)`", PAGE)


def test_rules_are_in_order_and_each_has_a_test() -> None:
    assert list(ROWS) == sorted(ROWS)
    for number, cells in ROWS.items():
        assert "`tests/" in cells, f"rule {number} has no test"


def test_whatever_looks_like_a_test_is_named_in_full() -> None:
    assert len(re.findall(r"`(?:tests|kernel/famulus/testing)/[^`]*`", PAGE)) == len(
        NAMED
    ) + PAGE.count("`tests/ops/test_hardening.py`")


@pytest.mark.parametrize(("path", "test"), NAMED, ids=lambda each: each)
def test_every_test_that_is_named_is_there(path: str, test: str) -> None:
    source = (ROOT / path).read_text()
    assert re.search(rf"^ *(async )?def {test}\(", source, re.MULTILINE)
