"""Where in a run's stream something is: `<run_id>:<attempt>.<seq>.<offset>`.

`seq` numbers the run's own events, deltas left out; `offset` is how many characters of the open
item were told by then. So a position means the same in every process, and after the run.
"""

from __future__ import annotations

import re

import msgspec

_FORM = re.compile(
    r"^(?P<run>[^:]{1,200}):(?P<attempt>\d{1,9})\.(?P<seq>\d{1,9})\.(?P<offset>\d{1,12})$"
)


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in one run's stream; later places are greater."""

    seq: int = 0
    offset: int = 0

    def text(self, run_id: str, attempt: int) -> str:
        """As the `id:` line has it."""
        return f"{run_id}:{attempt}.{self.seq}.{self.offset}"


START = Position()


def parse(text: str) -> tuple[str, Position] | None:
    """The run and the place that a text names, or None where it names none."""
    found = _FORM.match(text)
    if found is None:
        return None
    return found["run"], Position(int(found["seq"]), int(found["offset"]))
