"""Texts of models that write their calls as text: which are calls, and that no other is touched.

The functions on offer are `get_weather`, `get` and `book-table`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from famulus_runs.call_forms import TextualCall
from famulus_runs.text_scan import Piece, TextScan

NAMES = ("get_weather", "get", "book-table")
LOOKAHEAD = 256
MAX = 4_096

OSLO = '{"city": "Oslo"}'
JSON = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
LLAMA = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
BOOK = '{"name": "book-table", "arguments": {"seats": 2}}'
WEATHER = ("get_weather", OSLO)
BOOKING = ("book-table", '{"seats": 2}')
MENDED = ("get_weather", '{"city":"Oslo"}')

CALLS: list[tuple[str, list[str | tuple[str, str]]]] = [
    # Hermes and Qwen
    (f"<tool_call>{JSON}</tool_call>", [WEATHER]),
    (f"<tool_call>\n{JSON}\n</tool_call>", [WEATHER]),
    (f"\n\n<tool_call>\n{JSON}\n</tool_call>\n", [WEATHER]),
    (f"<tool_call>{JSON}</tool_call>\n<tool_call>{BOOK}</tool_call>", [WEATHER, BOOKING]),
    (f"<tool_call>[{JSON}, {BOOK}]</tool_call>", [WEATHER, BOOKING]),
    (f"Let me look.\n<tool_call>{JSON}</tool_call>", ["Let me look.\n", WEATHER]),
    (f"I call <tool_call>{JSON}</tool_call>", ["I call ", WEATHER]),
    (f"<think>Hm.</think>\n<tool_call>{JSON}</tool_call>", ["<think>Hm.</think>\n", WEATHER]),
    (f"<tool_call>{JSON}", [WEATHER]),
    (f"<tool_call>{JSON[:-1]}</tool_call>", [MENDED]),
    (f"<tool_call>{JSON[:-1]}", [MENDED]),
    (f"<tool_call>{JSON[:-1]}</tool_call><tool_call>{BOOK}</tool_call>", [MENDED, BOOKING]),
    ('<tool_call>{"name": "get"}</tool_call>', [("get", "{}")]),
    ('<tool_call>{"name": "get", "arguments": null}</tool_call>', [("get", "{}")]),
    ('<tool_call>{"name": "get", "arguments": ""}</tool_call>', [("get", "{}")]),
    (f'<tool_call>{{"arguments": {OSLO}, "name": "get_weather"}}</tool_call>', [WEATHER]),
    (f'<tool_call>{{"id": "x1", "name": "get_weather", "arguments": {OSLO}}}', [WEATHER]),
    ("<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Oslo'}}</tool_call>", [MENDED]),
    ('<tool_call>{name: "get_weather", arguments: {city: "Oslo"}}</tool_call>', [MENDED]),
    (f"```xml\n<tool_call>{JSON}</tool_call>\n```", ["```xml\n", WEATHER]),
    (f"```\n<tool_call>{JSON}</tool_call>\n```", [WEATHER]),
    (f"<tool_call>{JSON}</tool_call>\nIt is sunny in Oslo.", [WEATHER]),
    (f"<tool_call>{JSON}</tool_call><tool_response>sunny</tool_response>", [WEATHER]),
    # Beyond repair, and yet a call: the model must be told.
    ('<tool_call>{"name": "get", "arguments": {"a": b}}', [("get", '{"a": b}}')]),
    ('<tool_call>{"name": "get", "arguments": {"a": "b', [("get", '{"a": "b')]),
    ('<tool_call>{"name": "get", "arguments": [1]}</tool_call>', [("get", "[1]")]),
    (f'<tool_call>{{"name": "get_weather" "arguments": {OSLO}}}</tool_call>', [MENDED]),
    # Llama 3
    (f"<|python_tag|>{LLAMA}", [WEATHER]),
    (f"<|python_tag|>{LLAMA}<|eom_id|>", [WEATHER]),
    (f"<|python_tag|>{LLAMA}; {BOOK}", [WEATHER, BOOKING]),
    (LLAMA, [WEATHER]),
    (f"\n {LLAMA}\n", [WEATHER]),
    (f"{LLAMA}\n\nThis looks the weather up.", [WEATHER]),
    (f"{LLAMA};{BOOK}", [WEATHER, BOOKING]),
    (f"{LLAMA}\n{BOOK}", [WEATHER, BOOKING]),
    (f"[{LLAMA}, {BOOK}]", [WEATHER, BOOKING]),
    (f'{{"type": "function", "name": "get_weather", "parameters": {OSLO}}}', [WEATHER]),
    (
        f'{{"type": "function", "function": {{"name": "get_weather", "arguments": {OSLO}}}}}',
        [WEATHER],
    ),
    (f'{{"function": "get_weather", "arguments": {OSLO}}}', [WEATHER]),
    (r'{"name": "get_weather", "arguments": "{\"city\": \"Oslo\"}"}', [WEATHER]),
    (LLAMA[:-1], [MENDED]),
    ('{"name": "get", "parameters": {}}', [("get", "{}")]),
    (f"<function=get_weather>{OSLO}</function>", [WEATHER]),
    # Mistral
    (f"[TOOL_CALLS] [{JSON}]", [WEATHER]),
    (f"[TOOL_CALLS][{JSON}, {BOOK}]</s>", [WEATHER, BOOKING]),
    (f"[TOOL_CALLS]get_weather[ARGS]{OSLO}", [WEATHER]),
    (f"[TOOL_CALLS]get_weather{OSLO}", [WEATHER]),
    ('[TOOL_CALLS]get{}[TOOL_CALLS]book-table{"seats": 2}', [("get", "{}"), BOOKING]),
    (f"Of course.[TOOL_CALLS] [{JSON}]", ["Of course.", WEATHER]),
    # A code fence
    (f"```json\n{JSON}\n```", [WEATHER]),
    (f"```\n{JSON}\n```\n", [WEATHER]),
    (f"```json\n[{JSON}, {BOOK}]\n```", [WEATHER, BOOKING]),
    (f"```json\n{JSON}\n```\n```json\n{BOOK}\n```", [WEATHER, BOOKING]),
    (f"```json\n{JSON}", [WEATHER]),
    (f"I look it up:\n```json\n{JSON}\n```", ["I look it up:\n", WEATHER]),
    (f"```tool_call\n{JSON}\n```", [WEATHER]),
    # A line of its own, after which nothing comes
    (f"I look it up.\n\n{JSON}", ["I look it up.\n\n", WEATHER]),
    (f"I look it up.\n  {JSON}\n{BOOK}\n", ["I look it up.\n  ", WEATHER, BOOKING]),
    # As if in code
    (f"functions.get_weather({OSLO})", [WEATHER]),
    (f"functions.get_weather( {OSLO} );", [WEATHER]),
    ("functions.get_weather({'city': 'Oslo'})", [MENDED]),
    (f"Calling:\nfunctions.get_weather({OSLO})", ["Calling:\n", WEATHER]),
]

TEXTS: list[str] = [
    "",
    " \n ",
    "Hello there.",
    "\n\nHello there.",
    "a < b, [x], {y}, `z` and f",
    "<b>bold</b> and <tool_box>",
    "<tool_call> is how Hermes calls.",
    "<tool_call>",
    "<tool_call>{}</tool_call>",
    '<tool_call>{"arguments": {"name": "Ada", "age": x}, "name": "get"}</tool_call>',
    '<tool_call>{"name": "launch_rocket", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "get_weather_now", "arguments": {}}</tool_call>',
    f'<tool_call>[{JSON}, {{"name": "launch_rocket", "arguments": {{}}}}]</tool_call>',
    "<|python_tag|>import math\nprint(math.pi)",
    "<function=launch_rocket>{}</function>",
    "[TOOL_CALLS] none",
    '[TOOL_CALLS] [{"name": "launch_rocket", "arguments": {}}]',
    "[TODO] and [TOOLS]",
    '{"name": "launch_rocket", "parameters": {}}',
    '{"name": "Ada", "age": 36}',
    '{"name": "get_weather", "age": 36}',
    '{"name": "get_weather"}',
    '{"name": "get_weather", "arguments": {}, "age": 36}',
    '{"name": "get_weather", "arguments": [1]}',
    '{"name": "get_weather", "arguments": {"city": Oslo}}',
    '{"type": "object", "properties": {}}',
    '{"type": "object", "name": "get", "arguments": {}}',
    '{"city": "Oslo", "name": "get_weather", "arguments": {}}',
    '{"answer": 42}',
    "[1, 2, 3]",
    '[{"name": "Ada"}, {"name": "Bob"}]',
    f"[{JSON}, 5]",
    "{",
    '{"name": "get_wea',
    LLAMA[:40],
    f"As in: {JSON}",
    f"Write\n{JSON}\nto look the weather up.",
    f"Write\n{JSON}\n{{",
    f"Write\n```json\n{JSON}\n```\nto look the weather up.",
    f"```json\n{JSON}\n```\nThat is how one calls it.",
    f"```python\ncall = \\\n{JSON}\n```",
    f"```python\nx = 1\n```\n```python\n{JSON}\n```",
    '```json\n{"answer": 42}\n```',
    "```json\n[]\n```",
    "```\nplain\n```",
    "`get_weather`",
    "``",
    "functions.launch_rocket({})",
    "functions.get_weather",
    "functions.get_weather(city)",
    "functions.get_weather()",
    "for each city, functions are called",
    "fun",
    f"In Python: functions.get_weather({OSLO})",
]


def read(
    pieces: Sequence[str], *, lookahead: int = LOOKAHEAD, most: int = MAX, is_cut: bool = False
) -> list[Piece]:
    """What a text in pieces is divided into, neighbouring texts joined."""
    scan = TextScan(NAMES, lookahead, most)
    found = [piece for text in pieces for piece in scan.feed(text)]
    return joined([*found, *scan.end(is_cut=is_cut)])


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    found: list[Piece] = []
    for piece in pieces:
        if found and isinstance(piece, str) and isinstance(found[-1], str):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def cut_by(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def emissions(pieces: Sequence[str], scan: TextScan) -> Iterator[tuple[str, str]]:
    """After each piece, all that went in and all that came out."""
    taken = out = ""
    for piece in pieces:
        taken += piece
        for found in scan.feed(piece):
            assert isinstance(found, str)
            out += found
        yield taken, out
    for found in scan.end(is_cut=False):
        assert isinstance(found, str)
        out += found
    yield taken, out


# --- what is a call and what is not ------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 10_000])
@pytest.mark.parametrize(("text", "expected"), CALLS, ids=[repr(row[0]) for row in CALLS])
def test_a_call_is_found_however_it_is_cut(
    text: str, expected: list[str | tuple[str, str]], size: int
) -> None:
    calls = [TextualCall(*each) if isinstance(each, tuple) else each for each in expected]
    assert read(cut_by(text, size)) == calls


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 10_000])
@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_what_is_no_call_stays_as_it_is(text: str, size: int) -> None:
    assert read(cut_by(text, size)) == ([text] if text else [])


def test_the_table_is_of_the_size_that_was_promised() -> None:
    assert len({text for text, _ in CALLS}) + len(set(TEXTS)) >= 100


@pytest.mark.parametrize("text", [f"<tool_call>{JSON[:-1]}", LLAMA[:-1], '{"name": "get", "par'])
def test_a_call_that_a_limit_cut_off_is_text(text: str) -> None:
    assert read([text], is_cut=True) == [text]


def test_a_call_before_the_one_that_was_cut_off_is_made() -> None:
    text = f"<tool_call>{JSON}</tool_call><tool_call>{BOOK[:-5]}"
    assert read([text], is_cut=True) == [TextualCall(*WEATHER)]


def test_blank_lines_of_any_number_may_stand_between_calls() -> None:
    pieces = [f"<tool_call>{JSON}</tool_call>", *["\n" * 100] * (MAX // 50), f"<tool_call>{BOOK}"]
    assert read(pieces) == [TextualCall(*WEATHER), TextualCall(*BOOKING)]


# --- how long text is held back ------------------------------------------------------------------


def test_text_goes_on_at_once_where_no_call_can_begin() -> None:
    scan = TextScan(NAMES, LOOKAHEAD, MAX)
    for word in ["The", " weather", " in", " Oslo", ",\n", "Nor", "way: [x", "] {y}", " a < b"]:
        assert scan.feed(word) == [word]


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("Say <", "<"),
        ("Say <tool", "<tool"),
        ("Say <to the", ""),
        ("Say\n{", "{"),
        ('Say\n{"na', '{"na'),
        ('Say\n{"city', ""),
        ('Say\n{"name": "get', '{"name": "get'),
        ('Say\n{"name": "gem', ""),
        ("Say\n```js", "```js"),
        ("Say\n```java", ""),
        ("Say\nfun", "fun"),
        ("Say\nfund", ""),
        ("Say [", "["),
        ("Say [T", "[T"),
        ("Say [t", ""),
    ],
)
def test_text_is_held_back_only_while_it_may_become_a_call(text: str, held: str) -> None:
    scan = TextScan(NAMES, LOOKAHEAD, MAX)
    out = "".join(str(piece) for piece in scan.feed(text))
    assert text == out + held


def test_nothing_is_held_back_past_the_lookahead_before_a_function_is_named() -> None:
    scan = TextScan(NAMES, 20, MAX)
    text = '{"id": "' + "x" * 50
    assert max(len(taken) - len(out) for taken, out in emissions(cut_by(text, 1), scan)) == 20


def test_a_call_that_is_too_long_is_text() -> None:
    long = '{"name": "get", "arguments": {"a": "' + "x" * 200 + '"}}'
    scan = TextScan(NAMES, 64, 100)
    delays = [len(taken) - len(out) for taken, out in emissions(cut_by(long, 7), scan)]
    assert max(delays) <= 100
    assert read([long], lookahead=64, most=100) == [long]
    assert read([long], lookahead=64, most=1_000) != [long]


def test_no_lookahead_takes_no_text_for_a_call() -> None:
    scan = TextScan(NAMES, 0, MAX)
    assert all(taken == out for taken, out in emissions(cut_by(LLAMA, 3), scan))


@pytest.mark.parametrize("noise", ["<", "f", "\nf", "\n{", "[", "\n```", '\n{"', " ", "\n"])
def test_a_long_text_of_nothing_but_beginnings_is_read_in_one_go(noise: str) -> None:
    text = noise * (100_000 // len(noise))
    assert read([text]) == [text]


# --- for every text -----------------------------------------------------------------------------

fragments = st.sampled_from(
    [
        *("<", "<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "[", "]", "{", "}"),
        *("```", "```json\n", "```python\n", "`", "\n", " ", '"', "'", ",", ":", ";", "(", ")"),
        *('"name"', '"arguments"', '{"name": "', "functions.", "f", "Oslo", "other", "\\", "\n\n"),
    ]
)
named = st.sampled_from(["get_weather", '"get"', OSLO, JSON, LLAMA, BOOK, JSON[:-1], JSON[:30]])
plain = st.lists(fragments | st.text(max_size=8), max_size=24).map("".join)
speaking = st.lists(fragments | named | st.text(max_size=4), max_size=16).map("".join)
sizes = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def cut(text: str, by: Sequence[int]) -> list[str]:
    pieces, at, turn = [], 0, 0
    while at < len(text):
        size = by[turn % len(by)]
        pieces.append(text[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


@settings(max_examples=400)
@given(plain.filter(lambda text: not any(name in text for name in NAMES)), sizes)
@example('<tool_call>{"id": "' + "x" * 60, [1])
def test_a_text_that_names_no_function_streams_unchanged_within_the_lookahead(
    text: str, by: list[int]
) -> None:
    scan = TextScan(NAMES, 32, MAX)
    for taken, out in emissions(cut(text, by), scan):
        assert taken.startswith(out)
        assert len(taken) - len(out) <= 32
    assert out == text if text else True


@settings(max_examples=400)
@given(speaking, sizes)
@example(f"{JSON}", [3])
@example(f"x\n{JSON}\n{JSON}\nx", [2])
@example("x\n" + LLAMA + " " * 80 + "y", [5])
def test_a_text_with_no_call_in_it_is_never_held_back_past_the_limit(
    text: str, by: list[int]
) -> None:
    scan = TextScan(NAMES, 32, 120)
    pieces = cut(text, by)
    found = [*(each for piece in pieces for each in scan.feed(piece)), *scan.end(is_cut=False)]
    if any(isinstance(each, TextualCall) for each in found):
        return
    for taken, out in emissions(pieces, TextScan(NAMES, 32, 120)):
        assert taken.startswith(out)
        assert len(taken) - len(out) <= 120
    assert "".join(map(str, found)) == text


@settings(max_examples=400)
@given(speaking, sizes)
def test_how_a_text_is_cut_makes_no_difference(text: str, by: list[int]) -> None:
    assert read(cut(text, by)) == read([text])


@settings(max_examples=400)
@given(speaking)
def test_text_before_the_first_call_is_what_the_model_wrote(text: str) -> None:
    found = read([text])
    if found and isinstance(found[0], str):
        assert text.startswith(found[0])
    assert sum(isinstance(piece, str) for piece in found) <= 1
