"""Operations of files, as a client sees them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.plugins.files.conftest import User, error_of, eventually, give, given, keys, server_of

from famulus import NoSettings, Plugin, hookimpl, need
from famulus.testing import FixedClock, TestServer
from famulus_schemas.identity import Principal
from famulus_schemas.jobs import Job
from famulus_schemas.ports import JOBS, RECORDS
from famulus_schemas.records import Delete, Insert, Kind, Unit, Write

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000


async def test_a_file_is_what_was_given(server: TestServer) -> None:
    made = (await give(server, b"hello", "größe.txt")).json()
    assert made.pop("id").startswith("file-")
    assert made == {
        "object": "file",
        "bytes": 5,
        "created_at": NOW,
        "filename": "größe.txt",
        "purpose": "assistants",
        "status": "processed",
    }


async def test_a_file_is_retrieved_with_its_content(server: TestServer) -> None:
    made = (await give(server, b"hello")).json()
    assert (await server.get(f"/v1/files/{made['id']}")).json() == made
    content = await server.get(f"/v1/files/{made['id']}/content")
    assert (content.status_code, content.content) == (200, b"hello")
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-length"] == "5"
    assert 'filename="a.txt"' in content.headers["content-disposition"]
    part = await server.get(f"/v1/files/{made['id']}/content", headers={"range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"ell")


async def test_an_empty_file_is_a_file(server: TestServer) -> None:
    id = await given(server, b"")
    content = await server.get(f"/v1/files/{id}/content")
    assert (content.status_code, content.content) == (200, b"")


@pytest.mark.parametrize(
    "purpose", ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
)
async def test_every_purpose_is_taken(server: TestServer, purpose: str) -> None:
    assert (await give(server, purpose=purpose)).json()["purpose"] == purpose


async def test_only_files_for_batches_expire_by_themselves(server: TestServer) -> None:
    assert "expires_at" not in (await give(server)).json()
    assert (await give(server, purpose="batch")).json()["expires_at"] == NOW + 30 * 86_400


async def test_a_file_expires_when_its_client_says(server: TestServer) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = (await give(server, **fields)).json()
    assert made["expires_at"] == NOW + 3600


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"purpose": "assistants_output"}, "purpose", "invalid_value"),
        ({"purpose": ""}, "purpose", "invalid_value"),
        ({"foo": "x"}, "foo", "unknown_parameter"),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"},
            "expires_after.seconds",
            "integer_below_min_value",
        ),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"},
            "expires_after.seconds",
            "integer_above_max_value",
        ),
        ({"expires_after[seconds]": "3600"}, "expires_after.anchor", "missing_required_parameter"),
        (
            {
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "3600",
                "expires_after[days]": "1",
            },
            "expires_after.days",
            "unknown_parameter",
        ),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_kept(
    server: TestServer, user: User, fields: dict[str, str], param: str, code: str
) -> None:
    assert error_of(await give(server, **fields))[:2] == (param, code)
    assert await keys(user) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/../b", "..", "a/./b", "a\\..\\b", "n" * 513]
)
async def test_a_name_that_could_do_harm_is_refused(
    server: TestServer, user: User, tmp_path: Path, name: str
) -> None:
    assert error_of(await give(server, b"x", name))[0] == "file"
    assert await keys(user) == []
    assert not [path for path in tmp_path.rglob("*") if "passwd" in path.name]


@pytest.mark.parametrize("name", ["docs/a.txt", "a b.txt", "漢字.pdf", "-rf", "a;b", "\u202eexe"])
async def test_any_other_name_is_kept_as_it_is(server: TestServer, name: str) -> None:
    made = (await give(server, b"x", name)).json()
    assert made["filename"] == name
    content = await server.get(f"/v1/files/{made['id']}/content")
    assert content.headers["content-disposition"].isascii()


async def test_a_file_without_a_name_is_refused(server: TestServer) -> None:
    answer = await server.client.post(
        "/v1/files",
        content=b'--e\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--e--\r\n',
        headers={"content-type": "multipart/form-data; boundary=e"},
    )
    assert error_of(answer)[:2] == ("file", "invalid_type")
    assert error_of(await give(server, b"x", " "))[2] == "Invalid 'file': the file has no name."


async def test_a_file_over_the_limit_is_refused_and_nothing_is_kept() -> None:
    async with server_of(settings={"files": {"file_bytes_max": 1000}}) as server:
        assert (await give(server, b"x" * 1000)).status_code == 200
        assert error_of(await give(server, b"x" * 1001), 413)[:2] == ("file", "file_too_large")
        assert error_of(await give(server, b"x" * 2_000_000), 413)[1] == "request_too_large"
        assert len(await keys(server.plugin("user"))) == 1


async def test_a_project_may_have_a_limit() -> None:
    async with server_of(settings={"files": {"project_bytes_max": 1000}}) as server:
        first = await given(server, b"x" * 600)
        assert error_of(await give(server, b"x" * 401))[1] == "storage_quota_exceeded"
        assert (await give(server, b"x" * 401, project="other")).status_code == 200
        await server.delete(f"/v1/files/{first}")
        assert (await give(server, b"x" * 401)).status_code == 200


async def test_purposes_may_be_kept_from_being_downloaded() -> None:
    async with server_of(settings={"files": {"not_downloaded": ["assistants"]}}) as server:
        answer = await server.get(f"/v1/files/{await given(server)}/content")
        assert error_of(answer)[2] == "Not allowed to download files of purpose: assistants"
        other = await given(server, purpose="user_data")
        assert (await server.get(f"/v1/files/{other}/content")).status_code == 200


# --- lists ---------------------------------------------------------------------------------------


async def test_files_are_listed_newest_first_and_page_by_page(server: TestServer) -> None:
    ids = [await given(server, str(n).encode()) for n in range(5)]
    everything = (await server.get("/v1/files")).json()
    assert [one["id"] for one in everything["data"]] == ids[::-1]
    assert (everything["object"], everything["has_more"]) == ("list", False)
    page = (await server.get("/v1/files?limit=2&order=asc")).json()
    assert [one["id"] for one in page["data"]] == ids[:2]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[0], ids[1], True)
    rest = (await server.get(f"/v1/files?limit=9&order=asc&after={ids[1]}")).json()
    assert [one["id"] for one in rest["data"]] == ids[2:]


async def test_files_are_listed_by_purpose(server: TestServer) -> None:
    await given(server)
    id = await given(server, purpose="vision")
    listed = (await server.get("/v1/files?purpose=vision")).json()["data"]
    assert [one["id"] for one in listed] == [id]
    assert (await server.get("/v1/files?purpose=none")).json()["data"] == []


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("limit=0", "limit", "integer_below_min_value"),
        ("limit=10001", "limit", "integer_above_max_value"),
        ("order=up", "order", "invalid_value"),
        ("after=file-9", "after", None),
    ],
)
async def test_a_wrong_query_is_named(
    server: TestServer, query: str, param: str, code: str | None
) -> None:
    assert error_of(await server.get(f"/v1/files?{query}"))[:2] == (param, code)


async def test_a_page_of_ten_thousand_may_be_asked_for(server: TestServer) -> None:
    assert (await server.get("/v1/files?limit=10000")).status_code == 200


# --- whose ---------------------------------------------------------------------------------------


async def test_another_projects_file_is_not_there(server: TestServer) -> None:
    id = await given(server, project="other")
    for answer in (
        await server.get(f"/v1/files/{id}"),
        await server.get(f"/v1/files/{id}/content"),
        await server.delete(f"/v1/files/{id}"),
    ):
        assert error_of(answer, 404) == ("id", None, f"No such File object: {id}")
    assert (await server.get("/v1/files")).json()["data"] == []
    mine = await server.get(f"/v1/files/{id}", headers={"x-test-project": "other"})
    assert mine.status_code == 200


# --- the end -------------------------------------------------------------------------------------


async def test_a_deleted_file_is_gone_and_so_is_its_content(server: TestServer, user: User) -> None:
    id = await given(server)
    answer = await server.delete(f"/v1/files/{id}")
    assert answer.json() == {"id": id, "object": "file", "deleted": True}
    assert (await server.get(f"/v1/files/{id}")).status_code == 404
    assert (await server.get(f"/v1/files/{id}/content")).status_code == 404
    assert (await server.delete(f"/v1/files/{id}")).status_code == 404
    assert (await server.get("/v1/files")).json()["data"] == []

    async def is_removed() -> bool:
        return await keys(user) == []

    await eventually(is_removed)


async def test_of_many_who_delete_a_file_one_has_done_it(server: TestServer) -> None:
    id = await given(server)
    answers = await asyncio.gather(*(server.delete(f"/v1/files/{id}") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 7


async def test_a_file_that_expires_is_not_there_from_that_second(
    server: TestServer, fixed_clock: FixedClock
) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    id, other = await given(server, **fields), await given(server)
    fixed_clock.move(3599)
    assert (await server.get(f"/v1/files/{id}")).status_code == 200
    fixed_clock.move(1)
    for path in (f"/v1/files/{id}", f"/v1/files/{id}/content"):
        assert error_of(await server.get(path), 404)[2] == f"No such File object: {id}"
    assert (await server.delete(f"/v1/files/{id}")).status_code == 404
    listed = (await server.get("/v1/files?limit=1&order=asc")).json()
    assert [one["id"] for one in listed["data"]] == [other]


async def test_an_expired_file_is_deleted_with_its_content(
    fixed_clock: FixedClock, tmp_path: Path
) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    settings = {"files": {"sweep_s": 0.01}}
    async with server_of(clock=fixed_clock, data_dir=tmp_path, settings=settings) as server:
        user: User = server.plugin("user")
        id, other = await given(server, **fields), await given(server)
        assert await keys(user) == sorted([id, other])
        fixed_clock.move(7200)

        async def is_removed() -> bool:
            return await keys(user) == [other]

        await eventually(is_removed)
        assert await user.records.of("default").get("file", id) is None


async def test_what_expired_while_the_server_was_down_is_deleted_at_its_start(
    fixed_clock: FixedClock, tmp_path: Path
) -> None:
    async with server_of(clock=fixed_clock, data_dir=tmp_path) as server:
        await given(server, purpose="batch")
    fixed_clock.move(400 * 86_400)
    async with server_of(clock=fixed_clock, data_dir=tmp_path) as server:
        user: User = server.plugin("user")

        async def is_removed() -> bool:
            return await keys(user) == []

        await eventually(is_removed)


# --- what follows from it ------------------------------------------------------------------------


class Stores(Plugin[NoSettings]):
    """Keeps notes of files, as a plugin does that has files in its own records."""

    name = "stores"
    records = need(RECORDS)
    jobs = need(JOBS)
    told: list[str]
    done: list[str]

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        """A deleted file is noted, and a job promised, in the same commit."""
        self.told = [*getattr(self, "told", []), action]
        writes: list[Write] = []
        for write in unit:
            if action == "files.delete" and isinstance(write, Delete) and write.kind == "file":
                await self.records.declare(Kind(name="note"))
                self.jobs.handle("stores.forget", self.forget, at_once_max=1)
                ticket = self.jobs.enqueue(principal.project, "stores.forget", write.id, waits=True)
                writes += [
                    Insert(kind="note", id=write.id, created_at=1, body=b"{}"),
                    *ticket.unit,
                ]
        return writes

    async def forget(self, job: Job) -> None:
        self.done = [*getattr(self, "done", []), job.key]
        await self.records.of(job.project).commit(self.jobs.finish(job))


async def test_what_must_follow_from_a_deletion_is_committed_with_it(tmp_path: Path) -> None:
    async with server_of(Stores, data_dir=tmp_path) as server:
        stores: Stores = server.plugin("stores")
        id = await given(server)
        await server.delete(f"/v1/files/{id}")
        assert stores.told == ["files.create", "files.delete"]
        assert await stores.records.of("default").get("note", id) is not None

        async def is_done() -> bool:
            return getattr(stores, "done", []) == [id]

        await eventually(is_done)
