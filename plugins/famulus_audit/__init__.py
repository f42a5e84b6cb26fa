"""The audit log: who did what to which object, from where, and with what result."""

from famulus_audit.plugin import Audit

__all__ = ["Audit"]
