"""All that is a person's in a project: found by metadata or ids, erased, and looked for again.

An Assistants application says whose something is by metadata: `user_id` on a thread, a message, an
assistant or a vector store, an attribute of a file in a vector store. What such a thread names and
nothing else does (files that were attached, the store that was made for them) goes with it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence

import msgspec

from famulus_retention.jobs import settled
from famulus_retention.known import Known
from famulus_retention.settings import RetentionSettings
from famulus_retention.sweep import ACTOR
from famulus_schemas.blobs import Blobs
from famulus_schemas.identity import Principal
from famulus_schemas.records import Record, SystemRecords
from famulus_schemas.retention import DataKind, Removed

_WORD = re.compile(rb"[A-Za-z0-9_-]+")
"""As all ids are."""
_OF_JOBS = "job"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is erased, or is left."""

    name: str
    """The kind of data, or of record where no plugin says what it is."""
    id: str
    why: str = ""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose data: who is named so, and what is named here."""

    named: tuple[tuple[str, str], ...] = ()
    """Keys of metadata and their values; any of them is enough."""
    ids: frozenset[str] = frozenset()

    def is_meant(self, data: DataKind, record: Record) -> bool:
        """Whether a record stands for something that is wanted."""
        return record.id in self.ids or (bool(data.named_by) and self.names(data.named_by, record))

    def names(self, field: str, record: Record) -> bool:
        """Whether a field of the record's body says so."""
        try:
            body = msgspec.json.decode(record.body)
        except msgspec.DecodeError:
            return False
        said = body.get(field) if isinstance(body, dict) else None
        if not isinstance(said, dict):
            return False
        return any(str(said.get(key)) == value for key, value in self.named if key in said)


