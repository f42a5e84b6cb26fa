"""Which limits a request has: those of its key, its project and its model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from famulus_rate_limits.settings import Allowance, RateLimitsSettings
from famulus_rate_limits.stored import NONE, ByModel
from famulus_rate_limits.words import lines_of
from famulus_schemas.identity import Principal
from famulus_schemas.limits import Limit, Reserved, Slot
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
    lines: bytes
    """What a client is told of it, as `lines_of`."""
    limit: Limit
    is_of_day: bool = False
    is_of_model: bool = False


class Claims(msgspec.Struct, frozen=True):
    """All limits that a request has."""

    claims: tuple[Claim, ...]
    limits: tuple[Limit, ...]
    """Those of the claims, as LIMITS takes them."""

    @property
    def tokens(self) -> tuple[Limit, ...]:
        """Those of tokens."""
        return tuple(claim.limit for claim in self.claims if claim.what == "tokens")

    def corrections(self, used: int) -> list[Limit]:
        """What is to be settled of them once it is known how many tokens were used."""
        return corrections(self.tokens, used)

    @property
    def reserved(self) -> Reserved | None:
        """What is to be settled of them when a run is over, if anything is."""
        tokens = self.tokens
        asking = (each for each in self.claims if each.what == "requests" and each.is_of_model)
        requests = tuple(each.limit for each in asking)
        return Reserved(tokens=tokens, requests=requests) if tokens or requests else None


class Place(msgspec.Struct, frozen=True):
    """One slot that a run or an answer is to have, and what it is about."""

    what: AtOnce
    whom: str
    """Whose slot it is, as a client is told."""
    slot: Slot


class Whose(msgspec.Struct, frozen=True):
    """A key, a project or a model that has limits."""

    name: str
    """As LIMITS knows it, within the project."""
    whom: str
    """As a client is told."""
    allowance: Allowance
    requests_per_day: int | None = None
    is_model: bool = False


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
        self.limits_rates_of_models = any(
            each.requests_per_minute or each.tokens_per_minute for each in models
        )
        self.limits_runs_of_models = any(each.runs_at_once_max for each in models)
        self.limits_anything = any(each != Allowance() for each in every)
        """Whether there is any limit that a request could meet."""

    def usual_claims(self, principal: Principal) -> Claims:
        """What a request takes that is for no model: always the same of each key."""
        place = (principal.id, principal.project)
        known = self._known.get(place)
        if known is None:
            while len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            known = self._known[place] = self._claims(*place, None, None, NONE)
        return known

    def claims(
        self,
        principal: Principal,
        *,
        model: str | None = None,
        tokens: int | None = None,
        stored: ByModel = NONE,
    ) -> Claims:
        """What a request takes, of each of its limits; tokens only where it has any."""
        if model is None and tokens is None:
            return self.usual_claims(principal)
        return self._claims(principal.id, principal.project, model, tokens, stored)

    def _claims(
        self,
        principal: str,
        project: str,
        model: str | None,
        tokens: int | None,
        stored: ByModel,
    ) -> Claims:
        found = []
        for whose in self.whose(principal, project, model, stored):
            allowance = whose.allowance
            if allowance.requests_per_minute is not None:
                found.append(claim_of("requests", whose, allowance.requests_per_minute, 1))
            if tokens is not None and allowance.tokens_per_minute is not None:
                found.append(claim_of("tokens", whose, allowance.tokens_per_minute, tokens))
            if whose.requests_per_day is not None:
                found.append(claim_of_day(whose, whose.requests_per_day))
        return Claims(tuple(found), tuple(claim.limit for claim in found))

    def places(self, what: AtOnce, principal: str, project: str, model: str | None) -> list[Place]:
        """The slots that a run or an answer is to have as long as it is at work."""
        found = []
        for whose in self.whose(principal, project, model):
            at_once_max = getattr(whose.allowance, f"{what}_at_once_max")
            if at_once_max is not None:
                slot = Slot(key=f"{what} of {whose.name}", at_once_max=at_once_max)
                found.append(Place(what, whose.whom, slot))
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

    def whose(
        self, principal: str, project: str, model: str | None, stored: ByModel = NONE
    ) -> Iterator[Whose]:
        """Who has limits that a request meets: its key, its project and its model."""
        settings = self._settings
        of_key = settings.keys.get(principal, self._each_key)
        yield Whose(f"key {principal}", f"the key {principal}", of_key)
        of_project = settings.projects.get(project, self._each_project)
        yield Whose("project", f"the project {project}", of_project)
        if model is not None:
            own = stored.get(model)
            yield Whose(
                f"model {model}",
                f"{model} in the project {project}",
                self.of_model(model, stored),
                requests_per_day=limiting(own.max_requests_per_1_day) if own else None,
                is_model=True,
            )


def _least(configured: int | None, own: int | None) -> int | None:
    given = [amount for amount in (configured, limiting(own)) if amount is not None]
    return min(given, default=None)


def limiting(amount: int | None) -> int | None:
    """None for what is no limit."""
    return None if amount is None or amount >= AMOUNT_MAX else amount


def claim_of(what: What, whose: Whose, per_minute: int, wanted: int) -> Claim:
    """A minute's worth may be used at once, and what wants more than all of it takes all."""
    limit = Limit(
        key=f"{what} of {whose.name}",
        rate=per_minute / MINUTE_S,
        burst=per_minute,
        cost=min(wanted, per_minute),
    )
    told = lines_of(what, per_minute)
    return Claim(what, whose.whom, per_minute, told, limit, is_of_model=whose.is_model)


def claim_of_day(whose: Whose, per_day: int) -> Claim:
    """Likewise: a day's worth may be used at once, and comes back evenly."""
    limit = Limit(key=f"requests a day of {whose.name}", rate=per_day / DAY_S, burst=per_day)
    return Claim(
        "requests",
        whose.whom,
        per_day,
        lines_of("requests", per_day),
        limit,
        is_of_day=True,
        is_of_model=whose.is_model,
    )


def corrections(taken: Sequence[Limit], used: int) -> list[Limit]:
    """The differences between what was used and what was taken of each of these limits."""
    # Of a small limit less was taken than of others.
    return [msgspec.structs.replace(limit, cost=used - limit.cost) for limit in taken]
