"""The report that is kept here is the one that judging our own server makes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conformance.write import COMMAND, HERE, write_report

from famulus_conformance.oracles import VARIABLE
from famulus_conformance.report import NAMES

pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE),
    reason=f"THE REPORT WAS NOT MADE ANEW by OpenAI's document: {VARIABLE} is not set",
)

DONE = {
    *("assistants", "threads", "messages", "runs", "run_steps", "models"),
    *("chat", "completions", "embeddings"),
}
"""Groups that are served as a whole."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report, made anew."""
    folder = tmp_path_factory.mktemp("report")
    done = write_report(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def told(made: Path) -> Any:
    """The report, for machines."""
    return json.loads((made / "REPORT.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_is_up_to_date(made: Path, name: str) -> None:
    assert (HERE / name).read_text() == (made / name).read_text(), f"to write it: {COMMAND}"


@pytest.mark.parametrize("group", sorted(DONE))
@pytest.mark.parametrize("aspect", ["implemented", "properties", "limits", "errors"])
def test_what_is_served_is_whole(told: Any, group: str, aspect: str) -> None:
    assert told["groups"][group][aspect]["percent"] == 100


def test_nothing_deviates_without_a_reason(told: Any) -> None:
    assert told["broken"] == []
    assert told["oracle_is_document"]
