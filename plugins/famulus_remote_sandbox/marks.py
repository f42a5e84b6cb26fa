"""Which kernels are this server's: a file for each, so that what a lost server left is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class Marks:
    """Kernels that this server started and that are not known to be at their end.

    Those whose marks were there before are of a server that was lost; no other kernel is touched,
    since a gateway may serve others too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._left = {each.name for each in folder.iterdir()}

    @property
    def left(self) -> Sequence[str]:
        """Those that are still to be ended, and used by nobody."""
        return sorted(self._left)

    def add(self, kernel: str) -> None:
        """It was started. Its name must be a plain one."""
        (self._folder / kernel).touch()

    def leave(self, kernel: str) -> None:
        """It could not be ended."""
        self._left.add(kernel)

    def remove(self, kernel: str) -> None:
        """It is at its end."""
        (self._folder / kernel).unlink(missing_ok=True)
        self._left.discard(kernel)
