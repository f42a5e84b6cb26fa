"""What a valid token is worth here: who it is, which projects are open to it, and what it may."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from famulus_oidc.claims import texts_at, words_at
from famulus_oidc.faults import (
    MISMATCHED_PROJECT,
    NO_PROJECT,
    NO_ROLE,
    WHICH_PROJECT,
    BadToken,
)
from famulus_oidc.settings import Issuer
from famulus_schemas.errors import Problem
from famulus_schemas.identity import DEFAULT_PROJECT, SYSTEM_PROJECT, Principal
from famulus_schemas.keys import ORGANIZATION, ROLE_SCOPES, normal_scopes, without_repetition

_SAFE_SUBJECT = re.compile(r"[A-Za-z0-9@._|:+=/~-]{1,128}")
"""Anything else could be a line of a log, or more."""
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_NAMED_MAX = 20
"""Projects that an error names."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is worth; who asks with it still has to choose one of the projects."""

    id: str
    projects: tuple[str, ...]
    scopes: tuple[str, ...]
    """What it may in a project."""
    is_admin: bool = False

    def principal(self, chosen: str | None) -> Principal:
        """Who comes in, to the project that was chosen. Raises Problem (403) where to none."""
        if not self.is_admin and not self.scopes:
            raise Problem(NO_ROLE)
        if self.is_admin and (not self.scopes or (chosen is None and len(self.projects) != 1)):
            return Principal(id=self.id, project=SYSTEM_PROJECT, scopes=(ORGANIZATION,))
        project = self._project(chosen)
        scopes = (*self.scopes, ORGANIZATION) if self.is_admin else self.scopes
        return Principal(id=self.id, project=project, scopes=scopes)

    def _project(self, chosen: str | None) -> str:
        if not self.projects:
            raise Problem(NO_PROJECT)
        if chosen is not None:
            if chosen not in self.projects:
                raise Problem(MISMATCHED_PROJECT)
            return chosen
        if len(self.projects) > 1:
            raise Problem(WHICH_PROJECT, projects=", ".join(self.projects[:_NAMED_MAX]))
        return self.projects[0]


def grant(claims: Mapping[str, Any], issuer: Issuer) -> Grant:
    """What these claims are worth. Raises BadToken where they do not tell whose they are."""
    scopes, is_admin = _scopes(claims, issuer)
    return Grant(
        id=f"{issuer.name}:{_subject(claims, issuer)}",
        projects=_projects(claims, issuer),
        scopes=scopes,
        is_admin=is_admin,
    )


def _subject(claims: Mapping[str, Any], issuer: Issuer) -> str:
    found = texts_at(claims, issuer.subject_claim)
    if len(found) != 1:
        raise BadToken(f"it does not say whose it is ({issuer.subject_claim})")
    subject = found[0]
    if _SAFE_SUBJECT.fullmatch(subject):
        return subject
    # `#` is in no other subject, so nobody is taken for somebody else.
    return f"#{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _projects(claims: Mapping[str, Any], issuer: Issuer) -> tuple[str, ...]:
    if issuer.project_claim is None:
        return (issuer.project or DEFAULT_PROJECT,)
    values = texts_at(claims, issuer.project_claim)
    if issuer.projects:
        named = [issuer.projects[value] for value in values if value in issuer.projects]
        return tuple(dict.fromkeys(named))
    template = issuer.project_template or "{value}"
    made = (template.replace("{value}", value) for value in values)
    return tuple(each for each in made if _PROJECT.fullmatch(each) and each != SYSTEM_PROJECT)


def _scopes(claims: Mapping[str, Any], issuer: Issuer) -> tuple[tuple[str, ...], bool]:
    """What a token may in its projects, and whether it may administer."""
    found: list[str] = []
    is_admin = False
    if issuer.roles_claim is not None:
        for value in words_at(claims, issuer.roles_claim):
            meaning = issuer.roles.get(value, ())
            is_admin = is_admin or meaning == "admin"
            found += _meant(meaning)
    if not found and not is_admin:
        found += ROLE_SCOPES[_default_role(issuer)]
    return without_repetition(found), is_admin


def _meant(meaning: str | tuple[()] | list[str]) -> tuple[str, ...]:
    if isinstance(meaning, str):
        return ROLE_SCOPES.get(meaning, ())
    return normal_scopes(meaning) if meaning else ()


def _default_role(issuer: Issuer) -> str:
    if issuer.default_role is not None:
        return issuer.default_role
    return "member" if issuer.roles_claim is None else "none"
