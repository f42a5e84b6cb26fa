"""The settings of the event fan-out."""

from __future__ import annotations

from famulus.fanout import FanoutSettings


class EventsSettings(FanoutSettings, frozen=True, kw_only=True):
    """Table `[plugins.events]`."""
