"""API keys and projects as they are kept, and what their scopes allow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from famulus_schemas.identity import Principal

ALL = "*"
"""The scope of a key that is not restricted within its project."""

ORGANIZATION = "organization.*"
"""The scope of an admin key. `*` does not include it, and it includes nothing of a project."""

WHOLE_SERVER = ("metrics.read", "plugins.read")
"""What tells of all projects at once: for admin keys, and those that have these very scopes."""

OPERATOR = (ALL, *WHOLE_SERVER)
"""The scopes of a key that the operator has from the server itself, and nobody else's."""

_BEYOND_PROJECTS = ("organization.", "metrics.", "plugins.")

Role = Literal["owner", "member", "reader", "none"]

ROLE_SCOPES: dict[str, tuple[str, ...]] = {
    "owner": (ALL,),
    "member": (ALL,),
    "reader": ("*.read",),
    "none": (),
}
"""What each role may in its project. None of them administers: an owner is a member here."""


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key; the project is that of its record."""

    id: str
    name: str = ""
    last_four: str
    created_at: int
    expires_at: int | None = None
    owner: str | None = None
    """Whom it speaks for, as a service account; itself where nobody is named."""
    scopes: tuple[str, ...] = (ALL,)
    last_used_at: int | None = None
    """Within a minute; None where it never was."""

    def principal(self, project: str) -> Principal:
        """Who comes in with this key."""
        return Principal(
            id=self.owner or self.id, project=project, scopes=self.scopes, key_id=self.id
        )

    def is_expired(self, now: float) -> bool:
        """Whether the key is past its time."""
        return self.expires_at is not None and now >= self.expires_at


class StoredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One service account; the project is that of its record."""

    id: str
    name: str
    created_at: int
    role: Role = "member"


class StoredProject(msgspec.Struct, frozen=True, kw_only=True):
    """One project."""

    id: str
    name: str
    created_at: int
    archived_at: int | None = None


def within_role(scopes: Collection[str], role: Role) -> tuple[str, ...]:
    """What is left of a key's scopes to whoever has this role: a key gives no more than it has."""
    if ALL in ROLE_SCOPES[role]:
        return tuple(scopes)
    if role == "none":
        return ()
    reading = (f"{scope.partition('.')[0]}.read" for scope in scopes)
    return tuple(dict.fromkeys(reading))


def missing_scope(scopes: Collection[str], action: str) -> str | None:
    """The least scope that this action (`resource.verb`) lacks; None where it is allowed.

    `*` allows all in a project and `*.read` all reading; `threads.read` allows to read, and
    `threads.write` to read and to change. What is of the whole server, neither `*` includes.
    """
    if ALL in scopes and not action.startswith(_BEYOND_PROJECTS):
        return None
    resource, _, verb = action.partition(".")
    kind = "read" if verb == "read" else "write"
    held = set(scopes)
    if resource == "organization":
        return None if ORGANIZATION in held else "organization.*"
    least = f"{resource}.{kind}"
    if least in WHOLE_SERVER:
        return None if held & {ORGANIZATION, least} else least
    enough = {ALL, "*.write", f"{resource}.write", f"*.{kind}", least}
    return None if enough & held else least


def normal_scopes(scopes: Collection[str]) -> tuple[str, ...]:
    """Scopes as they are kept, of those of a client. Raises ValueError naming one that is none.

    None at all is no restriction. `api.`, which OpenAI's begin with, may be there.
    """
    return without_repetition([_normal(scope) for scope in scopes]) or (ALL,)


def without_repetition(scopes: Sequence[str]) -> tuple[str, ...]:
    """The same scopes, without those of a project where `*` includes them."""
    found = tuple(dict.fromkeys(scopes))
    if ALL not in found:
        return found
    return (ALL, *(each for each in found if each.startswith(_BEYOND_PROJECTS)))


def _normal(scope: str) -> str:
    text = scope.removeprefix("api.")
    if text in ("all", ALL):
        return ALL
    if text in WHOLE_SERVER:
        return text
    resource, _, verb = text.partition(".")
    resource = "*" if resource == "all" else resource
    is_name = resource == "*" or (resource.isascii() and resource.replace("_", "").isalpha())
    made = f"{resource}.{verb}"
    if verb not in ("read", "write") or not is_name or made.startswith(_BEYOND_PROJECTS):
        raise ValueError(scope)
    return made
