"""Operations of uploads: parts in any order and at once, and one end."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.plugins.files.conftest import User, error_of, eventually, keys, server_of

from famulus.testing import FixedClock, TestServer

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000
MISSING = "missing_required_parameter"


async def begun(server: TestServer, size: int, **more: Any) -> str:
    body = {
        "filename": "big.jsonl",
        "purpose": "user_data",
        "bytes": size,
        "mime_type": "text/plain",
        **more,
    }
    body["purpose"] = more.get("purpose", "assistants")
    answer = await server.post("/v1/uploads", body)
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["id"]
    return id


async def add(server: TestServer, upload: str, data: bytes) -> httpx.Response:
    return await server.client.post(f"/v1/uploads/{upload}/parts", files={"data": ("x", data)})


async def added(server: TestServer, upload: str, data: bytes) -> str:
    answer = await add(server, upload, data)
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["id"]
    return id


async def complete(server: TestServer, upload: str, *parts: str, **more: str) -> httpx.Response:
    return await server.post(f"/v1/uploads/{upload}/complete", {"part_ids": parts, **more})


async def cancel(server: TestServer, upload: str) -> httpx.Response:
    return await server.post(f"/v1/uploads/{upload}/cancel")


async def only(user: User, *expected: str) -> None:
    async def holds() -> bool:
        return await keys(user) == sorted(expected)

    await eventually(holds)


async def test_an_upload_is_begun(server: TestServer) -> None:
    body = {"filename": "a.txt", "purpose": "vision", "bytes": 5, "mime_type": "text/plain"}
    made = (await server.post("/v1/uploads", body)).json()
    assert made.pop("id").startswith("upload_")
    assert made == {
        "object": "upload",
        "bytes": 5,
        "created_at": NOW,
        "filename": "a.txt",
        "purpose": "vision",
        "status": "pending",
        "expires_at": NOW + 3600,
        "file": None,
    }


async def test_parts_become_a_file_in_the_order_in_which_they_are_listed(
    server: TestServer, user: User
) -> None:
    upload = await begun(server, 11)
    answer = (await add(server, upload, b"world")).json()
    assert answer == {
        "id": answer["id"],
        "object": "upload.part",
        "created_at": NOW,
        "upload_id": upload,
    }
    first = await added(server, upload, b"hello ")
    done = (await complete(server, upload, first, answer["id"])).json()
    assert done["status"] == "completed"
    file = done["file"]
    assert (file["object"], file["bytes"], file["filename"]) == ("file", 11, "big.jsonl")
    assert (await server.get(f"/v1/files/{file['id']}")).json() == file
    content = await server.get(f"/v1/files/{file['id']}/content")
    assert content.content == b"hello world"
    await only(user, first, answer["id"])


async def test_parts_come_at_once(server: TestServer) -> None:
    data = [bytes([n]) * 10_000 for n in range(20)]
    upload = await begun(server, 200_000)
    parts = await asyncio.gather(*(added(server, upload, one) for one in data))
    md5 = hashlib.md5(b"".join(data)).hexdigest()
    done = await complete(server, upload, *parts, md5=md5.upper())
    content = await server.get(f"/v1/files/{done.json()['file']['id']}/content")
    assert content.content == b"".join(data)


@pytest.mark.parametrize("span", [(0, 0), (9, 10), (5, 24), (10, 19), (29, 29), (0, 29)])
async def test_a_range_crosses_parts(server: TestServer, span: tuple[int, int]) -> None:
    upload = await begun(server, 30)
    data = [b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"]
    parts = [await added(server, upload, one) for one in data]
    id = (await complete(server, upload, *parts)).json()["file"]["id"]
    first, last = span
    headers = {"range": f"bytes={first}-{last}"}
    got = await server.get(f"/v1/files/{id}/content", headers=headers)
    assert got.content == b"".join(data)[first : last + 1]


async def test_parts_that_are_not_listed_are_removed(server: TestServer, user: User) -> None:
    upload = await begun(server, 5)
    await added(server, upload, b"wrong")
    right = await added(server, upload, b"right")
    id = (await complete(server, upload, right)).json()["file"]["id"]
    assert (await server.get(f"/v1/files/{id}/content")).content == b"right"
    await only(user, right)


async def test_a_file_that_was_uploaded_is_deleted_with_its_parts(
    server: TestServer, user: User
) -> None:
    upload = await begun(server, 10)
    parts = [await added(server, upload, b"hello") for _ in range(2)]
    id = (await complete(server, upload, *parts)).json()["file"]["id"]
    assert (await server.delete(f"/v1/files/{id}")).status_code == 200
    await only(user)


async def test_a_file_may_expire_when_its_upload_said(server: TestServer) -> None:
    expiry = {"anchor": "created_at", "seconds": 7200}
    upload = await begun(server, 5, expires_after=expiry)
    done = (await complete(server, upload, await added(server, upload, b"hello"))).json()
    assert done["file"]["expires_at"] == NOW + 7200
    batch = await begun(server, 5, purpose="batch")
    done = (await complete(server, batch, await added(server, batch, b"hello"))).json()
    assert done["file"]["expires_at"] == NOW + 30 * 86_400


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"bytes": 0}, "bytes", "integer_below_min_value"),
        ({"bytes": -1}, "bytes", "integer_below_min_value"),
        ({"bytes": 8 * 1024**3 + 1}, "bytes", "integer_above_max_value"),
        ({"bytes": "5"}, "bytes", "invalid_type"),
        ({"purpose": "user_data"}, "purpose", "invalid_value"),
        ({"filename": "../a"}, "filename", "invalid_value"),
        ({"filename": ""}, "filename", "invalid_value"),
        ({"filename": "a\r\nb"}, "filename", "invalid_value"),
        ({"filename": "\\\\host\\x"}, "filename", "invalid_value"),
        ({"filename": "n" * 513}, "filename", "string_above_max_length"),
        ({"foo": 1}, "foo", "unknown_parameter"),
        ({"expires_after": {"anchor": "created_at"}}, "expires_after.seconds", MISSING),
    ],
)
async def test_a_wrong_beginning_is_named(
    server: TestServer, change: dict[str, Any], param: str, code: str
) -> None:
    body = {"filename": "a", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"}
    assert error_of(await server.post("/v1/uploads", body | change))[:2] == (param, code)


async def test_the_parts_must_be_as_large_as_was_announced(server: TestServer) -> None:
    upload = await begun(server, 6)
    part = await added(server, upload, b"hello")
    param, _, message = error_of(await complete(server, upload, part))
    assert param == "part_ids"
    assert message == ("The parts have 5 bytes together, but the Upload was created for 6 bytes.")
    more = await added(server, upload, b"!")
    assert (await complete(server, upload, part, more)).status_code == 200


async def test_a_checksum_must_be_right(server: TestServer) -> None:
    upload = await begun(server, 5)
    part = await added(server, upload, b"hello")
    assert error_of(await complete(server, upload, part, md5="0" * 32))[0] == "md5"
    right = hashlib.md5(b"hello").hexdigest()
    assert (await complete(server, upload, part, md5=right)).status_code == 200


async def test_parts_must_be_the_uploads_own_and_be_listed_once(server: TestServer) -> None:
    upload, other = await begun(server, 10), await begun(server, 5)
    part, others = await added(server, upload, b"hello"), await added(server, other, b"hello")
    assert error_of(await complete(server, upload, part, part))[0] == "part_ids[1]"
    assert error_of(await complete(server, upload, part, others))[0] == "part_ids[1]"
    assert error_of(await complete(server, upload, "part_x"))[0] == "part_ids[0]"
    assert error_of(await complete(server, upload))[0] == "part_ids"


@pytest.mark.parametrize("end", ["completed", "cancelled"])
async def test_nothing_comes_after_the_end(server: TestServer, user: User, end: str) -> None:
    upload = await begun(server, 5)
    part = await added(server, upload, b"hello")
    ended = await (complete(server, upload, part) if end == "completed" else cancel(server, upload))
    assert ended.json()["status"] == end
    for answer, verb in (
        (await add(server, upload, b"more"), "add parts to"),
        (await complete(server, upload, part), "complete"),
        (await cancel(server, upload), "cancel"),
    ):
        said = f"Cannot {verb} an Upload with status '{end}'."
        assert error_of(answer) == (None, None, said)
    await only(user, *([part] if end == "completed" else []))


async def test_of_many_ends_at_once_one_counts(server: TestServer, user: User) -> None:
    upload = await begun(server, 5)
    part = await added(server, upload, b"hello")
    answers = await asyncio.gather(
        *(complete(server, upload, part) for _ in range(4)),
        *(cancel(server, upload) for _ in range(4)),
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    files = (await server.get("/v1/files")).json()["data"]
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert files == ([won["file"]] if won["status"] == "completed" else [])
    await only(user, *([part] if files else []))


async def test_parts_that_come_while_it_ends_are_refused_or_removed(
    server: TestServer, user: User
) -> None:
    upload = await begun(server, 5)
    part = await added(server, upload, b"hello")
    late = asyncio.gather(*(add(server, upload, b"x") for _ in range(5)))
    done = await complete(server, upload, part)
    answers = await late
    assert {answer.status_code for answer in answers} <= {200, 400}
    assert done.json()["file"]["bytes"] == 5
    for record in (await user.records.of("default").page("upload_part", upload)).records:
        raise AssertionError(f"{record.id} is left")


async def test_an_upload_that_is_not_completed_expires(
    fixed_clock: FixedClock, tmp_path: Path
) -> None:
    async with server_of(clock=fixed_clock, data_dir=tmp_path) as server:
        upload = await begun(server, 5)
        part = await added(server, upload, b"hello")
        fixed_clock.move(3600)
        for answer in (await add(server, upload, b"x"), await complete(server, upload, part)):
            assert "with status 'expired'" in error_of(answer)[2]
    async with server_of(clock=fixed_clock, data_dir=tmp_path) as server:
        await only(server.plugin("user"))
        assert "with status 'expired'" in error_of(await cancel(server, upload))[2]


async def test_limits_of_parts_hold() -> None:
    settings = {"files": {"part_bytes_max": 100, "upload_parts_max": 3, "uploads_pending_max": 2}}
    async with server_of(settings=settings) as server:
        upload = await begun(server, 40)
        assert error_of(await add(server, upload, b"x" * 101), 413)[0] == "data"
        assert error_of(await add(server, upload, b"x" * 81))[1] == "too_many_bytes"
        for _ in range(3):
            await added(server, upload, b"x")
        assert error_of(await add(server, upload, b"x"))[1] == "too_many_parts"
        assert error_of(await complete(server, upload, *"abcd"))[1] == "array_above_max_length"
        await begun(server, 5)
        body = {"filename": "a", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"}
        assert error_of(await server.post("/v1/uploads", body))[1] == "too_many_uploads"
        assert len(await keys(server.plugin("user"))) == 3


async def test_another_projects_upload_is_not_there(server: TestServer) -> None:
    upload = await begun(server, 5)
    headers = {"x-test-project": "other"}
    for path in ("cancel", "complete"):
        answer = await server.post(
            f"/v1/uploads/{upload}/{path}", {"part_ids": []}, headers=headers
        )
        assert error_of(answer, 404)[2] == f"No upload found with id '{upload}'."
    answer = await server.client.post(
        f"/v1/uploads/{upload}/parts", files={"data": b"x"}, headers=headers
    )
    assert answer.status_code == 404


async def test_what_is_sent_again_with_its_key_is_done_once(tmp_path: Path) -> None:
    async with server_of("idempotency", data_dir=tmp_path) as server:
        upload = await begun(server, 5)

        async def twice(path: str, **how: Any) -> list[dict[str, Any]]:
            headers = {"idempotency-key": "key-1"}
            answers = [await server.client.post(path, headers=headers, **how) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 200]
            return [answer.json() for answer in answers]

        one, two = await twice(f"/v1/uploads/{upload}/parts", files={"data": b"hello"})
        assert one == two
        one, two = await twice(f"/v1/uploads/{upload}/complete", json={"part_ids": [one["id"]]})
        assert one == two
        file = {"file": ("a", b"hello")}
        made, again = await twice("/v1/files", files=file, data={"purpose": "vision"})
        assert made == again
        listed = (await server.get("/v1/files?order=asc")).json()["data"]
        assert listed == [one["file"], made]
        assert len(await keys(server.plugin("user"))) == 2
