"""The record store's contract: records, the writes of a unit, pages, and who may see them.

One generic document port serves every resource. A record's `body` is its wire JSON as last
written, so an unchanged resource is read and sent without being decoded. There is no open
transaction: a caller builds a unit, a list of writes that happen together or not at all, and
commits it. A commit that has returned is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One stored document. Its key is (project, kind, id)."""

    project: str
    kind: str
    id: str
    parent: str = ""
    """The id that it is listed under; empty at the top level."""
    seq: int = 0
    """Position in the store. Within one (project, kind, parent), the order of commits."""
    version: int = 1
    """1 when inserted, and one more at each replacement."""
    fence: int = 0
    """Rises when somebody else takes the record over; see `Guard.fence`."""
    created_at: int
    """Unix seconds, given by the writer."""
    body: bytes
    """Wire JSON, exactly as it is sent."""
    extra: bytes = b""
    """What is never sent, in the owner's own encoding (msgpack by custom)."""
    shape: int = 1
    """Which form body and extra have; the owning plugin upgrades older ones as it reads."""


class Insert(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Add a record that is not there yet; refused (`exists`) where its key is taken."""

    kind: str
    id: str
    parent: str = ""
    created_at: int
    body: bytes
    extra: bytes = b""
    shape: int = 1
    fence: int = 0
    index: Mapping[str, str] = {}
    """Values of indexed names, which the kind must have declared."""


class Replace(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Write a record's next version; refused (`missing`, `version`) if another came first.

    What is left None stays as it is.
    """

    kind: str
    id: str
    version: int
    """The version that the writer read."""
    body: bytes | None = None
    extra: bytes | None = None
    shape: int | None = None
    fence: int | None = None
    index: Mapping[str, str] | None = None


class Delete(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Remove a record; refused (`missing`, `version`). Its id keeps working as a cursor."""

    kind: str
    id: str
    version: int | None = None


class Clear(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Remove every record of one kind under one parent; leaves no cursors.

    With `until` it is refused (`exists`) where the list has a record past that.
    """

    kind: str
    parent: str
    until: int | None = None
    """The `seq` of the last record that the writer saw in the list, or 0; None where whatever is
    there may go."""


class Guard(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Write nothing, but refuse the unit unless the record is as stated.

    With `absent`, there must be none (`exists`). Else there must be one (`missing`), of that
    `version` and that `fence` where they are given (`version`, `fence`).
    """

    kind: str
    id: str
    absent: bool = False
    version: int | None = None
    fence: int | None = None


Write = Insert | Replace | Delete | Clear | Guard
Unit = Sequence[Write]

Reason = Literal["exists", "missing", "version", "fence"]


class Conflict(Exception):
    """A unit was refused, and nothing of it was written. Says which write could not stand."""

    def __init__(self, write: Write, reason: Reason) -> None:
        self.write = write
        self.reason: Reason = reason
        self.kind = write.kind
        self.id = "" if isinstance(write, Clear) else write.id
        super().__init__(f"{type(write).__name__} of {self.kind} {self.id!r}: {reason}")


class UnknownCursor(Exception):
    """A page was asked for around an id that was never in the list; `name` is after or before."""

    def __init__(self, name: Literal["after", "before"], id: str) -> None:
        self.name = name
        self.id = id
        super().__init__(f"{name}={id!r}")


class StoreUnavailable(Exception):
    """The store cannot take the unit now (disk full, read-only, gone).

    It was not written; of a commit whose answer was lost, OutcomeUnknown says so.
    """


class OutcomeUnknown(StoreUnavailable):
    """The answer to a commit was lost: the unit is there as a whole, or nothing of it is."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a list, in the order asked for."""

    records: Sequence[Record]
    has_more: bool


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of record, declared once by the one plugin that owns it."""

    name: str
    indexes: tuple[str, ...] = ()
    """Names that `page` and `scan` may ask for by equality."""
    index_of: Callable[[Record], Mapping[str, str]] | None = None
    """Values for a record written before its kind had these names; needed with `indexes`."""


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """How much a store has of one project."""

    records: Mapping[str, int] = {}
    """Records by their kind."""
    traces: Mapping[str, int] = {}
    """All else that names the project, by kind: ids of deleted records, stray index values."""
    bytes: int = 0
    """Of bodies and extras."""


Order = Literal["asc", "desc"]

SEQ_MAX = 2**63 - 1
"""No record has so high a `seq`."""


class Records(Protocol):
    """The records of one project. No method can reach another project's."""

    project: str

    async def get(self, kind: str, id: str) -> Record | None:
        """The record as last committed, or None."""
        ...

    async def page(
        self,
        kind: str,
        parent: str = "",
        *,
        where: Mapping[str, str] = {},
        order: Order = "desc",
        after: str | None = None,
        before: str | None = None,
        limit: int = 20,
    ) -> Page:
        """Up to `limit` records of one list, by `seq`.

        `after` and `before` are ids, exclusive, in the order asked for. With `before` alone the
        page is the one that ends just before it. Raises UnknownCursor for an id that was never
        in this list (kind and parent); a deleted one still works. Raises ValueError for an
        undeclared name in `where`.
        """
        ...

    async def commit(self, unit: Unit) -> None:
        """Write all of it, durably, or raise Conflict or StoreUnavailable and write nothing.

        Writes are judged in order, each seeing those before it, so a unit may insert a record
        and replace it.
        """
        ...


class RecordStore(Protocol):
    """What `need(RECORDS)` gives: the way to one project's records."""

    def of(self, project: str) -> Records:
        """The records of that project."""
        ...

    async def declare(self, *kinds: Kind) -> None:
        """Make kinds known, and back-fill names that they did not have before."""
        ...


class SystemRecords(Protocol):
    """What `need(RECORDS.system)` gives: all projects, for sweeps, claims and key lookups."""

    exclusive: bool
    """Whether no other process can have the store open, so that any other worker is dead."""

    def of(self, project: str) -> Records:
        """The records of that project."""
        ...

    async def declare(self, *kinds: Kind) -> None:
        """As RecordStore.declare."""
        ...

    async def scan(
        self,
        kind: str,
        *,
        where: Mapping[str, str] = {},
        after_seq: int = 0,
        before_seq: int = SEQ_MAX,
        order: Order = "asc",
        limit: int = 100,
    ) -> Sequence[Record]:
        """Records of a kind in every project by `seq`, between the two and without them."""
        ...

    async def now(self) -> float:
        """The store's clock in unix seconds: the one that leases and expiries go by."""
        ...

    async def census(self, project: str) -> Census:
        """What there is of a project, counted where it lies: all of it is looked at."""
        ...

    async def wipe(self, project: str, *, keep: Collection[str] = (), limit: int = 1000) -> int:
        """Remove some of a project for good, whatever it is for, and all traces of that.

        Kinds in `keep` stay. Goes by no promise of units: whoever else writes in the project must
        have been stopped, or finds its records gone. How much was removed; 0 once nothing is left.
        """
        ...

    async def scrub(self) -> None:
        """Have what was removed leave the store's files, as far as that is in its power."""
        ...
