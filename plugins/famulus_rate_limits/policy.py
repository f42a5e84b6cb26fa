"""Which limits a request has: those of its key, its project and its model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from famulus_rate_limits.settings import Allowance, RateLimitsSettings
from famulus_rate_limits.stored import NONE, ByModel
from famulus_schemas.identity import Principal
from famulus_schemas.limits import Limit, Slot
from famulus_schemas.rate_limits import AMOUNT_MAX

MINUTE_S = 60.0
DAY_S = 86_400.0
KNOWN_MAX = 10_000
"""Keys whose claims are kept; each takes some 500 bytes."""

What = Literal["requests", "tokens"]
AtOnce = Literal["runs", "answers"]


class Claim(msgspec.Struct, frozen=True):
    """One limit that a request has, and what it is about."""

    what: What
    whom: str
    """Whose limit it is, as a client is told."""
    amount: int
    """How much of it in a minute, or in a day."""
    shown: str
    """The same, as a header has it."""
    limit: Limit
    is_of_day: bool = False


class Claims(msgspec.Struct, frozen=True):
    """All limits that a request has."""

    claims: tuple[Claim, ...]
    limits: tuple[Limit, ...]
    """Those of the claims, as LIMITS takes them."""


class Place(msgspec.Struct, frozen=True):
    """One slot that a run or an answer is to have, and what it is about."""

    what: AtOnce
    whom: str
    """Whose slot it is, as a client is told."""
    slot: Slot


class Policy:
    """The limits that are configured."""

    def __init__(self, settings: RateLimitsSettings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, str], Claims] = {}
        self._each_key = Allowance(
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
            runs_at_once_max=settings.runs_at_once_max,
            answers_at_once_max=settings.answers_at_once_max,
        )
        self._each_project = Allowance(
            requests_per_minute=settings.project_requests_per_minute,
            tokens_per_minute=settings.project_tokens_per_minute,
            runs_at_once_max=settings.project_runs_at_once_max,
            answers_at_once_max=settings.project_answers_at_once_max,
        )
        self._each_model = Allowance(
            requests_per_minute=settings.model_requests_per_minute,
            tokens_per_minute=settings.model_tokens_per_minute,
            runs_at_once_max=settings.model_runs_at_once_max,
            answers_at_once_max=settings.model_answers_at_once_max,
        )
        models = [self._each_model, *settings.models.values()]
        every = [self._each_key, *settings.keys.values()]
        every += [self._each_project, *settings.projects.values(), *models]
        self.limits_tokens = any(each.tokens_per_minute for each in every)
        self.limits_runs = any(each.runs_at_once_max for each in every)
        self.limits_answers = any(each.answers_at_once_max for each in every)
        self.limits_requests = any(each.requests_per_minute for each in every)
        self.limits_models = any(each != Allowance() for each in models)
        self.limits_anything = any(each != Allowance() for each in every)
        """Whether there is any limit that a request could meet."""

    def claims(
        self,
        principal: Principal,
        *,
        model: str | None = None,
        tokens: int | None = None,
        stored: ByModel = NONE,
    ) -> Claims:
        """What a request takes, of each of its limits; tokens only where it has any."""
        if model is not None or tokens is not None:
            return self._claims(principal.id, principal.project, model, tokens, stored)
        # Most requests: always the same of each key.
        place = (principal.id, principal.project)
        known = self._known.get(place)
        if known is None:
            while len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            known = self._known[place] = self._claims(*place, None, None, NONE)
        return known

    def _claims(
        self,
        principal: str,
        project: str,
        model: str | None,
        tokens: int | None,
        stored: ByModel,
    ) -> Claims:
        found = []
        for name, whom, allowance in self._allowances(principal, project, model, stored):
            if allowance.requests_per_minute is not None:
                found.append(_claim("requests", name, whom, allowance.requests_per_minute, 1))
            if tokens is not None and allowance.tokens_per_minute is not None:
                found.append(_claim("tokens", name, whom, allowance.tokens_per_minute, tokens))
        own = None if model is None else stored.get(model)
        if own is not None and (a_day := _limiting(own.max_requests_per_1_day)) is not None:
            whom = f"{model} in the project {project}"
            found.append(_claim_of_day(f"model {model}", whom, a_day))
        return Claims(tuple(found), tuple(claim.limit for claim in found))

    def corrections(
        self,
        principal: str,
        project: str,
        *,
        model: str | None,
        reserved: int,
        used: int,
        stored: ByModel = NONE,
    ) -> list[Limit]:
        """The difference between what was used and what was taken of each limit of tokens."""
        found = []
        for name, whom, allowance in self._allowances(principal, project, model, stored):
            if allowance.tokens_per_minute is not None:
                taken = _claim("tokens", name, whom, allowance.tokens_per_minute, reserved).limit
                # Of a small limit less was taken than was reserved of others.
                found.append(msgspec.structs.replace(taken, cost=used - taken.cost))
        return found

    def places(self, what: AtOnce, principal: str, project: str, model: str | None) -> list[Place]:
        """The slots that a run or an answer is to have as long as it is at work."""
        found = []
        for name, whom, allowance in self._allowances(principal, project, model):
            at_once_max = getattr(allowance, f"{what}_at_once_max")
            if at_once_max is not None:
                slot = Slot(key=f"{what} of {name}", at_once_max=at_once_max)
                found.append(Place(what, whom, slot))
        return found

    def of_model(self, model: str, stored: ByModel) -> Allowance:
        """What a project may use of a model: what was set for it, within what is configured."""
        configured = self._settings.models.get(model, self._each_model)
        if (own := stored.get(model)) is None:
            return configured
        return msgspec.structs.replace(
            configured,
            requests_per_minute=_least(
                configured.requests_per_minute, own.max_requests_per_1_minute
            ),
            tokens_per_minute=_least(configured.tokens_per_minute, own.max_tokens_per_1_minute),
        )

    def _allowances(
        self, principal: str, project: str, model: str | None, stored: ByModel = NONE
    ) -> Iterator[tuple[str, str, Allowance]]:
        settings = self._settings
        allowance = settings.keys.get(principal, self._each_key)
        yield f"key {principal}", f"the key {principal}", allowance
        yield (
            "project",
            f"the project {project}",
            settings.projects.get(project, self._each_project),
        )
        if model is not None:
            allowance = self.of_model(model, stored)
            yield f"model {model}", f"{model} in the project {project}", allowance


def _least(configured: int | None, own: int | None) -> int | None:
    given = [amount for amount in (configured, _limiting(own)) if amount is not None]
    return min(given, default=None)


def _limiting(amount: int | None) -> int | None:
    """None for what is no limit."""
    return None if amount is None or amount >= AMOUNT_MAX else amount


def _claim(what: What, name: str, whom: str, per_minute: int, wanted: int) -> Claim:
    """A minute's worth may be used at once, and what wants more than all of it takes all."""
    limit = Limit(
        key=f"{what} of {name}",
        rate=per_minute / MINUTE_S,
        burst=per_minute,
        cost=min(wanted, per_minute),
    )
    return Claim(what, whom, per_minute, str(per_minute), limit)


def _claim_of_day(name: str, whom: str, per_day: int) -> Claim:
    """Likewise: a day's worth may be used at once, and comes back evenly."""
    limit = Limit(key=f"requests a day of {name}", rate=per_day / DAY_S, burst=per_day)
    return Claim("requests", whom, per_day, str(per_day), limit, is_of_day=True)
