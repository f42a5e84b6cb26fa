"""Files that come into a store: their records, and the jobs that read and embed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from famulus.resources import require_files
from famulus_schemas.errors import ARRAY_TOO_LONG, INVALID, Problem
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Jobs, Ticket
from famulus_schemas.ports import Files
from famulus_schemas.records import Record, RecordStore, Replace, Unit, Write
from famulus_schemas.tools import ChunkingStrategy, check_chunking
from famulus_schemas.vector_stores import (
    CreateVectorStoreFile,
    StaticChunkingUsed,
    VectorStoreFile,
)
from famulus_vector_stores.detaching import Detaching
from famulus_vector_stores.faults import STORE_FULL
from famulus_vector_stores.kinds import (
    FileExtra,
    decode_file,
    decode_file_extra,
    encode,
    encode_extra,
    file_index,
    file_key,
    insert_file,
    used,
)
from famulus_vector_stores.ledger import Ledger
from famulus_vector_stores.membership import joined_to
from famulus_vector_stores.settings import VectorStoresSettings

if TYPE_CHECKING:
    from famulus.clock import MakeId

JOB = "vector_stores.ingest"
"""The kind of job that reads a file into a store; its key is `job_key`."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to be in a store."""

    file_id: str
    param: str
    """The parameter that names it."""
    chunking: StaticChunkingUsed
    attributes: Mapping[str, str | int | float | bool] | None = None
    """None leaves those of a file that is there already as they are."""


def wanted(requests: Sequence[CreateVectorStoreFile], *, named: str = "") -> list[Wanted]:
    """The files of requests, each once. Raises Problem for chunks that cannot be.

    `named` is what stands before the parameters of each, with `{}` for its index.
    """
    found: dict[str, Wanted] = {}
    for index, request in enumerate(requests):
        within = named.format(index)
        hold_chunking(request.chunking_strategy, within=within)
        one = Wanted(
            file_id=request.file_id,
            param=f"{within}file_id",
            chunking=used(request.chunking_strategy),
            attributes=request.attributes,
        )
        found.setdefault(one.file_id, one)
    return list(found.values())


def wanted_ids(
    file_ids: Sequence[str],
    strategy: ChunkingStrategy | msgspec.UnsetType = msgspec.UNSET,
    attributes: Mapping[str, str | int | float | bool] | None = None,
    *,
    named: str = "file_ids",
    params: Sequence[str] = (),
) -> list[Wanted]:
    """Files that are named by their ids, each once, which are all wanted alike.

    `named` is the list that names them; or `params` are the parameters, one for each.
    """
    found: dict[str, Wanted] = {}
    for index, id in enumerate(file_ids):
        param = params[index] if params else f"{named}[{index}]"
        one = Wanted(file_id=id, param=param, chunking=used(strategy), attributes=attributes)
        found.setdefault(id, one)
    return list(found.values())


def hold_chunking(strategy: ChunkingStrategy | msgspec.UnsetType, *, within: str = "") -> None:
    """Raise Problem where chunks would overlap by more than half."""
    fault = None if strategy is msgspec.UNSET else check_chunking(strategy)
    if fault is not None:
        name = f"{within}chunking_strategy.{fault}"
        reason = "it may be at most half of max_chunk_size_tokens."
        raise Problem(INVALID, param=name, name=name, reason=reason)


def hold_count(given: Sequence[object], limit: int, *, name: str) -> None:
    """Raise Problem where there are too many."""
    if len(given) > limit:
        raise Problem(ARRAY_TOO_LONG, param=name, name=name, limit=limit, got=len(given))


def job_key(store_id: str, file_id: str, document: str) -> str:
    """The key of the job that reads a file."""
    return f"{store_id}/{file_id}/{document}"


def parts_of(key: str) -> tuple[str, str, str]:
    """Store, file and document of a job's key."""
    store_id, _, rest = key.partition("/")
    file_id, _, document = rest.rpartition("/")
    return store_id, file_id, document


