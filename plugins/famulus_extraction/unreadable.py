"""How a reader of ours says that a file cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Unreadable(ValueError):
    """Carries a sentence for whoever gave the file."""


@contextmanager
def damaged_otherwise(what: str) -> Iterator[None]:
    """Call a file damaged where its library raises anything: on hostile files they all do."""
    try:
        yield
    except (Unreadable, MemoryError, ImportError):
        raise
    except Exception as error:  # What libraries raise for broken files is without end.
        raise Unreadable(
            f"The file is damaged, or not {what} at all ({type(error).__name__})."
        ) from error
