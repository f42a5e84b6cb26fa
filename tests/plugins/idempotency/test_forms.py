"""A form that is sent again under its key, with another boundary, has its effect once."""

from __future__ import annotations

import httpx
import pytest
from msgspec import Struct

from famulus import (
    Call,
    FileField,
    FilePart,
    Form,
    NoSettings,
    Operation,
    Plugin,
    hookimpl,
    need,
    operation,
    operations,
)
from famulus.testing import TestServer, kernel_with
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Insert, Kind

pytestmark = pytest.mark.anyio

KEY = {"idempotency-key": "key-1"}


class SendThing(Struct, forbid_unknown_fields=True):
    """A form."""

    file: FileField
    word: str


class Thing(Struct):
    """What came of it."""

    id: str
    bytes: int


class Things(Plugin[NoSettings]):
    """Keeps how large files are."""

    name = "things"
    records = need(RECORDS)
    taken = 0

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("POST", "/things", action="things.write")
    async def send_thing(self, call: Call, form: Form[SendThing]) -> Thing:
        """Take a file."""

        async def save(part: FilePart) -> int:
            return sum([len(chunk) async for chunk in part])

        _, files = await form.read(save)
        self.taken += 1
        thing = Thing(id=self.new_id("thing_"), bytes=files["file"])
        await self.records.declare(Kind(name="thing"))
        unit = [Insert(kind="thing", id=thing.id, created_at=1, body=b"{}")]
        await self.records.of(call.project).commit(
            await self.joined(call.principal, "things.create", unit)
        )
        return thing


async def sent(server: TestServer, content: bytes, word: str = "x") -> httpx.Response:
    return await server.client.post(
        "/things", files={"file": ("a", content)}, data={"word": word}, headers=KEY
    )


async def test_the_same_form_has_its_effect_once() -> None:
    async with kernel_with("sqlite", "idempotency", Things) as server:
        first = await sent(server, b"hello")
        again = await sent(server, b"hello")
        assert first.status_code == again.status_code == 200
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert server.plugin("things").taken == 1


@pytest.mark.parametrize(("content", "word"), [(b"hallo", "x"), (b"hello", "y")])
async def test_another_form_of_the_same_length_is_refused(content: bytes, word: str) -> None:
    async with kernel_with("sqlite", "idempotency", Things) as server:
        await sent(server, b"hello")
        other = await sent(server, content, word)
        assert other.status_code == 400
        assert other.json()["error"]["code"] == "idempotency_key_reused"
