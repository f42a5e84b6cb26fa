"""Our own regular expressions take no more time than a text is long, or little more.

Each pattern of the kernel, the schemas and the plugins is asked about texts that are made to have
it try everything: long runs of what it repeats, and then something that does not fit. What tries
all ways to divide a run takes twice as long for each sign more, and is caught whatever the machine;
so is what divides one run among three repetitions.
"""

from __future__ import annotations

import ast
import importlib
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("kernel", "schemas", "plugins")
CPU_S_MAX = 2.0
"""Of one pattern and one text; linear ones take a thousandth of that."""
RUN_CHARS = 1_500
ENDS = ("", "\x00", "a")

CALLS = {"compile", "match", "search", "fullmatch", "finditer", "findall", "sub", "split", "subn"}


def modules() -> list[str]:
    return [
        str(path.relative_to(ROOT / folder).with_suffix("")).replace("/", ".")
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


def literals() -> dict[str, tuple[str | bytes, int]]:
    """Patterns that stand in a call as a whole text, with their place."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") not in CALLS:
                    continue
                owner = getattr(getattr(node.func, "value", None), "id", "")
                first = node.args[0] if node.args else None
                if owner == "re" and isinstance(first, ast.Constant):
                    found[f"{path.relative_to(ROOT)}:{node.lineno}"] = (first.value, 0)
    return found


def compiled() -> dict[str, tuple[str | bytes, int]]:
    """Patterns that modules hold, however they were put together."""
    found = {}
    for name in modules():
        if name.endswith("__main__") or ".loop" in name or ".resident" in name:
            continue
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for key, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found[f"{name}.{key}"] = (value.pattern, value.flags & ~re.DEBUG)
    return found


def repeated(tree: Any) -> Iterator[Any]:
    """What a pattern repeats without an end, or often."""
    for op, argument in tree:
        name = str(op)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _, most, inner = argument
            if most is parser.MAXREPEAT or most > 8:
                yield inner
            yield from repeated(inner)
        elif name == "SUBPATTERN":
            yield from repeated(argument[-1])
        elif name == "BRANCH":
            for each in argument[1]:
                yield from repeated(each)
        elif name in ("ASSERT", "ASSERT_NOT"):
            yield from repeated(argument[1])
        elif name == "ATOMIC_GROUP":
            yield from repeated(argument)


OF_CATEGORY = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}


def samples(tree: Any) -> str:
    """One text that fits what is repeated, as good as can be told without trying."""
    text = ""
    for op, argument in tree:
        name = str(op)
        if name == "LITERAL":
            text += chr(argument)
        elif name == "NOT_LITERAL":
            text += "a" if argument != ord("a") else "b"
        elif name == "ANY":
            text += "a"
        elif name == "IN":
            text += of_set(argument)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += samples(argument[2]) * max(1, min(argument[0], 4))
        elif name == "SUBPATTERN":
            text += samples(argument[-1])
        elif name == "BRANCH":
            text += samples(argument[1][0])
        elif name == "ATOMIC_GROUP":
            text += samples(argument)
    return text


def ways(tree: Any) -> Iterator[str]:
    """One text for each of the branches of what is repeated."""
    for op, argument in tree:
        if str(op) == "BRANCH":
            yield from (samples(each) for each in argument[1])
        elif str(op) == "SUBPATTERN":
            yield from ways(argument[-1])


def of_set(members: Any) -> str:
    if str(members[0][0]) == "NEGATE":
        named = {chr(value) for op, value in members if str(op) == "LITERAL"}
        return next((sign for sign in "a1 .,-_" if sign not in named), "a")
    for op, value in members:
        if str(op) == "LITERAL":
            return chr(value)
        if str(op) == "RANGE":
            return chr(value[0])
        if str(op) == "CATEGORY":
            return OF_CATEGORY.get(str(value), "a")
    return "a"


def attacks(pattern: str | bytes, flags: int) -> set[str]:
    """Texts that have a pattern try what it can."""
    given = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    tree = parser.parse(given, flags & ~re.UNICODE if isinstance(pattern, bytes) else flags)
    starts = {samples(list(tree)[:count]) for count in (0, 1, 2, len(tree))}
    runs = set('a1 \n,"`\\')
    for each in repeated(tree):
        runs |= {samples(each), *ways(each)}
    runs.discard("")
    found = set()
    for run in runs:
        long = run * (RUN_CHARS // len(run) + 1)
        found |= {before + long + end for before in starts for end in ENDS}
    return found


class TooSlow(Exception):
    """A pattern took more than its time."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlow in whatever takes longer, of this process's own time."""

    def over(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def too_slow(pattern: str | bytes, flags: int) -> str | None:
    """A text that a pattern takes too long for, if one was found."""
    usable = re.compile(pattern, flags)
    for text in attacks(pattern, flags):
        given: Any = text.encode("latin-1", "replace") if isinstance(pattern, bytes) else text
        try:
            with cpu_limit(CPU_S_MAX):
                usable.search(given)
                usable.match(given)
                usable.fullmatch(given)
        except TooSlow:
            return repr(text[:60])
    return None


@cache
def patterns() -> dict[str, tuple[str | bytes, int]]:
    """All of them, by their place. They take seconds to find, in which other tests can be read."""
    return {**literals(), **compiled()}


def test_there_are_patterns_of_every_folder() -> None:
    places = " ".join(patterns())
    assert len(patterns()) > 150
    for name in ("famulus.validation", "famulus_runs", "famulus_schemas", "famulus_extraction"):
        assert name in places


@pytest.mark.parametrize("folder", ["famulus", "famulus_schemas", "others"])
def test_no_pattern_is_slow(folder: str) -> None:
    slow = {}
    seen = set()
    for place, (pattern, flags) in patterns().items():
        owner = place.split("/")[1] if "/" in place else place.partition(".")[0]
        group = owner if owner in ("famulus", "famulus_schemas") else "others"
        if group == folder and (pattern, flags) not in seen:
            seen.add((pattern, flags))
            if (text := too_slow(pattern, flags)) is not None:
                slow[place] = text
    assert slow == {}


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"^(\w+\s?)*$", r"(?:a|a)*b", r'"(?:\\.|[^"\\]|\\)*"x', rb"(x+x+)+y"]
)
def test_a_pattern_that_tries_everything_is_seen(pattern: str | bytes) -> None:
    assert too_slow(pattern, 0) is not None
