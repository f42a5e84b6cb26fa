"""The plugin: around every POST that carries a key, and in the unit of its effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from famulus import Bytes, Call, Operation, Plugin, Problem, hookimpl, need
from famulus.failpoints import failpoint
from famulus.operations import Proceed
from famulus_idempotency.kept import (
    KEY_CHARACTERS_MAX,
    KIND,
    Kept,
    body_of,
    decode,
    digest,
    effect_of,
    encode,
    record_id,
    whole_digest,
)
from famulus_idempotency.settings import IdempotencySettings
from famulus_schemas.errors import STRING_TOO_LONG, TOO_BUSY, Fault
from famulus_schemas.identity import Principal
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Conflict, Delete, Insert, Record, Records, Replace, Unit, Write
from famulus_schemas.retention import Data, DataKind, Idle, Removed

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
POLL_S = 0.05

ANSWER_LOST = Fault(
    410,
    "idempotency_answer_lost",
    "The first request with the Idempotency-Key '{key}' had its effect, but its answer was lost, "
    "and what it made is gone. Look at what there is now, and use a new key.",
)
NOT_KEPT = Fault(
    400,
    "idempotency_key_not_taken",
    "This operation takes no Idempotency-Key: its answer may hold a secret, which is kept nowhere. "
    "Send it without one; where an answer is lost, look at what there is, and delete what is "
    "not wanted.",
)
OTHER_REQUEST = Fault(
    400,
    "idempotency_key_reused",
    "The Idempotency-Key '{key}' was used for another request before. "
    "Send the same request again, or use a new key.",
)


class Pending:
    """A request with a key that is being served, and whether its effect is committed."""

    def __init__(self, call: Call, id: str, kept: Kept) -> None:
        self.call = call
        self.id = id
        self.kept = kept
        self.task = asyncio.current_task()
        self.is_tried = False
        self.over = asyncio.Event()


class TakenByOther(Exception):
    """Another attempt of the same request was first."""


_PENDING: ContextVar[Pending | None] = ContextVar("famulus_idempotency", default=None)


class Idempotency(Plugin[IdempotencySettings]):
    """Gives a request that is sent again with its key the answer of the first time."""

    records = need(RECORDS)
    every_project = need(RECORDS.system)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Forget keys that are over, now and then."""
        await self.records.declare(KIND)
        self._served: dict[tuple[str, str], Pending] = {}
        sweeper = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeper.cancel()
            await asyncio.wait([sweeper])

    @hookimpl
    async def around_call(self, call: Call, operation: Operation, proceed: Proceed) -> Any:
        """Serve a POST with a key once, and answer it again as often as it is sent."""
        key = call.headers.get(HEADER) if call.method == "POST" else None
        if key is None:
            return await proceed()
        if not 0 < len(key) <= KEY_CHARACTERS_MAX:
            raise Problem(
                STRING_TOO_LONG, param=HEADER, name=HEADER, limit=KEY_CHARACTERS_MAX, got=len(key)
            )
        if not operation.keeps_answer:
            raise Problem(NOT_KEPT, param=HEADER)
        id = record_id(operation.name, key)
        records = self.records.of(call.project)
        if call.form is not None:
            call.form.start_digest()
        while True:
            record = await self._current(records, id)
            if record is not None:
                return await self._again(call, records, record, await whole_digest(call), key)
            kept = Kept(request=digest(call), attempt=call.request_id + self.new_id("."))
            try:
                return await self._first(call, records, Pending(call, id, kept), proceed)
            except TakenByOther:
                continue

    # --- the first time -----------------------------------------------------------------------

    async def _first(self, call: Call, records: Records, pending: Pending, proceed: Proceed) -> Any:
        place = (call.project, pending.id)
        if place in self._served:
            await self._wait_for(self._served[place])
            raise TakenByOther
        self._served[place] = pending
        token = _PENDING.set(pending)
        try:
            answer = await proceed()
            await self._keep(records, pending, answer)
        except Exception:
            # Refused because another attempt has had the effect: then that one's answer counts.
            record = await records.get(KIND.name, pending.id)
            if record is not None and decode(record.body).attempt != pending.kept.attempt:
                raise TakenByOther from None
            raise
        finally:
            _PENDING.reset(token)
            self._served.pop(place, None)
            pending.over.set()
        return answer

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """The key is taken in the very commit of the effect, with the answer that it will have."""
        pending = _PENDING.get()
        # What the request set going runs in other tasks or for others, and is none of its own.
        if pending is None or pending.task is not asyncio.current_task():
            return []
        if principal != pending.call.principal:
            return []
        records = self.records.of(pending.call.project)
        if pending.is_tried:
            record = await records.get(KIND.name, pending.id)
            if record is not None:
                if decode(record.body).attempt != pending.kept.attempt:
                    raise TakenByOther
                return []
        pending.is_tried = True
        return [self._insert(pending, self._told_by(pending, unit))]

    def _told_by(self, pending: Pending, unit: Unit) -> bytes:
        """Have the key say what the unit tells of its answer; the answer's body."""
        call, main = pending.call, effect_of(unit)
        data = call.answer or (main.body if main is not None else None) or b""
        is_kept = call.resume_path is None and 0 < len(data) <= self.settings.answer_bytes_max
        pending.kept = replace(
            pending.kept,
            # A form has been read only by now.
            request=digest(call),
            is_answered=call.resume_path is not None or bool(data),
            is_kept=is_kept,
            headers=dict(call.response_headers),
            effect=(main.kind, main.id) if main is not None else None,
            resume_path=call.resume_path,
        )
        return data if is_kept else b""

    def _insert(self, pending: Pending, answer: bytes) -> Insert:
        return Insert(
            kind=KIND.name,
            id=pending.id,
            created_at=self.now(),
            body=encode(pending.kept),
            extra=answer,
        )

    async def _keep(self, records: Records, pending: Pending, answer: Any) -> None:
        """Keep the answer where it is another than the effect's commit told, or had no effect."""
        failpoint("answer_before_kept")
        body = body_of(answer)
        kept = replace(pending.kept, is_answered=True, headers=dict(pending.call.response_headers))
        data = b""
        if body is not None:
            status, content_type, whole = body
            is_kept = len(whole) <= self.settings.answer_bytes_max
            data = whole if is_kept else b""
            kept = replace(
                kept, is_kept=is_kept, status=status, content_type=content_type, resume_path=None
            )
        if kept.is_kept or kept.effect is not None or kept.resume_path is not None:
            pending.kept = kept
            await self._keep_as(records, pending, data)
        failpoint("answer_kept")

    async def _keep_as(self, records: Records, pending: Pending, data: bytes) -> None:
        stored = await records.get(KIND.name, pending.id)
        body = encode(pending.kept)
        if stored is None:
            await records.commit([self._insert(pending, data)])
        elif (stored.body, stored.extra) != (body, data):
            version = stored.version
            again = Replace(kind=KIND.name, id=pending.id, version=version, body=body, extra=data)
            await records.commit([again])

    # --- again --------------------------------------------------------------------------------

    async def _current(self, records: Records, id: str) -> Record | None:
        """The key's record, unless it is over."""
        record = await records.get(KIND.name, id)
        if record is None or record.created_at + self.settings.kept_s > self.now():
            return record
        try:
            await records.commit([Delete(kind=KIND.name, id=id, version=record.version)])
        except Conflict:
            return await records.get(KIND.name, id)
        return None

    async def _again(
        self, call: Call, records: Records, record: Record, request: str, key: str
    ) -> Any:
        if decode(record.body).request != request:
            raise Problem(OTHER_REQUEST, param=HEADER, key=key)
        record = await self._answered(call, records, record)
        kept = decode(record.body)
        data = record.extra if kept.is_kept else None
        if data is None and kept.resume_path is None:
            data = await self._effect(records, kept, key)
        call.response_headers.update(kept.headers)
        call.response_headers[REPLAYED] = "true"
        if kept.resume_path is not None:
            call.response_headers["location"] = kept.resume_path
            return Bytes(b"", "text/plain", status=303)
        return Bytes(data or b"", kept.content_type, status=kept.status)

    async def _answered(self, call: Call, records: Records, record: Record) -> Record:
        """The record once the first attempt is over, wherever that is served."""
        pending = self._served.get((call.project, record.id))
        if pending is not None:
            await self._wait_for(pending)
            record = await records.get(KIND.name, record.id) or record
        deadline = asyncio.get_running_loop().time() + self.settings.wait_s
        while not decode(record.body).is_answered:
            if self.every_project.exclusive or asyncio.get_running_loop().time() > deadline:
                # Nobody can be serving it any more.
                break
            else:
                await asyncio.sleep(POLL_S)
            record = await records.get(KIND.name, record.id) or record
        return record

    async def _wait_for(self, pending: Pending) -> None:
        try:
            async with asyncio.timeout(self.settings.wait_s):
                await pending.over.wait()
        except TimeoutError:
            raise Problem(
                TOO_BUSY,
                headers={"retry-after": "5"},
                reason="the first request with this Idempotency-Key is still being served.",
            ) from None

    async def _effect(self, records: Records, kept: Kept, key: str) -> bytes:
        """What the first attempt made, as it now is: its answer was too large to be kept."""
        record = await records.get(*kept.effect) if kept.effect is not None else None
        if record is None:
            raise Problem(ANSWER_LOST, param=HEADER, key=key)
        return record.body

    # --- the end ------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_s)
            while over := await self._over():
                for record in over:
                    await self._forget(record)

    async def _over(self) -> list[Record]:
        """Some keys that are over, the oldest first; empty where none is."""
        limit = self.now() - self.settings.kept_s
        oldest = await self.every_project.scan(KIND.name)
        return [record for record in oldest if record.created_at <= limit]

    @hookimpl
    def register_data_kinds(self) -> list[Data]:
        """Answers, which repeat what was made; how long they are kept is a setting of their own."""
        kind = DataKind(name="answers", kind=KIND.name, delete=self._delete, is_copy=True)
        return [kind]

    async def _delete(self, principal: Principal, record: Record, idle: Idle | None) -> Removed:
        await self._forget(record)
        return Removed()

    async def _forget(self, record: Record) -> None:
        delete = Delete(kind=KIND.name, id=record.id, version=record.version)
        try:
            await self.every_project.of(record.project).commit([delete])
        except Conflict:
            self.log.debug("key_taken_again", id=record.id)
