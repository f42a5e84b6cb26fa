"""Why a database cannot be opened, in words for whoever runs the server."""

from __future__ import annotations

from famulus import CannotStart


class DatabaseError(CannotStart):
    """The database cannot be used; says which file, why, and what to do."""


class DatabaseInUse(DatabaseError):
    """Another process, or another store of this one, holds the database."""


class DatabaseTooNew(DatabaseError):
    """A later version of the server wrote the database."""
