"""The parser of calls that are written as text, under texts that nobody thought of."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.plugins.runs.call_fuzz import FIRST_WORD, WORDS, judge, read

ROOT = Path(__file__).parents[3]
RUNS = 5_000

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="THE PARSER WAS NOT FUZZED BY COVERAGE, only at random: atheris is not installed",
)

letters = st.integers(0x20, 0x7E) | st.integers(0, FIRST_WORD - 1)
words = st.integers(FIRST_WORD, 0xFF)
texts = st.lists(words | words | letters, max_size=60).map(bytes)


@settings(max_examples=1_500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=4, max_size=4), texts)
@example(b"\0\0\0\0", b"")
def test_no_text_breaks_a_promise(head: bytes, text: bytes) -> None:
    judge(head + text)


def test_every_word_can_be_written() -> None:
    data = bytes(range(FIRST_WORD, 0x100))
    assert read(b"\0\0\0\0" + data)[1] == "".join(WORDS)


@needs_atheris
def test_no_text_that_coverage_leads_to_breaks_a_promise(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.plugins.runs.call_fuzz"]
    command += [f"-runs={RUNS}", "-seed=1", "-max_len=200", f"-artifact_prefix={tmp_path}/"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr[-4000:]
