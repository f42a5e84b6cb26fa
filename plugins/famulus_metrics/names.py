"""Labels that clients or model servers have a say in, held to so many values."""

from __future__ import annotations

OTHER = "other"


class Names:
    """The first so many names as they are; all later ones are one."""

    def __init__(self, names_max: int) -> None:
        self._names_max = names_max
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        """The name, or `other`."""
        if name in self._known:
            return name
        if len(self._known) >= self._names_max:
            return OTHER
        self._known.add(name)
        return name
