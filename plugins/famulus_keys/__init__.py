"""API keys: who may come in, and as whom."""

from famulus_keys.plugin import Keys

__all__ = ["Keys"]
