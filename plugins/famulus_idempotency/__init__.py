"""Idempotency keys: a request that is sent again has its effect once, and the same answer."""

from famulus_idempotency.plugin import Idempotency

__all__ = ["Idempotency"]
