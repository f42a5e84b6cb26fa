"""Reading a file into a store: a job, from the first byte to the commit that lets it be found.

What the job writes on its way is chunks that nothing names yet. They become the file's in the
one commit that says that it is completed, and counts it. A worker that is lost leaves chunks
behind that the next attempt clears before it begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from famulus.failpoints import failpoint
from famulus_schemas.errors import Problem
from famulus_schemas.files import File
from famulus_schemas.inference import BackendFault
from famulus_schemas.jobs import Job, Jobs
from famulus_schemas.notices import FileIngested
from famulus_schemas.ports import Files
from famulus_schemas.records import (
    Conflict,
    Guard,
    RecordStore,
    Replace,
    StoreUnavailable,
    Unit,
)
from famulus_schemas.retrieval import (
    Chunk,
    Embedder,
    Extraction,
    ExtractionRefused,
    Vectors,
)
from famulus_schemas.usage import Used
from famulus_schemas.vector_stores import (
    VectorStoreFile,
    VectorStoreFileError,
    VectorStoreFileStatus,
)
from famulus_vector_stores.attaching import parts_of
from famulus_vector_stores.chunks import CHUNKS_PER_BUNDLE, Chunks, StoredChunk, inserts, size_of
from famulus_vector_stores.chunks import stored as as_stored
from famulus_vector_stores.detaching import Detaching
from famulus_vector_stores.kinds import (
    chunking_of,
    decode_batch,
    decode_file,
    decode_file_extra,
    decode_store,
    decode_store_extra,
    encode,
    encode_extra,
    file_index,
    file_key,
    still_there,
)
from famulus_vector_stores.ledger import Ledger, Shelf, is_over
from famulus_vector_stores.metering import Account
from famulus_vector_stores.settings import VectorStoresSettings

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_schemas.notices import Notice

LEFT_KINDS = ("job", "vector_store", "vector_store_file")
"""Of whose records a unit is refused where a file has left its store, or the job its worker."""
OVER_BUDGET = 429
VECTOR_NUMBER_BYTES = 4
NO_TEXT = "The file has no text that could be searched."
TOO_MANY_CHUNKS = "The file would be cut into more than {limit} chunks. Cut it into larger ones."
TOO_MANY_TOKENS = "The file has more than {limit} tokens. Divide it into several files."
FAILED = "The server could not read the file, and gave up after {attempts} attempts: {reason}"
OTHER_DIMENSIONS = (
    "the model '{model}' now gives vectors of {got} numbers, and those of the store have {known}"
)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a job is for: a file of a store, as it was when the attempt began."""

    store_id: str
    file_id: str
    document: str
    file: VectorStoreFile
    model: str
    dimensions: int
    key: str
    """With which it was asked for, where that is known."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a file ends."""

    status: VectorStoreFileStatus
    error: VectorStoreFileError | None = None
    filename: str = ""
    chunks: int = 0
    size: int = 0
    dimensions: int = 0
    requests: int = 0
    tokens: int = 0


class Left(Exception):
    """The file is not the store's any more, or the job another worker's: nothing is to be done."""


class Refused(Exception):
    """The file is too much for a store; says why."""


