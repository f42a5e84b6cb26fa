"""Keys as they are kept: never the key itself, but its hash and what it is good for."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from famulus.failpoints import failpoint
from famulus_schemas.identity import DEFAULT_PROJECT
from famulus_schemas.keys import Role, StoredAccount, StoredKey
from famulus_schemas.records import (
    Conflict,
    Delete,
    Insert,
    Kind,
    Record,
    Records,
    Replace,
    SystemRecords,
    Unit,
)

KEYS_PER_READ = 100


def _index(record: Record) -> Mapping[str, str]:
    return {"hash": record.extra.hex()}


KEY = Kind(name="key", indexes=("hash",), index_of=_index)
"""Body: the StoredKey. Extra: the key's hash."""

CLAIM = Kind(name="key_pepper")
"""One record for all keys. Extra: what only the pepper that they are hashed with makes."""

_CLAIM_ID = "pepper"

_decode = msgspec.json.Decoder(StoredKey).decode
_decode_account = msgspec.json.Decoder(StoredAccount).decode

JoinIn = Callable[[str, Unit], Awaitable[Unit]]
"""Adds what others must have committed together with a unit of that project."""


async def alone_in(project: str, unit: Unit) -> Unit:
    """A unit that nobody joins."""
    return unit


def key_of(record: Record) -> StoredKey:
    """The key that a record keeps."""
    return _decode(record.body)


class KeyStore:
    """The stored keys of all projects."""

    def __init__(self, records: SystemRecords) -> None:
        self._records = records

    def of(self, project: str) -> Records:
        """The records that a project's keys are among."""
        return self._records.of(project)

    async def declare(self) -> None:
        """Make the kinds known to the store."""
        await self._records.declare(KEY, CLAIM)

    async def find(self, digest: bytes) -> tuple[str, StoredKey] | None:
        """The key of this hash, with its project."""
        found = await self._records.scan("key", where={"hash": digest.hex()}, limit=1)
        for record in found:
            if hmac.compare_digest(record.extra, digest):
                return record.project, _decode(record.body)
        return None

    async def role_of(self, project: str, key: StoredKey) -> Role | None:
        """The role of whom a key speaks for; None for a service account that is not there."""
        if key.owner is None:
            return "member"
        record = await self._records.of(project).get("service_account", key.owner)
        return None if record is None else _decode_account(record.body).role

    async def add(
        self,
        key: StoredKey,
        digest: bytes,
        *,
        project: str = DEFAULT_PROJECT,
        join: JoinIn = alone_in,
    ) -> bool:
        """Keep a key; False where its id is taken."""
        write = Insert(
            kind="key",
            id=key.id,
            created_at=key.created_at,
            body=msgspec.json.encode(key),
            extra=digest,
            index={"hash": digest.hex()},
        )
        failpoint("key_add_before_commit")
        try:
            await self._records.of(project).commit(await join(project, [write]))
        except Conflict:
            return False
        failpoint("key_added")
        return True

    async def change(self, project: str, id: str, change: Callable[[StoredKey], StoredKey]) -> bool:
        """Write a key anew as `change` makes it; False where it is gone, or others were faster."""
        record = await self._records.of(project).get("key", id)
        if record is None:
            return False
        body = msgspec.json.encode(change(_decode(record.body)))
        write = Replace(kind="key", id=id, version=record.version, body=body)
        try:
            await self._records.of(project).commit([write])
        except Conflict:
            return False
        return True

    async def claim(self) -> bytes | None:
        """What the pepper of the stored keys makes; None while no key was ever stored."""
        for record in await self._records.scan(CLAIM.name, limit=1):
            return record.extra
        return None

    async def make_claim(self, value: bytes, *, now: int) -> None:
        """Keep what a pepper makes, where nothing is kept of one yet."""
        write = Insert(kind=CLAIM.name, id=_CLAIM_ID, created_at=now, body=b"{}", extra=value)
        try:
            await self._records.of(DEFAULT_PROJECT).commit([write])
        except Conflict:
            return

    async def clear(self, *, join: JoinIn = alone_in) -> int:
        """Forget every key, and the pepper that they were hashed with; how many keys there were."""
        ids = {key.id async for _, key in self.all()}
        for id in ids:
            await self.remove(id, join=join)
        with contextlib.suppress(Conflict):
            await self._records.of(DEFAULT_PROJECT).commit([Delete(kind=CLAIM.name, id=_CLAIM_ID)])
        return len(ids)

    async def is_empty(self) -> bool:
        """Whether there is no key in any project."""
        return not await self._records.scan("key", limit=1)

    async def all(self) -> AsyncIterator[tuple[str, StoredKey]]:
        """Every key with its project, the oldest first."""
        after_seq = 0
        while records := await self._records.scan("key", after_seq=after_seq, limit=KEYS_PER_READ):
            for record in records:
                yield record.project, _decode(record.body)
            after_seq = records[-1].seq

    async def project_of(self, id: str) -> str | None:
        """The project of a key, whosever it is; None where there is none of this id."""
        async for project, key in self.all():
            if key.id == id:
                return project
        return None

    async def remove(self, id: str, *, join: JoinIn = alone_in) -> bool:
        """Forget a key, whosever it is; False where there is none of this id."""
        removed = False
        projects = [project async for project, key in self.all() if key.id == id]
        for project in projects:
            try:
                unit = await join(project, [Delete(kind="key", id=id)])
                await self._records.of(project).commit(unit)
            except Conflict:
                continue
            removed = True
        return removed
