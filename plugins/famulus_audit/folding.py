"""Refusals that are written, and those that are only counted: a flood must not fill the disk."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from famulus.addresses import network_of
from famulus_audit.events import Event
from famulus_audit.settings import AuditSettings

WINDOW_S = 60


class _Window(msgspec.Struct):
    """What came of one kind from one address since a moment."""

    began: float
    written: int = 0
    folded: int = 0
    last: Event | None = None


class Folding:
    """Counts refusals by kind and address, a minute at a time."""

    def __init__(self, settings: AuditSettings) -> None:
        self._each_max = settings.refusals_per_minute
        self._all_max = settings.refusals_per_minute_max
        self._addresses_max = settings.addresses_max
        self._windows: dict[tuple[str, str], _Window] = {}
        self._all = _Window(began=0.0)
        self.folded = 0
        """How many were not written one by one, since the start."""

    def admits(self, event: Event, now: float) -> bool:
        """Whether an event is to be written; else it is counted."""
        if not 0 <= now - self._all.began < WINDOW_S:
            # What it had folded has been told, or is by `over` in a moment.
            self._all = _Window(began=now, folded=self._all.folded, last=self._all.last)
        key = (event.type, network_of(event.source.ip_address or ""))
        window = self._windows.get(key)
        if window is None and len(self._windows) < self._addresses_max:
            window = self._windows[key] = _Window(began=now)
        if window is None or (
            window.written < self._each_max and self._all.written >= self._all_max
        ):
            return self._fold(self._all, event)
        if window.written >= self._each_max:
            return self._fold(window, event)
        window.written += 1
        self._all.written += 1
        return True

    def over(self, now: float) -> Sequence[Event]:
        """One event for all that was folded in each window that is over; it is then forgotten."""
        told: list[Event] = []
        for key, window in [*self._windows.items()]:
            if not 0 <= now - window.began < WINDOW_S:
                del self._windows[key]
                told += _told(window, is_of_one=True)
        if not 0 <= now - self._all.began < WINDOW_S:
            told += _told(self._all, is_of_one=False)
            self._all = _Window(began=now)
        return told

    def rest(self) -> Sequence[Event]:
        """The same of all windows, as at the end."""
        windows = [*self._windows.values()]
        self._windows.clear()
        told = [event for window in windows for event in _told(window, is_of_one=True)]
        told += _told(self._all, is_of_one=False)
        self._all = _Window(began=0.0)
        return told

    def _fold(self, window: _Window, event: Event) -> bool:
        window.folded += 1
        window.last = event
        self.folded += 1
        return False


def _told(window: _Window, *, is_of_one: bool) -> Sequence[Event]:
    """The last event of a window, with how many it stands for."""
    last = window.last
    if last is None:
        return []
    details = {**last.details, "folded": window.folded, "folded_from_one_address": is_of_one}
    return [msgspec.structs.replace(last, details=details)]
