"""Rounds and rows: what is compared is measured in turn, and told as a ratio to its floor."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from servers import HERE, Served
from traffic import Plan

Figures = dict[str, float]
Measure = Callable[[], Figures]
Rounds = Mapping[str, Sequence[Figures]]

STREAM_S = 2.5
STREAM_WARM_S = 1.5
STREAM_AFTER_S = 0.7
STREAM_DRAIN_S = 6.0

SLACK = 1.25
"""How far a target may be missed before `--check` calls it missed: machines are not quiet."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to measure."""

    rounds: int
    quick: bool
    """Measure next to nothing, to see that it all runs."""
    folder: Path
    """Empty, on the disk that is to be measured."""
    imports: bool = False

    def seconds(self, usual: float) -> float:
        """A window's length."""
        return 0.3 if self.quick else usual

    @property
    def stream_warm_s(self) -> float:
        """How long streams are read before a window, so that all of them flow in it."""
        return 1.0 if self.quick else STREAM_WARM_S


class Target(msgspec.Struct, frozen=True):
    """What a ratio should come to."""

    sign: Literal["<=", ">="]
    value: float

    def verdict(self, ratio: float) -> str:
        """Whether it does."""
        over = ratio / self.value if self.sign == "<=" else self.value / max(ratio, 1e-9)
        if over <= 1:
            return "reached"
        return "nearly" if over <= SLACK else "**missed**"

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line: a figure of every round, and its ratio to the floor's of the same round."""

    name: str
    figures: Sequence[float] = ()
    ratios: Sequence[float] = ()
    target: Target | None = None
    beside: Mapping[str, float] = {}

    @property
    def verdict(self) -> str:
        """Whether the target is reached; empty without one."""
        return self.target.verdict(statistics.median(self.ratios)) if self.target else ""

    def cells(self, beside: Sequence[str]) -> list[str]:
        """The texts of the line."""
        return [
            self.name,
            _spread(self.figures),
            _spread(self.ratios),
            str(self.target or ""),
            self.verdict,
            *(_number(self.beside[name]) if name in self.beside else "" for name in beside),
        ]


class Table(msgspec.Struct, kw_only=True):
    """Rows that belong together, in Markdown that a terminal can show too."""

    title: str
    unit: str
    rows: list[Row] = []
    note: str = ""

    def text(self) -> str:
        """The table, its columns in line."""
        beside = list(dict.fromkeys(name for row in self.rows for name in row.beside))
        head = ["", f"{self.unit} (min..max)", "ratio (min..max)", "target", "", *beside]
        lines = [head, *(row.cells(beside) for row in self.rows)]
        widths = [max(3, *(len(line[at]) for line in lines)) for at in range(len(head))]
        texts = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        ]
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        body = "\n".join([texts[0] + " |", rule, *(text + " |" for text in texts[1:])])
        return f"### {self.title}\n\n{body}\n" + (f"\n{self.note}\n" if self.note else "")


def interleave(cells: Mapping[str, Measure], options: Options) -> Rounds:
    """Measure A B C A B C ..., so that what a machine does meanwhile falls on all alike."""
    found: dict[str, list[Figures]] = {name: [] for name in cells}
    for number in range(options.rounds):
        for name, measure in cells.items():
            figures = measure()
            found[name].append(figures)
            told = " ".join(f"{key}={_number(value)}" for key, value in figures.items())
            print(f"  {number + 1}/{options.rounds} {name}: {told}", file=sys.stderr, flush=True)
    return found


def least(rounds: Rounds, of: int, figure: str = "cpu_us") -> Rounds:
    """Of every so many rounds that which the machine disturbed least, for each cell by itself."""
    return {
        name: [
            min(every[at : at + of], key=lambda figures: figures[figure])
            for at in range(0, len(every), of)
        ]
        for name, every in rounds.items()
    }


def column(rounds: Rounds, name: str, figure: str = "cpu_us") -> list[float]:
    """One figure of every round."""
    return [figures[figure] for figures in rounds[name]]


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def row(
    rounds: Rounds,
    name: str,
    *,
    floor: str | None = None,
    target: Target | None = None,
    figure: str = "cpu_us",
    beside: Sequence[str] = (),
) -> Row:
    """A line from what `interleave` found; without `floor` it is the floor."""
    figures = column(rounds, name, figure)
    return Row(
        name=name,
        figures=figures,
        ratios=ratios(figures, column(rounds, floor or name, figure)),
        target=target,
        beside={
            each: statistics.median(column(rounds, name, each))
            for each in beside
            if all(each in figures for figures in rounds[name])
        },
    )


def load(
    server: Served,
    options: Options,
    requests: Sequence[str],
    connections: int,
    *,
    window_s: float = 1.5,
    is_awake: bool = False,
) -> Figures:
    """Requests one after the other on so many connections."""
    return _traffic(
        Plan(
            port=server.port,
            pids=server.pids,
            requests=list(requests),
            connections=connections,
            warm_s=options.seconds(min(0.4, window_s)),
            window_s=options.seconds(window_s),
            is_awake=is_awake,
        )
    )


def streams(
    server: Served, options: Options, requests: Sequence[str], *, connections: int, rate: float
) -> Figures:
    """So many streams at once; `delivered` is the part of what was offered that came."""
    found = _traffic(
        Plan(
            port=server.port,
            pids=server.pids,
            requests=list(requests),
            connections=connections,
            warm_s=options.stream_warm_s,
            window_s=options.seconds(STREAM_S),
            streams=True,
            drain_s=STREAM_DRAIN_S,
        )
    )
    found["delivered"] = found["per_s"] / (connections * rate)
    return found


def stream_tokens(options: Options, rate: float) -> int:
    """How many tokens let a stream outlast its window, and end soon after."""
    return int(rate * (options.stream_warm_s + options.seconds(STREAM_S) + STREAM_AFTER_S))


def _traffic(plan: Plan) -> Figures:
    return child("traffic.py", stdin=msgspec.json.encode(plan))


def child(script: str, *arguments: str, stdin: bytes = b"") -> Figures:
    """What a script of this folder prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: Figures = json.loads(done.stdout)
    return figures


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle = _number(statistics.median(values))
    return f"{middle} ({_number(min(values))}..{_number(max(values))})"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.0f}" if value >= 100 else f"{value:.1f}"
