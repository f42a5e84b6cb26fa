"""Code is shown while it is written, however it was cut, and only what is certain."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.code_input import CodeInput

codes = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
extras = st.dictionaries(
    st.sampled_from(["a", 'b"', "c,"]), st.recursive(codes, st.lists, max_leaves=3), max_size=2
)


def shown(written: str, size: int) -> tuple[str, bool]:
    """All that is shown of arguments that come in pieces, and whether they are plain code."""
    reading = CodeInput("code")
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    told = [reading.feed(piece) for piece in pieces]
    return "".join(told) + reading.end(), reading.is_plain


@given(codes, extras, extras, st.booleans(), st.integers(1, 9))
def test_code_in_json_is_shown_as_it_was_meant(
    code: str, before: Any, after: Any, is_ascii: bool, size: int
) -> None:
    arguments = {**before, "code": code, **{f"{key}2": value for key, value in after.items()}}
    assert shown(json.dumps(arguments, ensure_ascii=is_ascii), size) == (code, False)


@given(codes, st.data())
def test_what_was_shown_is_never_taken_back(code: str, data: Any) -> None:
    written = json.dumps({"code": code})
    reading, told = CodeInput("code"), ""
    while written:
        size = data.draw(st.integers(1, len(written)))
        told += reading.feed(written[:size])
        written = written[size:]
        assert code.startswith(told)
    assert told == code


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("written", "code", "is_plain"),
    [
        ("print(1)", "print(1)", True),
        ("  x = {1, 2}", "  x = {1, 2}", True),
        ("{1, 2}", "{1, 2}", True),
        ("```python\nx = 1\n```", "x = 1", True),
        ("{'code': 'x = 1'}", "x = 1", False),
        (json.dumps(json.dumps({"code": "x"})), "x", False),
        ('{"code": "a\nb"}', "a\nb", False),
        ('{"code": 5}', "", False),
        ("{}", "", False),
        ("", "", False),
        ('{"code": "cut o', "cut o", False),
        ('{"code": "half \\ud83d"}', "half \ufffd", False),
        ('{"code": "half \\ud83dx\\ude00"}', "half \ufffdx\ufffd", False),
        ('{"code": "\\ud83d\\ude00"}', "\U0001f600", False),
        ('{"code": "\\u00', "", False),
    ],
)
def test_what_models_write_instead_is_shown_as_far_as_it_is_certain(
    written: str, code: str, is_plain: bool, size: int
) -> None:
    assert shown(written, size) == (code, is_plain)
