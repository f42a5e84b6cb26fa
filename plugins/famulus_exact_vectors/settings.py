"""The settings of exact search."""

from __future__ import annotations

from famulus_indexes.settings import IndexSettings


class ExactVectorsSettings(IndexSettings, frozen=True, kw_only=True):
    """Table `[plugins.exact_vectors]`."""
