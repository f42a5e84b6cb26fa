"""Names of files: kept and told as data. None of them is ever part of a path of ours."""

from __future__ import annotations

import re
import unicodedata

from famulus_schemas.errors import INVALID, STRING_TOO_LONG, Problem

_SEPARATOR = re.compile(r"[/\\]")


def checked_name(name: str, *, param: str, characters_max: int) -> str:
    """The name itself. Raises Problem for one that would harm whoever saves a file by it."""
    if len(name) > characters_max:
        raise Problem(STRING_TOO_LONG, param=param, name=param, limit=characters_max, got=len(name))
    if not name.strip():
        raise _refused(param, "the file has no name.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise _refused(param, "the file's name holds a control character.")
    steps = _SEPARATOR.split(name)
    if ".." in steps or "." in steps or not steps[0] or not steps[-1]:
        raise _refused(param, "the file's name leads out of its folder.")
    return name


def _refused(param: str, reason: str) -> Problem:
    return Problem(INVALID, param=param, name=param, reason=reason)
