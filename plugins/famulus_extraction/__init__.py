"""What files say, cut into chunks, by processes of their own: EXTRACTION."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from famulus_extraction.plugin import ExtractionPlugin

__all__ = ["ExtractionPlugin"]


def __getattr__(name: str) -> Any:
    # Not imported above: the processes that read files import this package, and have no use for
    # the kernel, which would be most of their start.
    if name != "ExtractionPlugin":
        raise AttributeError(name)
    from famulus_extraction.plugin import ExtractionPlugin

    return ExtractionPlugin