class Ingestion:
    """Does the jobs that read files into stores."""

    def __init__(
        self,
        settings: VectorStoresSettings,
        *,
        records: RecordStore,
        jobs: Jobs,
        files: Files,
        extraction: Extraction,
        embedder: Embedder,
        vectors: Vectors,
        chunks: Chunks,
        shelf: Shelf,
        detaching: Detaching,
        account: Account,
        now: Callable[[], int],
        tell: Callable[[Notice], None],
        log: Log,
    ) -> None:
        self._settings = settings
        self._records = records
        self._jobs = jobs
        self._files = files
        self._extraction = extraction
        self._embedder = embedder
        self._vectors = vectors
        self._chunks = chunks
        self._shelf = shelf
        self._detaching = detaching
        self._account = account
        self._now = now
        self._tell = tell
        self._log = log

    async def do(self, job: Job) -> None:
        """Read one file; what fails for the server's own reasons is tried again, so many times."""
        store_id, file_id, document = parts_of(job.key)
        failpoint("ingest_begun")
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            target = await self._target(job, store_id, file_id, document)
            if target is None:
                await self._records.of(job.project).commit(self._jobs.finish(job))
                return
            await self._chunks.clear(job.project, document, guards=[job.guard()])
            outcome = await self._outcome(job, target)
            end = await self._end(job, target, outcome)
        except Left:
            await self._finish_if_ours(job)
        except Conflict as conflict:
            if conflict.kind not in LEFT_KINDS:
                raise
            await self._finish_if_ours(job)
        else:
            if end is not None:
                took_s = clock() - began
                self._tell(
                    FileIngested(
                        project=job.project, status=end.status, chunks=end.chunks, seconds=took_s
                    )
                )
            await self._vectors.changed(job.project, store_id)

    async def _finish_if_ours(self, job: Job) -> None:
        try:
            await self._records.of(job.project).commit(self._jobs.finish(job))
        except Conflict:
            self._log.info("job_gone", key=job.key)

    async def _target(self, job: Job, store_id: str, file_id: str, document: str) -> Target | None:
        """What the job is for; None where that is not there any more."""
        records = self._records.of(job.project)
        store = await records.get("vector_store", store_id)
        record = await records.get("vector_store_file", file_key(store_id, file_id))
        if store is None or record is None:
            return None
        file, of_file = decode_file(record.body), decode_file_extra(record.extra)
        if of_file.document != document or file.status != "in_progress":
            return None
        of_store = decode_store_extra(store.extra)
        return Target(
            store_id=store_id,
            file_id=file_id,
            document=document,
            file=file,
            model=of_store.model,
            dimensions=of_store.dimensions,
            key=of_file.key,
        )

    # --- one attempt --------------------------------------------------------------------------

    async def _outcome(self, job: Job, target: Target) -> Outcome | None:
        """How the file ends; None where there is no such file any more.

        Raises what is to be tried again.
        """
        if await self._is_called_off(job.project, target):
            return Outcome(status="cancelled")
        try:
            await self._account.refuse(job.project, target.key)
        except Problem as problem:
            if problem.status != OVER_BUDGET:
                raise
            return Outcome(
                status="failed",
                error=VectorStoreFileError(code="server_error", message=problem.body.message),
            )
        try:
            described = await self._files.describe(job.project, target.file_id)
            content = await self._files.open(job.project, target.file_id)
        except Problem as problem:
            if problem.status == 404:
                return None
            return await self._after_fault(job, target, problem)
        except StoreUnavailable:
            raise
        except Exception as error:  # Isolation: a fault of storage is not the file's.
            return await self._after_fault(job, target, error)
        try:
            return await self._read(job, target, described, content)
        except ExtractionRefused as refused:
            return _failed(refused.code, refused.message, described)
        except Refused as too_much:
            return _failed("invalid_file", str(too_much), described)
        except (Conflict, StoreUnavailable, Left):
            raise
        except Exception as fault:  # Isolation: whatever breaks, the file's user is told in time.
            return await self._after_fault(job, target, fault)

    async def _after_fault(self, job: Job, target: Target, error: Exception) -> Outcome:
        """Wait, and have the job tried again; or give the file up."""
        attempts, reason = self._settings.attempts_max, _reason(error)
        self._log.warning(
            "ingestion_failed", file=target.file_id, attempt=job.attempt, reason=reason
        )
        if job.attempt >= attempts:
            message = FAILED.format(attempts=job.attempt, reason=reason)
            failed = VectorStoreFileError(code="server_error", message=message)
            return Outcome(status="failed", error=failed)
        settings = self._settings
        pause_s = min(settings.retry_s * 2 ** (job.attempt - 1), settings.retry_s_max)
        await asyncio.sleep(pause_s)
        raise error

    async def _is_called_off(self, project: str, target: Target) -> bool:
        """Whether the batch was cancelled, or the store has expired."""
        records = self._records.of(project)
        store = await records.get("vector_store", target.store_id)
        if store is not None and is_over(decode_store(store.body), self._now()):
            return True
        record = await records.get("vector_store_file", file_key(target.store_id, target.file_id))
        return record is not None and await self._is_cancelled(
            project, decode_file_extra(record.extra).batch
        )

    async def _is_cancelled(self, project: str, batch_id: str) -> bool:
        if not batch_id:
            return False
        batch = await self._records.of(project).get("vector_store_batch", batch_id)
        return batch is not None and decode_batch(batch.body).status == "cancelled"

    async def _read(
        self, job: Job, target: Target, described: File, content: AsyncIterator[bytes]
    ) -> Outcome:
        """Extract, embed and write all chunks."""
        written = _Written(dimensions=target.dimensions)
        waiting: list[Chunk] = []
        extracted = self._extraction.chunks(
            content, filename=described.filename, chunking=chunking_of(target.file)
        )
        async for some in extracted:
            for chunk in some:
                written.count(chunk, self._settings)
                waiting.append(chunk)
                if len(waiting) >= self._batch_size:
                    await self._write(job, target, written, waiting)
                    waiting = []
        if waiting:
            await self._write(job, target, written, waiting)
        if not written.chunks:
            raise Refused(NO_TEXT)
        return Outcome(
            status="completed",
            filename=described.filename,
            chunks=written.chunks,
            size=written.size,
            dimensions=written.dimensions,
            requests=written.requests,
            tokens=written.tokens,
        )

    @property
    def _batch_size(self) -> int:
        # Only whole bundles lie before the last one.
        wanted = self._settings.texts_per_embedding_max
        return max(CHUNKS_PER_BUNDLE, wanted // CHUNKS_PER_BUNDLE * CHUNKS_PER_BUNDLE)

    async def _write(
        self, job: Job, target: Target, written: _Written, chunks: Sequence[Chunk]
    ) -> None:
        texts = [chunk.text for chunk in chunks]
        vectors = await self._embedder.embed(texts, model=target.model, role="passage")
        written.measure(vectors, target.model)
        kept = [as_stored(chunk, vector) for chunk, vector in zip(chunks, vectors, strict=True)]
        failpoint("ingest_chunks_before_commit")
        await self._records.of(job.project).commit(
            [
                job.guard(),
                Guard(kind="vector_store", id=target.store_id),
                still_there(target.store_id, target.file_id, target.document),
                *inserts(target.document, target.file_id, written.chunks, kept, now=self._now()),
            ]
        )
        failpoint("ingest_chunks_committed")
        written.add(kept)
        written.requests += 1
        written.tokens += sum(chunk.tokens for chunk in chunks)

    # --- its end ------------------------------------------------------------------------------

    async def _end(self, job: Job, target: Target, outcome: Outcome | None) -> Outcome | None:
        """Commit the end of a file with all that it changes, and with that of the job.

        How it did end: it may have been cancelled meanwhile.
        """
        if outcome is None or outcome.status != "completed":
            await self._chunks.clear(job.project, target.document, guards=[job.guard()])
        records = self._records.of(job.project)
        is_void = False
        ended: Outcome | None = None
        used: Sequence[Used] = ()

        async def plan(ledger: Ledger) -> Unit:
            nonlocal is_void, ended, used
            used = ()
            record = await records.get(
                "vector_store_file", file_key(target.store_id, target.file_id)
            )
            if record is None:
                raise Left
            file, extra = decode_file(record.body), decode_file_extra(record.extra)
            if extra.document != target.document or file.status != "in_progress":
                raise Left
            if outcome is None:
                # The file was deleted before it was known to be in a store.
                gone = await self._detaching.file(job.project, record, ledger)
                return [*self._jobs.finish(job), *gone.unit]
            end = outcome
            if ledger.is_over or await self._is_cancelled(job.project, extra.batch):
                end = Outcome(status="cancelled", filename=outcome.filename)
            known = ledger.extra.dimensions
            if end.status == "completed" and known not in (0, end.dimensions):
                end = _of_other_size(ledger.extra.model, known, end)
            ended = end
            is_void = outcome.status == "completed" and end.status != "completed"
            done = replace(file, status=end.status, last_error=end.error, usage_bytes=end.size)
            kept = replace(extra, filename=end.filename, chunks=end.chunks)
            if end.status == "completed":
                ledger.measured(end.dimensions)
                used = self._account.read(
                    job.project, extra, target.model, requests=end.requests, tokens=end.tokens
                )
            ledger.moved("in_progress", end.status, batch=extra.batch, size=end.size)
            rest: Unit = self._detaching.document(job.project, record).unit if is_void else []
            return [
                *self._jobs.finish(job),
                Replace(
                    kind="vector_store_file",
                    id=record.id,
                    version=record.version,
                    body=encode(done),
                    extra=encode_extra(kept),
                    index=file_index(done, kept),
                ),
                *rest,
                *await self._account.writes(used),
            ]

        failpoint("ingest_before_end")
        try:
            await self._shelf.change(
                job.project,
                target.store_id,
                plan,
                is_final=lambda conflict: conflict.kind == "job",
            )
        except Problem as problem:
            if problem.status == 404:
                raise Left from problem
            raise
        failpoint("ingest_ended")
        self._account.written(used)
        return ended


class _Written:
    """What was written of a file so far."""

    def __init__(self, *, dimensions: int) -> None:
        self.dimensions = dimensions
        self.chunks = 0
        self.size = 0
        self.requests = 0
        self.tokens = 0
        """Of all that was embedded: what overlaps counts each time."""
        self._counted = 0
        self._tokens = 0.0
        self._end = 0

    def count(self, chunk: Chunk, settings: VectorStoresSettings) -> None:
        """Hold a chunk that is about to be written to the limits; what overlaps counts once.

        Raises Refused.
        """
        self._counted += 1
        fresh = chunk.end - max(chunk.start, self._end)
        self._tokens += chunk.tokens * max(0, fresh) / max(1, chunk.end - chunk.start)
        self._end = max(self._end, chunk.end)
        if self._counted > settings.chunks_per_file_max:
            raise Refused(TOO_MANY_CHUNKS.format(limit=settings.chunks_per_file_max))
        if self._tokens > settings.tokens_per_file_max:
            raise Refused(TOO_MANY_TOKENS.format(limit=settings.tokens_per_file_max))

    def measure(self, vectors: Sequence[bytes], model: str) -> None:
        """Hold vectors to one size. Raises ValueError."""
        for vector in vectors:
            got = len(vector) // VECTOR_NUMBER_BYTES
            if self.dimensions not in (0, got):
                raise ValueError(
                    OTHER_DIMENSIONS.format(model=model, got=got, known=self.dimensions)
                )
            self.dimensions = got

    def add(self, chunks: Sequence[StoredChunk]) -> None:
        """Some more are written."""
        self.chunks += len(chunks)
        self.size += sum(map(size_of, chunks))


def _failed(
    code: Literal["unsupported_file", "invalid_file"], message: str, described: File
) -> Outcome:
    error = VectorStoreFileError(code=code, message=message)
    return Outcome(status="failed", error=error, filename=described.filename)


def _of_other_size(model: str, known: int, end: Outcome) -> Outcome:
    reason = OTHER_DIMENSIONS.format(model=model, got=end.dimensions, known=known)
    error = VectorStoreFileError(
        code="server_error", message=FAILED.format(attempts=1, reason=reason)
    )
    return Outcome(status="failed", error=error, filename=end.filename)


def _reason(error: Exception) -> str:
    """What a user may know of a fault of the server's."""
    if isinstance(error, Problem):
        return error.body.message
    if isinstance(error, BackendFault):
        return error.message
    return str(error) if isinstance(error, ValueError) else type(error).__name__
