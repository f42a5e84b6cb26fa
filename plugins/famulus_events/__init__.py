"""Live events, handed to any number of listeners within this process."""

from famulus_events.plugin import EventsPlugin

__all__ = ["EventsPlugin"]
