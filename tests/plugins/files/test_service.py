"""FILES, for the plugins that read files, name them or make some; and what a crash leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.plugins.files.conftest import User, eventually, give, given, keys, server_of

from famulus import NoSettings, Plugin, Problem, hookimpl
from famulus.testing import FixedClock, TestServer
from famulus_schemas.blobs import BlobDamaged
from famulus_schemas.identity import Principal
from famulus_schemas.records import Conflict, Unit, Write

pytestmark = pytest.mark.anyio


async def chunks(data: bytes = b"hello") -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


async def read(user: User, id: str, **span: int) -> bytes:
    return b"".join([chunk async for chunk in await user.files.open("default", id, **span)])


async def test_a_file_is_described_and_read(server: TestServer, user: User) -> None:
    id = await given(server, b"hello world")
    described = await user.files.describe("default", id)
    assert (described.id, described.filename, described.bytes) == (id, "a.txt", 11)
    assert await read(user, id) == b"hello world"
    assert await read(user, id, start=6, end=8) == b"wo"
    assert await read(user, id, start=6) == b"world"


async def test_what_is_not_there_is_a_404_for_everybody(server: TestServer, user: User) -> None:
    id = await given(server, project="other")
    for asked in (user.files.describe("default", id), user.files.open("default", id)):
        with pytest.raises(Problem) as caught:
            await asked
        assert (caught.value.status, str(caught.value)) == (404, f"No such File object: {id}")
    with pytest.raises(Problem):
        await user.files.delete(Principal(id="x"), id)


async def test_files_that_are_named_must_be_there(server: TestServer, user: User) -> None:
    id = await given(server)
    await user.files.require("default", {})
    await user.files.require("default", {"a": id, "b": id})
    with pytest.raises(Problem) as caught:
        await user.files.require("default", {"a": id, "file_ids[1]": "file-9", "c": "file-8"})
    assert (caught.value.status, caught.value.body.param) == (400, "file_ids[1]")
    assert str(caught.value) == "No such File object: file-9"


async def test_an_output_is_there_once_its_writes_are_committed(
    server: TestServer, user: User
) -> None:
    file, unit = await user.files.create_output("default", filename="plot.png", chunks=chunks())
    assert (file.purpose, file.bytes) == ("assistants_output", 5)
    assert (await server.get(f"/v1/files/{file.id}")).status_code == 404
    await user.records.of("default").commit(unit)
    assert (await server.get(f"/v1/files/{file.id}/content")).content == b"hello"


async def test_an_output_is_deleted_by_who_made_it(server: TestServer, user: User) -> None:
    file, unit = await user.files.create_output("default", filename="x", chunks=chunks())
    await user.records.of("default").commit(unit)
    await user.files.delete(Principal(id="x"), file.id)
    assert (await server.get(f"/v1/files/{file.id}")).status_code == 404

    async def is_removed() -> bool:
        return await keys(user) == []

    await eventually(is_removed)


async def test_an_output_over_the_limit_is_refused(tmp_path: Path) -> None:
    settings = {"files": {"file_bytes_max": 1000}}
    async with server_of(settings=settings, data_dir=tmp_path) as server:
        user: User = server.plugin("user")
        with pytest.raises(Problem) as caught:
            await user.files.create_output("default", filename="x", chunks=chunks(b"x" * 1001))
        assert caught.value.status == 413
        assert await keys(user) == []


# --- what is not whole ---------------------------------------------------------------------------


async def test_a_content_that_was_changed_on_the_disk_is_not_given_as_whole(
    server: TestServer, user: User, tmp_path: Path
) -> None:
    id = await given(server, b"hello world" * 100_000)
    [place] = list(tmp_path.rglob(id))
    place.write_bytes(b"HELLO world" + b"hello world" * 99_999)
    with pytest.raises(BlobDamaged):
        await read(user, id)


@pytest.mark.parametrize("content", [None, b"", b"hel"])
async def test_a_content_that_is_gone_or_cut_is_said_to_be_so(
    server: TestServer, user: User, tmp_path: Path, content: bytes | None
) -> None:
    id = await given(server)
    [place] = list(tmp_path.rglob(id))
    place.unlink()
    if content is not None:
        place.write_bytes(content)
    answer = await server.get(f"/v1/files/{id}/content")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "storage_unavailable"


async def test_what_belongs_to_nothing_is_removed_once_it_is_old(
    fixed_clock: FixedClock, tmp_path: Path
) -> None:
    settings = {"files": {"orphans_s": 0.01}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        user: User = server.plugin("user")
        mine = await given(server)
        await user.blobs.put("default", "other-1", chunks())
        await user.blobs.put("default", "part_9", chunks())
        file, unit = await user.files.create_output("p", filename="x", chunks=chunks())
        fixed_clock.move(86_399)
        late, late_unit = await user.files.create_output("p", filename="x", chunks=chunks())
        assert await keys(user) == sorted([mine, "other-1", "part_9", file.id, late.id])
        fixed_clock.move(2)

        async def is_removed() -> bool:
            return await keys(user) == sorted([mine, "other-1", late.id])

        await eventually(is_removed)
        # It is too late to make something of it, and not too late for the other.
        with pytest.raises(Conflict):
            await user.records.of("p").commit(unit)
        await user.records.of("p").commit(late_unit)


async def test_what_belongs_to_a_file_or_an_upload_is_never_removed(
    fixed_clock: FixedClock, tmp_path: Path
) -> None:
    settings = {"files": {"orphans_s": 0.01, "upload_s": 10**9}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        user: User = server.plugin("user")
        expected = [await given(server)]
        body = {"filename": "a", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"}
        for is_completed in (True, False):
            upload = (await server.post("/v1/uploads", body)).json()["id"]
            part = await server.client.post(f"/v1/uploads/{upload}/parts", files={"data": b"hello"})
            expected.append(part.json()["id"])
            if is_completed:
                done = {"part_ids": expected[-1:]}
                assert (
                    await server.post(f"/v1/uploads/{upload}/complete", done)
                ).status_code == 200
        await user.blobs.put("default", "file-lost", chunks())
        fixed_clock.move(90_000)

        async def is_swept() -> bool:
            return "file-lost" not in await keys(user)

        await eventually(is_swept)
        assert await keys(user) == sorted(expected)


class Slow(Plugin[NoSettings]):
    """Has each unit that makes a file wait until the test lets it."""

    name = "slow"

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """Wait."""
        await asyncio.sleep(0.5)
        return []


async def test_a_file_that_was_given_up_is_refused_and_can_be_sent_again(tmp_path: Path) -> None:
    settings = {"files": {"orphans_s": 0.01, "orphan_age_s": 0.0}}
    async with server_of(Slow, data_dir=tmp_path, settings=settings) as server:
        answer = await give(server)
        assert answer.status_code == 503
        assert "Send it again" in answer.json()["error"]["message"]
        assert await keys(server.plugin("user")) == []