class PersonErasure:
    """Erases what is wanted of one project."""

    def __init__(
        self,
        project: str,
        wanted: Wanted,
        *,
        settings: RetentionSettings,
        records: SystemRecords,
        blobs: Blobs,
        known: Known,
    ) -> None:
        self._project = project
        self._wanted = wanted
        self._settings = settings
        self._records = records
        self._blobs = blobs
        self._known = known
        self._kinds = {each.kind: each for each in known.kinds}
        self._erased: dict[str, Found] = {}
        self._blob_keys: set[str] = set()

    async def find(self) -> tuple[list[Found], list[Found]]:
        """What is theirs, and what would go with it unless something else names it."""
        theirs = [Found(name=data.name, id=record.id) async for data, record in self._meant()]
        parts = await self._parts({each.id for each in theirs})
        return theirs, [Found(name=data.name, id=id) for id, data in parts.items()]

    async def erase(self) -> tuple[list[Found], list[Found]]:
        """Erase it; what was erased, and what is left of it, which should be nothing."""
        theirs = [(data, record) async for data, record in self._meant()]
        parts = await self._parts({record.id for _, record in theirs})
        for data, record in theirs:
            await self._delete(data, record)
        await self._settle()
        # Stores before the files that are in them.
        for data in sorted({id(d): d for d in parts.values()}.values(), key=_stores_first):
            for part in [id for id, each in parts.items() if each is data]:
                if not await self._is_named_elsewhere(part, parts.keys()):
                    await self._delete_part(data, part)
            await self._settle()
        await self._forget_copies()
        await self._records.scrub()
        return list(self._erased.values()), await self._left()

    # --- finding ------------------------------------------------------------------------------

    async def _all(self, kinds: Collection[str] | None = None) -> AsyncIterator[Record]:
        if kinds is None:
            kinds = (await self._records.census(self._project)).records
        for kind in kinds:
            after = 0
            while found := await self._records.scan(kind, after_seq=after):
                after = found[-1].seq
                for record in found:
                    if record.project == self._project:
                        yield record

    async def _meant(self) -> AsyncIterator[tuple[DataKind, Record]]:
        async for record in self._all([each.kind for each in self._known.kinds]):
            data = self._kinds[record.kind]
            if not data.is_copy and self._wanted.is_meant(data, record):
                yield data, record

    async def _parts(self, ids: Collection[str]) -> dict[str, DataKind]:
        """Files and stores that these name, or what lies under them does."""
        able = {each.kind: each for each in self._known.kinds if each.is_part}
        there = {record.id: able[record.kind] async for record in self._all(list(able))}
        named: dict[str, DataKind] = {}
        async for record in self._all():
            if record.id in ids or record.parent in ids:
                named |= {id: there[id] for id in _named_in(record) if id in there}
        # Files that a store has which goes.
        stores = [id for id, data in named.items() if data.kind == "vector_store"]
        if stores:
            async for record in self._all():
                if record.parent in stores:
                    named |= {id: there[id] for id in _named_in(record) if id in there}
        return {id: data for id, data in named.items() if id not in ids}

    async def _is_named_elsewhere(self, part: str, parts: Collection[str]) -> bool:
        """Whether something still names a file or a store that is not of these, nor a copy."""
        copies = {each.kind for each in self._known.kinds if each.is_copy}
        async for record in self._all():
            own = record.id in parts or record.parent in parts
            if own or record.kind in copies or record.kind in (_OF_JOBS, *self._known.staying):
                continue
            if part in _named_in(record):
                return True
        return False

    # --- erasing ------------------------------------------------------------------------------

    async def _delete(self, data: DataKind, record: Record) -> None:
        principal = Principal(id=ACTOR, project=self._project)
        removed = await data.delete(principal, record, None) or Removed()
        self._blob_keys.update(removed.blobs)
        self._erased[record.id] = Found(name=data.name, id=record.id)

    async def _delete_part(self, data: DataKind, id: str) -> None:
        record = await self._records.of(self._project).get(data.kind, id)
        if record is not None:
            await self._delete(data, record)

    async def _settle(self) -> None:
        jobs = {job for each in self._known.kinds for job in each.jobs}
        within_s = self._settings.finish_s
        await settled(self._records, jobs, project=self._project, within_s=within_s)

    async def _forget_copies(self) -> None:
        for data in [each for each in self._known.kinds if each.is_copy]:
            async for record in self._all([data.kind]):
                if self._tells(record):
                    principal = Principal(id=ACTOR, project=self._project)
                    await data.delete(principal, record, None)

    # --- proving ------------------------------------------------------------------------------

    async def _left(self) -> list[Found]:
        """Records that still tell of it, and blobs that are still there."""
        left = []
        async for record in self._all():
            if record.kind not in self._known.staying and self._tells(record):
                data = self._kinds.get(record.kind)
                name = record.kind if data is None else data.name
                left.append(Found(name=name, id=record.id, why=self._why(record)))
        blobs = [
            Found(name="blobs", id=key, why="is still there")
            for key in sorted(self._blob_keys)
            if await self._blobs.find(self._project, key) is not None
        ]
        return [*left, *blobs]

    def _why(self, record: Record) -> str:
        """What of it tells of them, and with what it would go."""
        if not any(self._wanted.names(field, record) for field in ("metadata", "attributes")):
            return "names what was erased"
        goes_with = f"; goes with --id {record.parent}" if record.parent else ""
        return f"has their metadata{goes_with}"

    def _tells(self, record: Record) -> bool:
        if record.id in self._erased or record.parent in self._erased:
            return True
        if any(self._wanted.names(field, record) for field in ("metadata", "attributes")):
            return True
        return not self._erased.keys().isdisjoint(_named_in(record))


def _named_in(record: Record) -> set[str]:
    """Every text that a record holds as a whole: opaque ids are among these."""
    return {text for data in (record.body, record.extra) for text in _texts(data)}


def _texts(data: bytes) -> Iterator[str]:
    try:
        rest = [msgspec.json.decode(data)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Such as the events of a stream: any word of it may be an id.
        yield from (word.decode() for word in _WORD.findall(data))
        return
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            yield from value
            rest += value.values()


def _stores_first(data: DataKind) -> bool:
    return data.kind == "file"


def sorted_by_name(found: Sequence[Found]) -> list[Found]:
    """As they are listed for people."""
    return sorted(found, key=lambda each: (each.name, each.id))
