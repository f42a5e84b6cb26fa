"""The advisory locks that a batch takes, so that batches of several processes keep the rules.

Rows that are not there yet cannot be locked, so their names are. A list is locked by whoever
adds to it or clears it, until the commit: that makes the order of commits the order of `seq`
within it, whichever process they come from. A key is locked by whoever needs it to be free, so
that insert-if-absent has one winner. All locks of a batch are taken in the order of their
numbers, then its rows in the order of their keys: so batches wait for each other, never in a
circle.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from famulus.units import Batch, Key, Names
from famulus_schemas.records import Guard, Insert


class Locks(msgspec.Struct, frozen=True, kw_only=True):
    """What to lock: one number for everybody, and those of the batch, sorted."""

    everybody: int
    """Taken shared by every batch; alone by one that would need too many of its own."""
    own: list[int]


def lock_number(schema: str, scope: str, *names: str) -> int:
    """The number that stands for a name; two names with one number only wait for each other.

    The upper half is the schema's, so that several in one database do not wait for each other.
    """
    upper = crc32(schema.encode()) - 2**31
    return upper << 32 | crc32("\x00".join((scope, *names)).encode("utf-8", "surrogatepass"))


def locks_of(schema: str, batch: Batch, names: Names) -> Locks:
    """The locks of a batch."""
    keys: set[Key] = set()
    for project, unit in batch:
        for write in unit:
            if isinstance(write, Insert) or (isinstance(write, Guard) and write.absent):
                keys.add((project, write.kind, write.id))
    numbers = {lock_number(schema, "key", *key) for key in keys}
    numbers.update([lock_number(schema, "list", *parent) for parent in names.parents])
    return Locks(everybody=lock_number(schema, "batch"), own=sorted(numbers))
