"""Boxes for code, shut in by bubblewrap: namespaces of their own, and a filter of system calls."""

from famulus_bubblewrap.plugin import Bubblewrap

__all__ = ["Bubblewrap"]
