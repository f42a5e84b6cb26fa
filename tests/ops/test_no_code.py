"""No data becomes code in the server: nothing is unpickled, evaluated or loaded as YAML."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AUDITED = Path(__file__).with_name("audited.py")

RULES = ("S102", "S301", "S302", "S307", "S506")
"""Of ruff: exec, pickle, marshal, eval, yaml.load."""

MAY_EVALUATE = {
    "plugins/famulus_boxes/loop.py": "runs code in a box, which is what a box is for",
    "plugins/famulus_conformance/client_walk.py": "a command: an expression of the client's own",
}
"""The only files for which one of these rules is put aside, each with its reason."""

NEVER = re.compile(
    r"allow_pickle\s*=\s*True"
    r"|\b(?:import|from)\s+_?(?:pickle|dill|shelve|joblib|cloudpickle|marshal|yaml)\b"
    r"|\btorch\.load\b|\byaml\.(?:unsafe_)?load\b|\bnp\.load\("
)


def audited(tries: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, str(AUDITED), tries], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    *found, last = done.stdout.splitlines()
    assert last == f"heard {len(found)}"
    return found


def test_a_running_server_makes_no_code_of_data() -> None:
    assert audited() == []


@pytest.mark.parametrize(
    ("tries", "heard"),
    [
        ("import pickle; pickle.loads(pickle.dumps(Path('.')))", "pickle.find_class by <string>"),
        ("import marshal; marshal.loads(marshal.dumps(1))", "marshal.loads by <string>"),
        ("eval('1 + 1')", "compile by <string>"),
    ],
)
def test_it_would_be_heard(tries: str, heard: str) -> None:
    assert any(line.startswith(heard) for line in audited(tries))


def test_ruff_refuses_it_and_nobody_is_excused_without_a_reason() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if rule in RULES]
    excused = {
        place
        for place, rules in lint["per-file-ignores"].items()
        if place.startswith(("kernel", "plugins", "schemas")) and {*RULES, "S"} & set(rules)
    }
    for folder in ("kernel", "schemas", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            if re.search(rf"noqa:.*\b({'|'.join(RULES)})\b", path.read_text()):
                excused.add(str(path.relative_to(ROOT)))
    # The kit is for tests, and runs nothing of anybody's.
    assert excused - {"kernel/famulus/testing/**"} == set(MAY_EVALUATE)


def test_no_source_names_what_loads_code() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for folder in ("kernel", "schemas", "plugins")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (match := NEVER.search(path.read_text()))
    ]
    assert found == []
