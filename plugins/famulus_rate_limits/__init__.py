"""Rate limits: how many requests and tokens keys, projects and models may use in a minute."""

from famulus_rate_limits.plugin import RateLimits

__all__ = ["RateLimits"]
