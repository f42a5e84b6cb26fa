"""Performs a story: shows each step's code as it was written, then runs that very code."""

from __future__ import annotations

import ast
import inspect
import textwrap
import warnings
from collections.abc import Callable, Generator
from typing import Any, ParamSpec, Protocol

import click

P = ParamSpec("P")


class Ended(Protocol):
    """A run, as far as it is looked at."""

    status: Any
    last_error: Any


class StoryFailed(Exception):
    """A run of the story did not complete; says why."""


def perform(
    story: Callable[P, Generator[Ended | None, None, None]], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Show and run each step, up to the last `yield`. Raises StoryFailed."""
    telling = story(*args, **kwargs)
    with warnings.catch_warnings():
        # The client marks every call of this API as deprecated, which is why there is Famulus.
        warnings.simplefilter("ignore", DeprecationWarning)
        for code in steps(story):
            click.echo("\n".join(map(_styled, code)))
            run = next(telling)
            click.echo()
            if run is not None and run.status != "completed":
                raise StoryFailed(f"a run ended as {run.status}: {run.last_error}")


def steps(story: Callable[..., Any]) -> list[list[str]]:
    """The lines of each step, as one types them; a `yield` of the story's own ends one."""
    lines = textwrap.dedent(inspect.getsource(story)).splitlines()
    [function] = ast.parse("\n".join(lines)).body
    assert isinstance(function, ast.FunctionDef)
    # The first statement is the docstring, which is for those who read the source.
    begin = function.body[0].end_lineno or 0
    starts: set[int] = set()
    found = []
    for statement in function.body[1:]:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield):
            found.append(_typed(lines, begin, statement.lineno - 1, starts))
            begin = statement.lineno
        starts.add(statement.lineno)
    return found


def _typed(lines: list[str], begin: int, end: int, starts: set[int]) -> list[str]:
    """Lines with the prompts of Python: one where a statement starts, one where it goes on."""
    typed = []
    for number in range(begin, end):
        line = lines[number].removeprefix("    ")
        if line.startswith("#"):
            typed.append(line)
        elif line:
            typed.append(f">>> {line}" if number + 1 in starts else f"... {line}")
    return typed


def _styled(line: str) -> str:
    return click.style(line, fg="cyan") if line.startswith("#") else click.style(line, bold=True)
