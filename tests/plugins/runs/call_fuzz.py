"""One target for fuzzers: bytes to a model's text, cut anywhere, and what must hold of its calls.

`python -m tests.plugins.runs.call_fuzz -runs=1000000` has atheris guide it, where that is
installed; Hypothesis drives the same target in the ordinary tests.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from famulus_runs.call_forms import TextualCall
from famulus_runs.repair import decoded, is_json, json_text, object_text
from famulus_runs.text_scan import Piece, TextScan

NAMES = ("get_weather", "get", "book-table")
LOOKAHEAD = 256
MAX = 4_096

WORDS = (
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "<function=get>",
    "</function>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "functions.",
    "```json\n",
    "```",
    '{"name": "get", "arguments": {}}',
    '{"name": "get_weather", "parameters": {"city": "Oslo"}}',
    '"name"',
    '"arguments"',
    "book-table",
    "get_weather",
    "True",
    "None",
    '"\\u12',
    "\\",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\n",
    " ",
    "\ud83d",
    "é",
)
"""What bytes from 0xE0 on stand for, so that a fuzzer needs few of them to write a call."""

FIRST_WORD = 0x100 - len(WORDS)


def read(data: bytes) -> tuple[list[int], str, bool]:
    """The sizes that a text is cut in, the text, and whether a limit cut it off."""
    head, body = data[:4], data[4:]
    text = "".join(WORDS[byte - FIRST_WORD] if byte >= FIRST_WORD else chr(byte) for byte in body)
    return [1 + byte % 24 for byte in head] or [1], text, len(data) % 2 == 1


def cut(text: str, sizes: list[int]) -> Iterator[str]:
    """The text in pieces of these sizes, over and over."""
    at = number = 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        yield text[at : at + size]
        at, number = at + size, number + 1


def scanned(pieces: Iterator[str], *, is_cut: bool) -> list[Piece]:
    """What comes of them, neighbouring texts joined."""
    scan = TextScan(NAMES, LOOKAHEAD, MAX)
    found: list[Piece] = []
    for piece in (*map(scan.feed, pieces), scan.end(is_cut=is_cut)):
        for part in piece:
            if found and isinstance(part, str) and isinstance(found[-1], str):
                found[-1] += part
            else:
                found.append(part)
    return found


def judge(data: bytes) -> None:
    """Fail where a promise of the parser does not hold of this text."""
    sizes, text, is_cut = read(data)
    found = scanned(cut(text, sizes), is_cut=is_cut)
    assert found == scanned(iter([text]), is_cut=is_cut), "how a text is cut makes a difference"
    judge_pieces(found, text)
    judge_repair(text)


def judge_pieces(found: list[Piece], text: str) -> None:
    """Calls are of offered functions, and all text is the model's own, in its order."""
    rest = text
    for piece in found:
        if isinstance(piece, TextualCall):
            assert piece.name in NAMES
            continue
        at = rest.find(piece)
        assert at >= 0, "there is text that the model did not write"
        rest = rest[at + len(piece) :]
    if not any(isinstance(piece, TextualCall) for piece in found):
        assert "".join(map(str, found)) == text, "text was lost though nothing was called"


def judge_repair(text: str) -> None:
    """What is put right is JSON, stays as it is, and means what it did if it was right before."""
    mended = json_text(text)
    if is_json(text):
        assert mended == text
    if mended is not None:
        assert json_text(mended) == mended
        json.loads(mended)
    arguments = object_text(text)
    if arguments is not None:
        assert isinstance(decoded(arguments), dict)
        assert object_text(arguments) == arguments


def main() -> None:
    """Let atheris look for a text that breaks a promise."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
