"""Rate limits, counted in this process."""

from famulus_memory_limits.plugin import MemoryLimits

__all__ = ["MemoryLimits"]
