"""All that is a person's in a project: found by metadata or ids, erased, and looked for again.

An Assistants application says whose something is by metadata: `user_id` on a thread, a message, a
run, an assistant or a vector store, an attribute of a file in a vector store. What such a thread
names and nothing else does (files that were attached, the store that was made for them) goes with
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec
from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_retention.jobs import settled
from famulus_retention.known import Known
from famulus_retention.naming import Wanted, named_in
from famulus_retention.plans import PLAN, Plan, Plans
from famulus_retention.settings import RetentionSettings
from famulus_retention.sweep import ACTOR
from famulus_schemas.blobs import Blobs
from famulus_schemas.identity import Principal
from famulus_schemas.records import Record, SystemRecords
from famulus_schemas.retention import DataKind, Removed

_OF_JOBS = "job"
_STORE = "vector_store"
LOOK_S = 0.1
AT_WORK = "is worked on by a run that has read it before; give the command again"
NOT_RENEWED = "still has what was erased; give the command again"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is erased, or is left."""

    name: str
    """The kind of data, or of record where no plugin says what it is."""
    id: str
    why: str = ""


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
        id: str,
        now: int,
    ) -> None:
        self._project = project
        self._plans = Plans(records, project)
        self._id, self._now = id, now
        self._wanted = wanted
        self._settings = settings
        self._records = records
        self._blobs = blobs
        self._known = known
        self._kinds = {each.kind: each for each in known.kinds}
        self._part_of = {kind: of for each in known.kinds for kind, of in each.parts.items()}
        self._names_only = {kind for each in known.kinds for kind in each.names_only}
        self._erased: dict[str, Found] = {}
        self._gone: set[str] = set()
        """Ids of all that went, also with something else."""
        self._blob_keys: set[str] = set()

    async def find(self) -> tuple[list[Found], list[Found]]:
        """What is theirs, and what would go with it unless something else names it.

        What an erasure of anybody was about that was not done to its end is theirs, too.
        """
        await self._take_up()
        theirs = await self._theirs()
        parts = await self._parts({record.id for _, record in theirs})
        found = [Found(name=data.name, id=record.id) for data, record in theirs]
        return found, [Found(name=data.name, id=id) for id, data in parts.items()]

    async def erase(self) -> tuple[list[Found], list[Found]]:
        """Erase it; what was erased, and what is left of it, which should be nothing."""
        before = await self._take_up()
        theirs = await self._theirs()
        ids = frozenset(record.id for _, record in theirs)
        parts = await self._parts(ids)
        named = await self._named()
        parents = frozenset(record.parent for _, record in theirs) - {"", *ids}
        stores = frozenset(record.parent for _, record in theirs)
        plan = before | Plan(
            ids=ids,
            parts=frozenset(parts),
            under=await self._under(ids, parents, named),
            parents=parents,
            stores=(stores | await self._stores_of({*parts, *ids})) - {""},
            shelves=frozenset(id for parent in parents for id in named.get(parent, ())),
        )
        if theirs or before != Plan():
            await self._plans.begin(plan, id=self._id, now=self._now)
        parents, stores, shelves = plan.parents, plan.stores, plan.shelves
        parts |= await self._parts_left(plan)
        for data, record in theirs:
            await self._delete(data, record)
        # Some went with something else, such as the answers of a run.
        for gone in self._gone:
            parts |= named.get(gone, {})
        await self._settle()
        # Stores before the files that are in them.
        for data in sorted({id(d): d for d in parts.values()}.values(), key=_stores_first):
            for part in [id for id, each in parts.items() if each is data]:
                if not await self._is_named_elsewhere(part, parts.keys(), shelves):
                    await self._delete_part(data, part)
            await self._settle()
        await self._forget_copies()
        rest = await self._rest(parents, stores)
        if not rest:
            await self._plans.end()
        await self._records.scrub()
        return list(self._erased.values()), [*rest, *await self._left()]

    # --- what was begun before ----------------------------------------------------------------

    async def _take_up(self) -> Plan:
        """What was begun and not done, which is wanted, too."""
        plan = await self._plans.begun()
        self._wanted = replace(self._wanted, ids=self._wanted.ids | plan.ids)
        return plan

    async def _under(
        self,
        ids: AbstractSet[str],
        parents: AbstractSet[str],
        named: Mapping[str, Mapping[str, DataKind]],
    ) -> dict[str, list[str]]:
        """Files and stores by the id of what names them, of all that goes with these ids."""
        found = {}
        async for record in self._all():
            goes = record.id in ids or record.parent in ids
            if not goes and record.parent in parents:
                goes = not ids.isdisjoint(named_in(record))
            if goes:
                found[record.id] = sorted(named.get(record.id, ()))
        return found

    async def _parts_left(self, plan: Plan) -> dict[str, DataKind]:
        """Of what was planned, the files and stores that are still there."""
        able = {each.kind: each for each in self._known.kinds if each.is_part}
        there: set[str] = set()
        parts: dict[str, DataKind] = {}
        async for record in self._all():
            there.add(record.id)
            if record.kind in able:
                parts[record.id] = able[record.kind]
        gone = plan.under.keys() - there
        self._gone |= gone
        wanted = {*plan.parts, *(part for id in gone for part in plan.under[id])} - plan.ids
        return {id: data for id, data in parts.items() if id in wanted}

    # --- finding ------------------------------------------------------------------------------

    async def _all(self, kinds: Collection[str] | None = None) -> AsyncIterator[Record]:
        if kinds is None:
            kinds = (await self._records.census(self._project)).records
        for kind in kinds:
            if kind == PLAN.name:
                continue
            after = 0
            while found := await self._records.scan(kind, after_seq=after):
                after = found[-1].seq
                for record in found:
                    if record.project == self._project:
                        yield record

    async def _theirs(self) -> list[tuple[DataKind, Record]]:
        """What is meant, and first what others of it may lie under and go with."""
        found = []
        async for record in self._all([each.kind for each in self._known.kinds]):
            data = self._kinds[record.kind]
            if not data.is_copy and self._wanted.is_meant(data, record):
                found.append((data, record))
        return sorted(found, key=lambda each: each[1].parent != "")

    async def _named(self, *, also_parents: bool = False) -> dict[str, dict[str, DataKind]]:
        """By the id of a record, files and stores that it names; or also by that of its parent."""
        able = {each.kind: each for each in self._known.kinds if each.is_part}
        there = {record.id: able[record.kind] async for record in self._all(list(able))}
        found: dict[str, dict[str, DataKind]] = {}
        async for record in self._all():
            named = {id: there[id] for id in named_in(record) if id in there}
            for by in {record.id, record.parent if also_parents else record.id}:
                found.setdefault(by, {}).update(named)
        return found

    async def _stores_of(self, ids: AbstractSet[str]) -> set[str]:
        """Stores that are among these, or have files that are."""
        found = set()
        async for record in self._all():
            if record.kind == _STORE and record.id in ids:
                found.add(record.id)
            elif record.kind in self._kinds and not ids.isdisjoint(named_in(record)):
                found.add(record.parent)
        return found

    async def _parts(self, ids: Collection[str]) -> dict[str, DataKind]:
        """Files and stores that these name, or what lies under them, with such stores' files."""
        named = await self._named(also_parents=True)
        found = {part: data for id in ids for part, data in named.get(id, {}).items()}
        stores = [id for id, data in found.items() if data.kind == _STORE]
        found |= {part: data for id in stores for part, data in named.get(id, {}).items()}
        return {id: data for id, data in found.items() if id not in ids}

    async def _is_named_elsewhere(
        self, part: str, parts: Collection[str], shelves: Collection[str]
    ) -> bool:
        """Whether a client has something else name a file or a store that is none of these.

        What a run quotes of a file is no reason to keep it, nor is it that it came into the store
        of the thread to which it was posted, one of the `shelves`.
        """
        passed = {_OF_JOBS, *self._known.staying, *self._part_of}
        passed |= {each.kind for each in self._known.kinds if each.is_copy}
        async for record in self._all():
            own = record.id in parts or record.parent in parts or record.parent in shelves
            if not own and record.kind not in passed and part in named_in(record, quotes=False):
                return True
        return False

    # --- erasing ------------------------------------------------------------------------------

    async def _delete(self, data: DataKind, record: Record) -> None:
        principal = Principal(id=ACTOR, project=self._project)
        removed = await data.delete(principal, record, None) or Removed()
        self._blob_keys.update(removed.blobs)
        self._gone.update(removed.ids, [record.id])
        self._erased[record.id] = Found(name=data.name, id=record.id)
        failpoint("person_partly_erased")

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

    async def _rest(self, parents: Collection[str], stores: Collection[str]) -> list[Found]:
        """Have forgotten what else repeats what was erased; where that is not done yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.finish_s
        waits = [
            *(
                (data.forget, Found(name=data.name, id=id, why=AT_WORK))
                for data in self._known.kinds
                for id in sorted(parents)
                if data.forget is not None
            ),
            *(
                (place.renew, Found(name=place.name, id=id, why=NOT_RENEWED))
                for place in self._known.places
                for id in sorted(stores)
                if place.renew is not None
            ),
        ]
        while True:
            waits = [each for each in waits if not await each[0](self._project, each[1].id)]
            if not waits or loop.time() >= deadline:
                return [found for _, found in waits]
            await asyncio.sleep(LOOK_S)

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
        told = "has their metadata" if self._wanted.is_named_in(record) else "names what was erased"
        owner = self._owner(record)
        return f"{told}; goes with --id {owner}" if owner else told

    def _owner(self, record: Record) -> str:
        """The id of what can be erased, with which a record goes."""
        if record.kind in self._kinds:
            return record.id
        of = self._part_of.get(record.kind)
        return record.parent if of is None else of(record)

    def _tells(self, record: Record) -> bool:
        if record.id in self._gone or record.parent in self._gone:
            return True
        if self._wanted.is_named_in(record):
            return True
        if record.kind in self._names_only:
            return False
        return not self._gone.isdisjoint(named_in(record))


def _stores_first(data: DataKind) -> bool:
    return data.kind == "file"


def sorted_by_name(found: Sequence[Found]) -> list[Found]:
    """As they are listed for people."""
    return sorted(found, key=lambda each: (each.name, each.id))
