"""Which limits count in a project, and what set each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from famulus_rate_limits.policy import Policy, Whose, claim_of, claim_of_day, limiting
from famulus_rate_limits.settings import Allowance, RateLimitsSettings
from famulus_rate_limits.stored import ByModel
from famulus_schemas.limits import Limit, Slot
from famulus_schemas.rate_limits import StoredRateLimit

Of = Literal["key", "project", "model"]
Per = Literal["minute", "day", "at_once"]
What = Literal["requests", "tokens", "runs", "answers"]


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """One limit."""

    of: Of
    id: str | None
    """Whose it is; None for each that has none of its own."""
    what: What
    per: Per
    amount: int
    setting: str | None
    """Which setting of the plugin it is; None where an administrator has set it."""
    counted_by: Limit | Slot
    """As LIMITS knows it; nothing counts by it that is each one's."""


def effective(
    settings: RateLimitsSettings,
    project: str,
    stored: ByModel,
    *,
    key: str | None = None,
    model: str | None = None,
) -> list[Effective]:
    """All of a project, of its keys or the one, and of its models or the one."""
    policy = Policy(settings)
    of_key, of_project = policy.whose(key or "", project, None)
    found = [
        *_limits("key", key, of_key, _within(settings.keys, "key", key, "")),
        *_limits("project", project, of_project, _within(settings.projects, "project", project)),
    ]
    others = [*sorted({*settings.models, *stored}), None]
    for name in others if model is None else [model]:
        *_, whose = policy.whose("", project, name or "", stored)
        within = _within(settings.models, "model", name)
        found += _limits("model", name, whose, within, stored.get(name or ""))
    return found


def _within(
    tables: Mapping[str, Allowance], of: Of, id: str | None, each: str | None = None
) -> str:
    """What stands before the name of a setting: a table of its own, or that of each."""
    if id is not None and id in tables:
        return f"{of}s.{id}."
    return f"{of}_" if each is None else each


def _limits(
    of: Of, id: str | None, whose: Whose, within: str, own: StoredRateLimit | None = None
) -> Iterator[Effective]:
    allowance = whose.allowance
    by_minute: tuple[tuple[Literal["requests", "tokens"], int | None, int | None], ...] = (
        (
            "requests",
            allowance.requests_per_minute,
            own.max_requests_per_1_minute if own else None,
        ),
        ("tokens", allowance.tokens_per_minute, own.max_tokens_per_1_minute if own else None),
    )
    for what, amount, set_here in by_minute:
        if amount is not None:
            yield Effective(
                of=of,
                id=id,
                what=what,
                per="minute",
                amount=amount,
                setting=None if limiting(set_here) == amount else f"{within}{what}_per_minute",
                counted_by=claim_of(what, whose, amount, 0).limit,
            )
    if (a_day := whose.requests_per_day) is not None:
        limit = claim_of_day(whose, a_day).limit
        yield Effective(
            of=of, id=id, what="requests", per="day", amount=a_day, setting=None, counted_by=limit
        )
    at_once: tuple[tuple[Literal["runs", "answers"], int | None], ...] = (
        ("runs", allowance.runs_at_once_max),
        ("answers", allowance.answers_at_once_max),
    )
    for kind, amount in at_once:
        if amount is not None:
            yield Effective(
                of=of,
                id=id,
                what=kind,
                per="at_once",
                amount=amount,
                setting=f"{within}{kind}_at_once_max",
                counted_by=Slot(key=f"{kind} of {whose.name}", at_once_max=amount),
            )
