"""JSON that is nearly right: what it is taken for, and what nobody can know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_runs.repair import json_text, object_text

MENDED: list[tuple[str, Any]] = [
    # Right already.
    ('{"city": "Oslo"}', {"city": "Oslo"}),
    (' {"city": "Oslo"}\n', {"city": "Oslo"}),
    ("{}", {}),
    # No arguments.
    ("", {}),
    (" \n", {}),
    ("null", {}),
    ("None", {}),
    ('""', {}),
    # Trailing commas.
    ('{"city": "Oslo",}', {"city": "Oslo"}),
    ('{"days": [1, 2, ], }', {"days": [1, 2]}),
    # Python's literals and quotes.
    ("{'city': 'Oslo'}", {"city": "Oslo"}),
    ("{'a': True, 'b': False, 'c': None}", {"a": True, "b": False, "c": None}),
    ("{'say': 'he said \"hi\"'}", {"say": 'he said "hi"'}),
    (r"{'it': 'it\'s'}", {"it": "it's"}),
    ('{"it": "it\'s", "b": True}', {"it": "it's", "b": True}),
    (r'{"it": "it\'s"}', {"it": "it's"}),
    ("{'a': [], 'b': {}}", {"a": [], "b": {}}),
    # Names without quotes.
    ('{city: "Oslo", days: 2}', {"city": "Oslo", "days": 2}),
    # Left open at the end, or closed once too often.
    ('{"city": "Oslo"', {"city": "Oslo"}),
    ('{"at": {"city": "Oslo"', {"at": {"city": "Oslo"}}),
    ('{"days": [1, 2', {"days": [1, 2]}),
    ('{"city": "Oslo"}}', {"city": "Oslo"}),
    # Line breaks and tabs inside a string.
    ('{"code": "a = 1\n\tb = 2"}', {"code": "a = 1\n\tb = 2"}),
    ('{"code": "bell\x07"}', {"code": "bell\x07"}),
    # A code fence around.
    ('```json\n{"city": "Oslo"}\n```', {"city": "Oslo"}),
    ('```\n{"city": "Oslo",}\n```', {"city": "Oslo"}),
    ('```json\n{"city": "Oslo"}', {"city": "Oslo"}),
    # Encoded twice.
    (r'"{\"city\": \"Oslo\"}"', {"city": "Oslo"}),
    (r'"{\"city\": \"Oslo\",}"', {"city": "Oslo"}),
    ('\'{"city": "Oslo"}\'', {"city": "Oslo"}),
    # Several at once.
    ("```json\n{'city': 'Oslo', 'now': True,\n```", None),
    ("```json\n{'city': 'Oslo', 'now': True\n```", {"city": "Oslo", "now": True}),
]

BEYOND: list[str] = [
    '{"city": "Os',
    '{"city": ',
    '{"city"',
    '{"city": "Oslo", ',
    "{",
    '{"days": [1, 2}',
    "{'it': 'it's'}",
    '{"city": Oslo}',
    '{"city": "Oslo" "days": 2}',
    '{"city": "Oslo",, "days": 2}',
    "{,}",
    '{"a": [,]}',
    '{"a":}',
    '{"temperature": NaN}',
    '{"temperature": -Infinity}',
    '{"temperature": 1e999}',
    '{"days": 007}',
    '{"days": 1.2.3}',
    '{"days": 12abc}',
    r'{"pattern": "\d+"}',
    r'{"half": "\ud800"}',
    '{"city": "Oslo"} {"city": "Bergen"}',
    '{"city": "Oslo"} is what I want',
    'city="Oslo"',
    "Oslo",
    '"Oslo"',
    "5",
    "[1, 2]",
    "true",
    r'"\"{}\""',
    "{'a':" * 5_000,
    "\ud800",
]


@pytest.mark.parametrize(("written", "meant"), MENDED, ids=[repr(row[0]) for row in MENDED])
def test_what_is_certain_is_put_right(written: str, meant: Any) -> None:
    text = object_text(written)
    assert (None if text is None else json.loads(text)) == meant


@pytest.mark.parametrize("written", BEYOND, ids=[repr(row[:40]) for row in BEYOND])
def test_what_is_not_certain_is_left(written: str) -> None:
    assert object_text(written) is None


@pytest.mark.parametrize("written", ['{"city": "Oslo"}', ' {"city" : "Oslo"}\n', '{"n": 1.50}'])
def test_what_is_right_stays_as_it_was_written(written: str) -> None:
    assert object_text(written) == written


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6), values, max_size=4))
def test_what_python_would_print_is_understood_or_left_but_never_misread(value: Any) -> None:
    text = json_text(repr(value))
    # Escapes of Python's alone, such as \x07, are nothing that JSON knows.
    assert "\\" in repr(value) or text is not None
    assert text is None or json.loads(text) == value


@given(st.text(alphabet="{}[]:,'\"ab1 \\\n", max_size=40))
def test_what_comes_out_can_be_decoded_by_any_client(written: str) -> None:
    text = object_text(written)
    assert text is None or isinstance(json.loads(text), dict)


scalars = st.booleans() | st.integers() | st.text(max_size=8)


@given(st.dictionaries(st.text(max_size=6), scalars, min_size=1), st.integers(0, 5), st.data())
def test_brackets_that_are_missing_at_the_end_are_closed(
    value: dict[str, Any], depth: int, data: st.DataObject
) -> None:
    whole: Any = value
    for level in range(depth):
        whole = {"in": whole} if level % 2 else [whole]
    written = json.dumps(whole)
    missing = data.draw(st.integers(0, depth + 1))
    text = json_text(written[: len(written) - missing])
    assert text is not None
    assert json.loads(text) == whole
