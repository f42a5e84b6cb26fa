"""A file from which nobody could say which plugin it is."""

from __future__ import annotations

from famulus import NoSettings, Plugin


class One(Plugin[NoSettings]):
    """The first."""


class Two(Plugin[NoSettings]):
    """The second."""
