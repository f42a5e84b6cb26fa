"""Divides a model's text, while it comes in, into text and calls that are written as text."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import groupby

from famulus_runs.call_forms import (
    Brackets,
    Mismatch,
    Opening,
    TextualCall,
    Undecided,
    calls_in,
    is_trailer_begun,
    is_trailing,
    opening,
    trailer,
    without_trailers,
)

_TRIGGER = re.compile(r"[<\[{`f]")
_MARKED_TRIGGERS = "<["

Piece = str | TextualCall


class _Candidate:
    """The text of a call that was begun, up to the end of its JSON."""

    def __init__(self, opened: Opening) -> None:
        self.opened = opened
        self.size = 0
        self._pieces: list[str] = []
        self._brackets = Brackets()

    def end_in(self, piece: str) -> int | None:
        """How much of the piece belongs to it; None where it goes on."""
        skipped = max(0, self.opened.value_at - self.size)
        end = self._brackets.end_in(piece[skipped:])
        return None if end is None else skipped + end

    def add(self, piece: str) -> None:
        """Take more of it."""
        self._pieces.append(piece)
        self.size += len(piece)

    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)

    def calls(self, names: Collection[str]) -> list[TextualCall] | None:
        """The calls that it makes, now that it is complete."""
        value = self.text()[self.opened.value_at :]
        return calls_in(value, self.opened, names)

    def mended(self, names: Collection[str]) -> list[TextualCall] | None:
        """The calls that it makes although the model left it open."""
        value = without_trailers(self.text()[self.opened.value_at :])
        return calls_in(value, self.opened, names)


class TextScan:
    """Divides a text that comes in pieces into text and calls.

    Marked calls count anywhere, and others where they begin the answer, or where they begin a
    line and nothing but calls follows. Never holds back more than `call_chars_max` characters,
    nor more than `lookahead_chars` before the name of an offered function was read.
    """

    def __init__(self, names: Collection[str], lookahead_chars: int, call_chars_max: int) -> None:
        self._names = frozenset(names)
        self._call_chars_max = call_chars_max
        self._lookahead_chars = min(lookahead_chars, call_chars_max)
        self._out: list[Piece] = []
        self._held = ""
        """Text that goes on if it is not followed by a call, or by nothing but calls."""
        self._waiting = ""
        """Text that is too short to tell."""
        self._candidate: _Candidate | None = None
        self._possible: list[TextualCall] = []
        """Calls that are text if text follows."""
        self._is_begun = False
        self._line = ""
        """The first three characters of the line that was let go on last, blanks aside."""
        self._in_fence = False
        self._has_called = False
        self._is_done = False

    def feed(self, text: str) -> list[Piece]:
        """What is certain, now that this text came."""
        if self._is_done:
            return []
        rest, self._waiting = self._waiting + text, ""
        while rest and not self._is_done:
            if self._candidate is not None:
                rest = self._read_candidate(self._candidate, rest)
            elif self._has_called or self._possible:
                rest = self._read_after_call(rest)
            else:
                rest = self._read_text(rest)
        return self._taken()

    def end(self, *, is_cut: bool) -> list[Piece]:
        """What is left at the end of the answer; a call that was cut off by a limit is text."""
        if (candidate := self._candidate) is not None:
            self._candidate = None
            self._settle(candidate, None if is_cut else candidate.mended(self._names))
        waiting, self._waiting = self._waiting, ""
        if self._has_called or (self._possible and is_trailing(waiting)):
            self._out += self._possible
        else:
            self._release(self._held + waiting)
        return self._taken()

    def _taken(self) -> list[Piece]:
        """What is certain; neighbouring texts are one."""
        out, self._out = self._out, []
        if len(out) < 2:
            return out
        joined: list[Piece] = []
        for is_text, pieces in groupby(out, key=lambda piece: isinstance(piece, str)):
            same = list(pieces)
            joined += ["".join(map(str, same))] if is_text else same
        return joined

    # --- where it is --------------------------------------------------------------------------

    def _read_text(self, rest: str) -> str:
        """Let text go on up to where a call may begin; what is not read yet is returned."""
        blank = len(rest) - len(rest.lstrip())
        if not self._is_begun and blank + len(self._held) <= self._lookahead_chars:
            # Blank lines before a call are no message.
            self._held += rest[:blank]
            rest = rest[blank:]
        done = 0
        for found in _TRIGGER.finditer(rest):
            at = found.start()
            unmarked = self._starts_line(rest, at)
            if unmarked:
                # What comes before decides whether it stands in a code fence.
                self._go_on(rest[done:at])
                done = at
                unmarked = not self._in_fence
            if not unmarked and found[0] not in _MARKED_TRIGGERS:
                continue
            try:
                opened = self._opening(rest[at : at + self._lookahead_chars + 1], unmarked)
            except Mismatch:
                continue
            except Undecided:
                self._go_on(rest[done:at])
                self._waiting = rest[at:]
                return ""
            self._go_on(rest[done:at])
            self._candidate = _Candidate(opened)
            return rest[at:]
        self._go_on(rest[done:])
        return ""

    def _go_on(self, text: str) -> None:
        if text:
            self._release(self._held + text)

    def _read_after_call(self, rest: str) -> str:
        """Pass over what only ends or separates calls, up to the next one."""
        try:
            opened = self._opening(rest[: self._lookahead_chars + 1], unmarked=True)
        except Undecided:
            self._waiting = rest
            return self._unless_too_long()
        except Mismatch:
            return self._pass_trailer(rest)
        self._candidate = _Candidate(opened)
        return rest

    def _pass_trailer(self, rest: str) -> str:
        if is_trailer_begun(rest):
            self._waiting = rest
            return self._unless_too_long()
        end = trailer(rest)
        if end == 0:
            self._say_after_call()
            return rest
        self._held += rest[:end]
        self._unless_too_long()
        return rest[end:]

    def _unless_too_long(self) -> str:
        """Nothing; but the waiting text, to be read as text, where too much is held back."""
        if self._has_called:
            self._held = ""
        if len(self._held) + len(self._waiting) <= self._call_chars_max:
            return ""
        self._say_after_call()
        waiting, self._waiting = self._waiting, ""
        return waiting

    def _say_after_call(self) -> None:
        """The model goes on talking: that ends its calls, or shows that there were none."""
        if self._has_called:
            self._is_done = True
            return
        self._possible = []
        self._release(self._held)

    def _read_candidate(self, candidate: _Candidate, rest: str) -> str:
        room = self._call_chars_max - len(self._held) - candidate.size
        piece = rest[: max(0, room)]
        end = candidate.end_in(piece)
        if end is None and len(piece) == len(rest):
            candidate.add(piece)
            return ""
        candidate.add(piece if end is None else piece[:end])
        self._candidate = None
        self._settle(candidate, candidate.calls(self._names) if end is not None else None)
        return rest[len(piece) if end is None else end :]

    def _settle(self, candidate: _Candidate, calls: list[TextualCall] | None) -> None:
        """Take a call, or let its text go on."""
        if calls is None:
            if self._has_called:
                self._is_done = True
                return
            self._possible = []
            self._release(self._held + candidate.text())
            return
        opened = candidate.opened
        self._possible += calls
        self._held += candidate.text()
        is_first = not self._is_begun and not opened.is_fenced
        if self._has_called or opened.is_marked or is_first:
            self._has_called = True
            self._out += self._possible
            self._possible, self._held = [], ""

    # --- what is there ------------------------------------------------------------------------

    def _opening(self, text: str, unmarked: bool) -> Opening:
        try:
            return opening(text, self._names, unmarked=unmarked)
        except Undecided:
            if len(text) > self._lookahead_chars:
                raise Mismatch from None
            raise

    def _starts_line(self, text: str, at: int) -> bool:
        line = text.rfind("\n", 0, at) + 1
        return not text[line:at].strip(" \t") and (line > 0 or not self._line)

    def _release(self, text: str) -> None:
        """Let text go on, in place of all that was held back."""
        self._held = ""
        if not text:
            return
        self._out.append(text)
        self._is_begun = self._is_begun or bool(text.strip())
        for number, line in enumerate(text.split("\n")):
            before = self._line if number == 0 else ""
            self._line = before if len(before) == 3 else (before + line).lstrip(" \t")[:3]
            if self._line == "```" != before:
                self._in_fence = not self._in_fence
