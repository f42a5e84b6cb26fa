"""Boxes for code, held by Landlock and a filter of calls: for where there are no namespaces."""

from famulus_landlock.plugin import Landlock

__all__ = ["Landlock"]
