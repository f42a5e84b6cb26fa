"""The one way out to addresses that a client or a content names."""

from famulus_fetch.plugin import FetchPlugin

__all__ = ["FetchPlugin"]
