"""Limits of a project's models, as an administrator reads and sets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, Problem, operation
from famulus_rate_limits.stored import KIND, MODELS_MAX, NONE, ByModel, id_of, stored_of
from famulus_schemas.errors import INVALID, IS_ARCHIVED, NOT_FOUND, UNKNOWN_CURSOR
from famulus_schemas.lists import ListPage
from famulus_schemas.rate_limits import (
    AMOUNT_MAX,
    ProjectRateLimit,
    RateLimitBody,
    RateLimitQuery,
    StoredRateLimit,
)
from famulus_schemas.records import Conflict, Insert, Record, Replace, Unit

if TYPE_CHECKING:
    from famulus_rate_limits.plugin import RateLimits

READ, WRITE = "organization.read", "organization.write"
_LIMITS = "/v1/organization/projects/{project_id}/rate_limits"
SET_ATTEMPTS_MAX = 16

LIMITED = ("max_requests_per_1_minute", "max_tokens_per_1_minute", "max_requests_per_1_day")
NOT_LIMITED = (
    *("max_images_per_1_minute", "max_audio_megabytes_per_1_minute"),
    "batch_1_day_max_input_tokens",
)


class RateLimitOperations:
    """What admin keys may do with limits of models."""

    def __init__(self, plugin: RateLimits) -> None:
        self._plugin = plugin

    @operation("GET", _LIMITS, action=READ)
    async def list_project_rate_limits(
        self, call: Call, project_id: str, query: RateLimitQuery
    ) -> ListPage[ProjectRateLimit]:
        """What a project may use of each model that can be asked for."""
        await self._known(project_id)
        stored = await self._plugin.stored.read(project_id)
        every = [self._form(model, stored) for model in await self._models(stored)]
        return _page(every, query)

    @operation("POST", f"{_LIMITS}/{{rate_limit_id}}", action=WRITE, keeps_answer=False)
    async def update_project_rate_limit(
        self, call: Call, project_id: str, rate_limit_id: str, body: RateLimitBody
    ) -> ProjectRateLimit:
        """Limit what a project may use of a model, within what is configured."""
        await self._known(project_id, must_be_open=True)
        plugin = self._plugin
        stored = await plugin.stored.read(project_id)
        by_id = {id_of(model): model for model in await self._models(stored)}
        model = by_id.get(rate_limit_id)
        if model is None:
            raise Problem(NOT_FOUND, thing="rate limit", id=rate_limit_id)
        changes = self._changes(model, body)
        if changes:
            if model not in stored and len(stored) >= MODELS_MAX:
                reason = f"a project can have limits of its own for {MODELS_MAX} models"
                raise Problem(INVALID, param=None, name="rate_limit_id", reason=reason)
            changed = await self._set(call, project_id, StoredRateLimit(model=model, **changes))
            stored = {**stored, model: changed}
        return self._form(model, stored)

    async def _known(self, project_id: str, *, must_be_open: bool = False) -> None:
        """Raise Problem (404) where there is no such project; without KEYS each may be one."""
        keys = self._plugin.keys
        if keys is None:
            return
        known = await keys.project(project_id)
        if must_be_open and known.archived_at is not None:
            raise Problem(IS_ARCHIVED, id=project_id)

    async def _models(self, stored: ByModel) -> list[str]:
        inference = self._plugin.inference
        served = [] if inference is None else await inference.models()
        return sorted({card.id for card in served} | stored.keys())

    def _form(self, model: str, stored: ByModel) -> ProjectRateLimit:
        allowance = self._plugin.policy.of_model(model, stored)
        own = stored.get(model)
        a_day = None if own is None else own.max_requests_per_1_day
        return ProjectRateLimit(
            id=id_of(model),
            model=model,
            max_requests_per_1_minute=allowance.requests_per_minute or AMOUNT_MAX,
            max_tokens_per_1_minute=allowance.tokens_per_minute or AMOUNT_MAX,
            max_requests_per_1_day=UNSET if a_day is None else a_day,
        )

    def _changes(self, model: str, body: RateLimitBody) -> dict[str, int]:
        """What is to be set. Raises Problem for what cannot be."""
        for name in NOT_LIMITED:
            if getattr(body, name) is not UNSET:
                reason = "this server does not limit that"
                raise Problem(INVALID, param=name, name=name, reason=reason)
        changes = {name: amount for name in LIMITED if (amount := getattr(body, name)) is not UNSET}
        configured = self._plugin.policy.of_model(model, NONE)
        most = (configured.requests_per_minute, configured.tokens_per_minute, None)
        for name, ceiling in zip(LIMITED, most, strict=True):
            if ceiling is not None and changes.get(name, 0) > ceiling:
                reason = f"the configuration of this server allows at most {ceiling}"
                raise Problem(INVALID, param=name, name=name, reason=reason)
        return changes

    async def _set(self, call: Call, project: str, wanted: StoredRateLimit) -> StoredRateLimit:
        """What is stored then: what was set before and is not set now stays."""
        plugin = self._plugin
        assert plugin.records is not None, "without records only served models would be listed"
        records, id = plugin.records.of(project), id_of(wanted.model)
        for _ in range(SET_ATTEMPTS_MAX):
            known = await records.get(KIND.name, id)
            changed = _changed(known, wanted)
            data = msgspec.json.encode(changed)
            unit: Unit = [
                Insert(kind=KIND.name, id=id, created_at=plugin.now(), body=data)
                if known is None
                else Replace(kind=KIND.name, id=id, version=known.version, body=data)
            ]
            by = replace(call.principal, project=project)
            try:
                await records.commit(await plugin.joined(by, "rate_limits.modify", unit))
            except Conflict as conflict:
                last = conflict
                continue
            plugin.stored.forget(project)
            return changed
        raise last


def _changed(known: Record | None, wanted: StoredRateLimit) -> StoredRateLimit:
    if known is None:
        return wanted
    given = {name: value for name in LIMITED if (value := getattr(wanted, name)) is not None}
    return replace(stored_of(known), **given)


def _page(every: list[ProjectRateLimit], query: RateLimitQuery) -> ListPage[ProjectRateLimit]:
    """Of all, those between the cursors: the first ones, or with `before` alone the last."""
    at = {each.id: place for place, each in enumerate(every)}
    for name, cursor in (("after", query.after), ("before", query.before)):
        if cursor is not None and cursor not in at:
            raise Problem(UNKNOWN_CURSOR, param=name, name=name, id=cursor)
    begin = 0 if query.after is None else at[query.after] + 1
    end = len(every) if query.before is None else at[query.before]
    between = every[begin:end]
    is_last = query.before is not None and query.after is None
    data = between[-query.limit :] if is_last else between[: query.limit]
    return ListPage(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(between) > len(data),
    )
