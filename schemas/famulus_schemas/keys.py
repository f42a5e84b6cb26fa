"""API keys and projects as they are kept, and what their scopes allow."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from famulus_schemas.identity import Principal

ALL = "*"
"""The scope of a key that is not restricted within its project."""

ORGANIZATION = "organization.*"
"""The scope of an admin key. `*` does not include it, and it includes nothing of a project."""

ADMINISTRATION = frozenset({"organization", "plugins", "metrics"})
"""Resources that admin keys are for."""

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
    if ALL in scopes:
        return ROLE_SCOPES[role]
    reading = (f"{scope.partition('.')[0]}.read" for scope in scopes)
    return tuple(dict.fromkeys(reading))


def missing_scope(scopes: Collection[str], action: str) -> str | None:
    """The least scope that this action (`resource.verb`) lacks; None where it is allowed.

    `*` allows all in a project and `*.read` all reading; `threads.read` allows to read, and
    `threads.write` to read and to change.
    """
    if ALL in scopes and not action.startswith("organization."):
        return None
    resource, _, verb = action.partition(".")
    kind = "read" if verb == "read" else "write"
    held = set(scopes)
    if resource == "organization":
        return None if ORGANIZATION in held else "organization.*"
    if resource in ADMINISTRATION and ORGANIZATION in held:
        return None
    enough = {ALL, "*.write", f"{resource}.write", f"*.{kind}", f"{resource}.{kind}"}
    return None if enough & held else f"{resource}.{kind}"


def normal_scopes(scopes: Collection[str]) -> tuple[str, ...]:
    """Scopes as they are kept, of those of a client. Raises ValueError naming one that is none.

    None at all is no restriction. `api.`, which OpenAI's begin with, may be there.
    """
    found = tuple(dict.fromkeys(_normal(scope) for scope in scopes))
    return (ALL,) if not found or ALL in found else found


def _normal(scope: str) -> str:
    text = scope.removeprefix("api.")
    if text in ("all", ALL):
        return ALL
    resource, _, verb = text.partition(".")
    resource = "*" if resource == "all" else resource
    is_name = resource == "*" or (resource.isascii() and resource.replace("_", "").isalpha())
    if verb not in ("read", "write") or not is_name or resource in ADMINISTRATION:
        raise ValueError(scope)
    return f"{resource}.{verb}"