class Attaching:
    """Makes the writes that bring files into stores."""

    def __init__(
        self,
        settings: VectorStoresSettings,
        *,
        records: RecordStore,
        jobs: Jobs,
        files: Files,
        detaching: Detaching,
        make_id: MakeId,
        now: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._records = records
        self._jobs = jobs
        self._files = files
        self._detaching = detaching
        self._make_id = make_id
        self._now = now

    async def require(self, project: str, files: Sequence[Wanted]) -> None:
        """Raise Problem (400) for the first file that is not there."""
        await require_files(self._files, project, {one.param: one.file_id for one in files})

    async def new(
        self,
        project: str,
        store_id: str,
        files: Sequence[Wanted],
        *,
        by: Principal | None = None,
    ) -> tuple[Unit, list[Ticket]]:
        """The writes that put files into a store that does not have them."""
        writes: list[Write] = []
        tickets: list[Ticket] = []
        for one in files:
            unit, ticket = await self._insert(project, store_id, one, "", by)
            writes += unit
            tickets.append(ticket)
        return writes, tickets

    async def add(
        self,
        project: str,
        ledger: Ledger,
        files: Sequence[Wanted],
        *,
        batch: str = "",
        keeps: bool = False,
        by: Principal | None = None,
    ) -> tuple[Unit, list[Ticket]]:
        """The writes that add files to a store, and tell its ledger.

        One that is there, and was cut up in the same way, is not read again: it only takes the
        attributes, and with `keeps` not even those.
        """
        ledger.hold_alive()
        records = self._records.of(project)
        writes: list[Write] = []
        tickets: list[Ticket] = []
        for one in files:
            id = file_key(ledger.store.id, one.file_id)
            record = await records.get("vector_store_file", id)
            if record is not None and keeps and _is_good(record):
                continue
            if record is not None and _serves(record, one):
                writes.append(self._adopted(record, one, ledger, batch))
                continue
            if record is not None:
                if one.attributes is None:
                    kept = decode_file(record.body).attributes
                    one = msgspec.structs.replace(one, attributes=kept)
                gone = await self._detaching.file(project, record, ledger, keeps_membership=True)
                writes += gone.unit
                tickets += gone.tickets
            unit, ticket = await self._insert(project, ledger.store.id, one, batch, by)
            writes += unit
            tickets.append(ticket)
            ledger.moved(None, "in_progress", batch=batch)
        if ledger.store.file_counts.total > self._settings.files_per_store_max:
            limit = self._settings.files_per_store_max
            raise Problem(STORE_FULL, id=ledger.store.id, limit=limit)
        return writes, tickets

    async def _insert(
        self, project: str, store_id: str, one: Wanted, batch: str, by: Principal | None
    ) -> tuple[Unit, Ticket]:
        document, now = self._make_id("vsd_"), self._now()
        file = VectorStoreFile(
            id=one.file_id,
            created_at=now,
            vector_store_id=store_id,
            chunking_strategy=one.chunking,
            attributes=dict(one.attributes or {}),
        )
        # It waits for whoever has room: a batch has many, of which one wakes all.
        key = job_key(store_id, one.file_id, document)
        ticket = self._jobs.enqueue(project, JOB, key, waits=True)
        member = await joined_to(
            self._records.of(project),
            one.file_id,
            store_id,
            param=one.param,
            now=now,
            stores_max=self._settings.stores_per_file_max,
        )
        extra = FileExtra(
            document=document,
            batch=batch,
            principal=by.id if by else "",
            key=(by.key_id if by else None) or "",
        )
        return [insert_file(file, extra), *member, *ticket.unit], ticket

    def _adopted(self, record: Record, one: Wanted, ledger: Ledger, batch: str) -> Write:
        """The write by which a file that was read already is what is wanted."""
        file, extra = decode_file(record.body), decode_file_extra(record.extra)
        if one.attributes is not None and one.attributes != file.attributes:
            file = msgspec.structs.replace(file, attributes=dict(one.attributes))
            ledger.found_otherwise()
        if batch:
            extra = msgspec.structs.replace(extra, batch=batch)
            ledger.adopted(batch)
        return Replace(
            kind="vector_store_file",
            id=record.id,
            version=record.version,
            body=encode(file),
            extra=encode_extra(extra),
            index=file_index(file, extra),
        )


def _is_good(record: Record) -> bool:
    """Whether a file is searchable, or is about to be."""
    return decode_file(record.body).status in ("completed", "in_progress")


def _serves(record: Record, one: Wanted) -> bool:
    """Whether a file that was read already is cut up as is wanted."""
    file = decode_file(record.body)
    return file.status == "completed" and file.chunking_strategy == one.chunking
