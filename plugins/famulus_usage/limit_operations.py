"""Budgets that are set while the server runs: OpenAI's spend limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from famulus import Call, Problem, operation
from famulus_schemas.errors import INVALID, NOT_FOUND
from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.records import Conflict, Delete, Insert, Replace, Unit
from famulus_schemas.usage_answers import (
    Enforcement,
    OrganizationSpendLimit,
    OrganizationSpendLimitDeleted,
    ProjectSpendLimit,
    ProjectSpendLimitDeleted,
    SpendLimitBody,
)
from famulus_usage.budgets import EVERYBODY, LIMIT_ID, StoredLimit
from famulus_usage.kinds import LIMIT

if TYPE_CHECKING:
    from famulus_usage.plugin import Usage

READ, WRITE = "organization.read", "organization.write"
_OF_ALL = "/v1/organization/spend_limit"
_OF_PROJECT = "/v1/organization/projects/{project_id}/spend_limit"
SET_ATTEMPTS_MAX = 16


class LimitOperations:
    """What admin keys may do with budgets."""

    def __init__(self, plugin: Usage) -> None:
        self._plugin = plugin

    @operation("GET", _OF_ALL, action=READ)
    async def retrieve_spend_limit(self, call: Call) -> OrganizationSpendLimit:
        """What all projects together may spend in a month."""
        return await self._of_all()

    @operation("POST", _OF_ALL, action=WRITE, keeps_answer=False)
    async def update_spend_limit(self, call: Call, body: SpendLimitBody) -> OrganizationSpendLimit:
        """Limit what all projects together may spend in a month."""
        await self._set(call, EVERYBODY, body)
        return await self._of_all()

    @operation("DELETE", _OF_ALL, action=WRITE)
    async def delete_spend_limit(self, call: Call) -> OrganizationSpendLimitDeleted:
        """Limit no longer what all projects together may spend."""
        await self._delete(call, EVERYBODY)
        return OrganizationSpendLimitDeleted()

    @operation("GET", _OF_PROJECT, action=READ)
    async def retrieve_project_spend_limit(self, call: Call, project_id: str) -> ProjectSpendLimit:
        """What a project may spend in a month, where that was set here."""
        await self._known(project_id)
        return await self._of(project_id)

    @operation("POST", _OF_PROJECT, action=WRITE, keeps_answer=False)
    async def update_project_spend_limit(
        self, call: Call, project_id: str, body: SpendLimitBody
    ) -> ProjectSpendLimit:
        """Limit what a project may spend in a month, in place of what is configured."""
        await self._known(project_id)
        await self._set(call, project_id, body)
        return await self._of(project_id)

    @operation("DELETE", _OF_PROJECT, action=WRITE)
    async def delete_project_spend_limit(
        self, call: Call, project_id: str
    ) -> ProjectSpendLimitDeleted:
        """Hold a project to nothing but what is configured."""
        await self._known(project_id)
        await self._delete(call, project_id)
        return ProjectSpendLimitDeleted()

    async def _known(self, project_id: str) -> None:
        """Raise Problem (404) where there is no such project; without KEYS each may be one."""
        keys = self._plugin.keys
        if keys is not None:
            await keys.project(project_id)

    async def _of_all(self) -> OrganizationSpendLimit:
        limit = await self._limit(EVERYBODY)
        return OrganizationSpendLimit(
            currency=self._currency,
            threshold_amount=limit.cents,
            enforcement=Enforcement(status=await self._status(EVERYBODY)),
        )

    async def _of(self, project: str) -> ProjectSpendLimit:
        limit = await self._limit(project)
        return ProjectSpendLimit(
            currency=self._currency,
            threshold_amount=limit.cents,
            enforcement=Enforcement(status=await self._status(project)),
        )

    @property
    def _currency(self) -> str:
        return self._plugin.settings.currency.upper()

    async def _limit(self, project: str) -> StoredLimit:
        limit = await self._plugin.budgets.limit(project)
        if limit is None:
            raise _none(project)
        return limit

    async def _status(self, project: str) -> Literal["inactive", "enforcing"]:
        await self._plugin.settle()
        return "enforcing" if await self._plugin.budgets.is_spent(project) else "inactive"

    async def _set(self, call: Call, project: str, body: SpendLimitBody) -> None:
        if body.currency != self._currency:
            reason = f"prices of this server are in {self._currency}"
            raise Problem(INVALID, param="currency", name="currency", reason=reason)
        records = self._plugin.records.of(project or SYSTEM_PROJECT)
        data = msgspec.json.encode(StoredLimit(cents=body.threshold_amount))
        for _ in range(SET_ATTEMPTS_MAX):
            known = await records.get(LIMIT.name, LIMIT_ID)
            write = (
                Insert(kind=LIMIT.name, id=LIMIT_ID, created_at=self._plugin.now(), body=data)
                if known is None
                else Replace(kind=LIMIT.name, id=LIMIT_ID, version=known.version, body=data)
            )
            try:
                await records.commit(await self._joined(call, project, "modify", [write]))
            except Conflict:
                continue
            break
        self._plugin.budgets.forget()

    async def _delete(self, call: Call, project: str) -> None:
        records = self._plugin.records.of(project or SYSTEM_PROJECT)
        unit = [Delete(kind=LIMIT.name, id=LIMIT_ID)]
        try:
            await records.commit(await self._joined(call, project, "delete", unit))
        except Conflict as conflict:
            raise _none(project) from conflict
        self._plugin.budgets.forget()

    async def _joined(self, call: Call, project: str, verb: str, unit: Unit) -> Unit:
        by = replace(call.principal, project=project or SYSTEM_PROJECT)
        return await self._plugin.joined(by, f"spend_limits.{verb}", unit)


def _none(project: str) -> Problem:
    return Problem(NOT_FOUND, thing="spend limit", id=project or "organization")
