"""Threads that touch the disk, and say in the port's words what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from famulus.hands import Hands
from famulus_schemas.blobs import BlobsUnavailable

T = TypeVar("T")


class DiskHands(Hands):
    """A bounded pool of threads."""

    def __init__(self, threads_max: int) -> None:
        super().__init__(threads_max, name="blobs")

    async def do(self, work: Callable[[], T]) -> T:
        """As Hands.do. Raises BlobsUnavailable for what the disk refuses."""
        try:
            return await super().do(work)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise BlobsUnavailable(error.strerror or str(error)) from error
