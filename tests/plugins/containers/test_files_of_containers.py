"""Files of containers: sent or copied, each at a path of its own, downloaded and deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


async def test_a_file_that_is_sent_is_told_and_downloaded(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    file = await harbour.sent(container, b"hello", "größe.txt")
    assert file == {
        "id": file["id"],
        "object": "container.file",
        "container_id": container,
        "created_at": 1_700_000_000,
        "bytes": 5,
        "path": "/mnt/data/größe.txt",
        "source": "user",
    }
    path = f"/{container}/files/{file['id']}"
    assert await harbour.ok(await harbour.get(path)) == file
    content = await harbour.get(f"{path}/content")
    assert content.content == b"hello"
    part = await harbour.get(f"{path}/content", headers={"range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"el")


async def test_a_kept_file_is_copied_and_lives_on_by_itself(harbour: Any) -> None:
    first, second = await harbour.kept(b"one", "a.txt"), await harbour.kept(b"two", "b.txt")
    container = (await harbour.create(file_ids=[first]))["id"]
    path = f"/v1/containers/{container}/files"
    copied = await harbour.ok(await harbour.server.post(path, {"file_id": second}))
    as_form = await harbour.server.client.post(path, files={"file_id": (None, second)})
    assert (await harbour.ok(as_form))["path"] == "/mnt/data/b_2.txt"
    for file in (first, second):
        await harbour.ok(await harbour.server.delete(f"/v1/files/{file}"))
    assert await harbour.paths(container) == [
        "/mnt/data/a.txt",
        "/mnt/data/b.txt",
        "/mnt/data/b_2.txt",
    ]
    content = await harbour.get(f"/{container}/files/{copied['id']}/content")
    assert content.content == b"two"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"json": {"file_id": "file-none"}}, (400, None, "file_id")),
        ({"json": {}}, (400, "missing_required_parameter", "file_id")),
        ({"files": {"other": (None, "x")}}, (400, "unknown_parameter", "other")),
        ({"files": {"file": ("a", b"x"), "file_id": (None, "f")}}, (400, None, "file_id")),
    ],
)
async def test_what_names_no_one_file_is_refused_and_nothing_of_it_stays(
    given: dict[str, Any], expected: tuple[Any, ...], harbour: Any
) -> None:
    container = (await harbour.create())["id"]
    path = f"/v1/containers/{container}/files"
    status, code, param = await harbour.refused(await harbour.server.client.post(path, **given))
    assert (status, param) == (expected[0], expected[2])
    assert expected[1] in (None, code)
    assert await harbour.paths(container) == []
    assert await harbour.keys() == set()


async def test_names_are_made_safe_and_no_two_files_have_one_path(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    for name in ("a.txt", "a.txt", "etc/../../a.txt", ".bashrc", "x\u202ey"):
        await harbour.sent(container, b"x", name)
    assert await harbour.paths(container) == [
        "/mnt/data/a.txt",
        "/mnt/data/a_2.txt",
        "/mnt/data/a_3.txt",
        "/mnt/data/bashrc",
        "/mnt/data/xy",
    ]


async def test_files_that_come_at_once_all_stay(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    answers = await asyncio.gather(*(harbour.send(container, b"%d" % n) for n in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    paths = await harbour.paths(container)
    assert len(set(paths)) == len(paths) == 8


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"files_max": 2}, "too_many_files"),
        ({"container_bytes_max": 12}, "too_many_bytes"),
        ({"file_bytes_max": 4}, "file_too_large"),
    ],
)
async def test_more_than_a_container_may_have_is_refused(
    limits: dict[str, int], code: str, open_harbour: Any
) -> None:
    async with open_harbour(**limits) as harbour:
        container = (await harbour.create())["id"]
        answers = [await harbour.send(container) for _ in range(3)]
        refused = answers[-1]
        assert refused.json()["error"]["code"] == code
        there = [answer for answer in answers if answer.status_code == 200]
        assert len(await harbour.paths(container)) == len(there) == len(await harbour.keys())


async def test_a_deleted_file_is_gone(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    file = (await harbour.sent(container))["id"]
    path = f"/v1/containers/{container}/files/{file}"
    gone = await harbour.ok(await harbour.server.delete(path))
    assert gone == {"id": file, "object": "container.file.deleted", "deleted": True}
    assert (await harbour.server.delete(path)).status_code == 404
    assert await harbour.paths(container) == []
    assert await harbour.keys() == set()


async def test_a_file_is_only_in_its_own_container(harbour: Any) -> None:
    one, other = (await harbour.create())["id"], (await harbour.create())["id"]
    file = (await harbour.sent(one))["id"]
    for path in (f"/{other}/files/{file}", f"/{other}/files/{file}/content"):
        assert (await harbour.get(path)).status_code == 404
    assert (await harbour.server.delete(f"/v1/containers/{other}/files/{file}")).status_code == 404
    assert await harbour.paths(one) == ["/mnt/data/a.txt"]


async def test_contents_that_belong_to_nothing_are_removed(open_harbour: Any) -> None:
    async with open_harbour(orphan_age_s=0) as harbour:
        container = (await harbour.create())["id"]
        kept = (await harbour.sent(container))["id"]

        async def content() -> Any:
            yield b"lost"

        await harbour.user.blobs.put("default", "cfile_lost", content())
        await harbour.user.blobs.put("default", "file-others", content())
        harbour.clock.move(1)
        await harbour.plugin.tidy()
        assert await harbour.keys() == {kept}
        assert await harbour.user.blobs.find("default", "file-others") is not None
