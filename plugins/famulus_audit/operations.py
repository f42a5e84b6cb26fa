"""The operation that lists the log. None changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import Call, Wire, operation
from famulus.lists import envelope
from famulus_audit.queries import Search
from famulus_schemas.audit_logs import AuditLog, AuditLogQuery
from famulus_schemas.lists import ListPage

if TYPE_CHECKING:
    from famulus_audit.plugin import Audit


class AuditOperations:
    """What admin keys may do with the log."""

    def __init__(self, plugin: Audit) -> None:
        self._plugin = plugin

    @operation("GET", "/v1/organization/audit_logs", action="organization.read")
    async def list_audit_logs(self, call: Call, query: AuditLogQuery) -> Wire[ListPage[AuditLog]]:
        """List what was done, the newest first."""
        search = Search(self._plugin.records, self._plugin.settings)
        return Wire(envelope(await search.page(query)))
