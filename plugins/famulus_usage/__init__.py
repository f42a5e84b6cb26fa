"""Usage and cost: what is spent by whom, and how much may be."""

from famulus_usage.plugin import Usage

__all__ = ["Usage"]
