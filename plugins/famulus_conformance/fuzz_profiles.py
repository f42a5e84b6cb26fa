"""How long and how deep is fuzzed."""

from __future__ import annotations

import os

import msgspec

VARIABLE = "FAMULUS_CONFORMANCE"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How much is asked of a server."""

    name: str
    examples: int
    """Requests that are drawn at random for each operation."""
    walks: int
    """Walks along the links from one operation to the next."""
    steps: int = 10
    """Requests of one walk: enough for assistant, thread, message, run, steps and cancel."""
    is_derandomized: bool
    """Whether every run draws the same; the seed counts for nothing then."""
    request_s: float = 60.0
    """Seconds a request may take, on a machine that does other things too."""


QUICK = Profile(name="quick", examples=12, walks=60, is_derandomized=True)
FULL = Profile(name="full", examples=300, walks=1000, is_derandomized=False)
PROFILES = {profile.name: profile for profile in (QUICK, FULL)}


def chosen_profile() -> Profile:
    """What `FAMULUS_CONFORMANCE` names; quick where it names none. Raises LookupError."""
    name = os.environ.get(VARIABLE) or QUICK.name
    if name not in PROFILES:
        raise LookupError(f"{VARIABLE} is {name!r}; it may be one of {', '.join(PROFILES)}")
    return PROFILES[name]
