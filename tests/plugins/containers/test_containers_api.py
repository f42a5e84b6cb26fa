"""Containers over HTTP: made, listed, used until they expire, and deleted with their files."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


async def test_a_container_is_told_as_it_was_made(harbour: Any) -> None:
    made = await harbour.create(
        name="box",
        expires_after={"anchor": "last_active_at", "minutes": 5},
        memory_limit="4g",
        network_policy={"type": "disabled"},
    )
    assert made == {
        "id": made["id"],
        "object": "container",
        "name": "box",
        "created_at": 1_700_000_000,
        "status": "running",
        "last_active_at": 1_700_000_000,
        "expires_after": {"anchor": "last_active_at", "minutes": 5},
        "memory_limit": "4g",
        "network_policy": {"type": "disabled"},
    }
    assert await harbour.ok(await harbour.get(f"/{made['id']}")) == made
    plain = await harbour.create()
    assert plain["expires_after"]["minutes"] == 20
    assert plain["memory_limit"] == "1g"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"skills": [{"type": "skill_reference", "skill_id": "s"}]}, "unsupported", "skills"),
        (
            {"network_policy": {"type": "allowlist", "allowed_domains": ["a.example"]}},
            "unsupported",
            "network_policy.type",
        ),
        ({"file_ids": ["file-none"]}, None, "file_ids[0]"),
        ({"memory_limit": "2g"}, "invalid_value", "memory_limit"),
        (
            {"expires_after": {"anchor": "last_active_at", "minutes": 0}},
            "integer_below_min_value",
            "expires_after.minutes",
        ),
        ({"size": 1}, "unknown_parameter", "size"),
    ],
)
async def test_what_cannot_be_had_is_refused_by_name(
    fields: dict[str, Any], code: str | None, param: str, harbour: Any
) -> None:
    response = await harbour.server.post("/v1/containers", {"name": "c", **fields})
    assert await harbour.refused(response) == (400, code, param)
    assert (await harbour.ok(await harbour.get("")))["data"] == []


async def test_containers_are_listed_by_name_and_page(harbour: Any) -> None:
    ids = [(await harbour.create(name=name))["id"] for name in ("a", "b", "a", "b")]
    listed = await harbour.ok(await harbour.get("", params={"limit": 3, "order": "asc"}))
    assert [one["id"] for one in listed["data"]] == ids[:3]
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == (ids[0], ids[2], True)
    rest = await harbour.ok(await harbour.get("", params={"order": "asc", "after": ids[2]}))
    assert [one["id"] for one in rest["data"]] == ids[3:]
    named = await harbour.ok(await harbour.get("", params={"name": "a"}))
    assert [one["id"] for one in named["data"]] == [ids[2], ids[0]]


async def test_a_container_that_is_left_alone_expires_and_one_that_is_used_does_not(
    harbour: Any,
) -> None:
    left, used = (await harbour.create())["id"], (await harbour.create())["id"]
    for container in (left, used):
        await harbour.sent(container)
    for _ in range(2):
        harbour.clock.move(15 * 60)
        told = await harbour.ok(await harbour.get(f"/{used}"))
        assert (told["status"], told["last_active_at"]) == ("running", int(harbour.clock()))
    # Whether it was noticed already makes no difference.
    for _ in range(2):
        assert (await harbour.ok(await harbour.get(f"/{left}")))["status"] == "expired"
        listed = (await harbour.ok(await harbour.get("")))["data"]
        assert [one["status"] for one in listed] == ["running", "expired"]
        for response in (await harbour.get(f"/{left}/files"), await harbour.send(left)):
            expected = (404, "container_expired", "container_id")
            assert await harbour.refused(response) == expected
        await harbour.plugin.sweep()
    assert len(await harbour.keys()) == 1
    assert await harbour.paths(used) == ["/mnt/data/a.txt"]
    await harbour.ok(await harbour.server.delete(f"/v1/containers/{left}"))


async def test_what_expired_long_ago_is_forgotten(open_harbour: Any) -> None:
    async with open_harbour(expired_kept_s=10_000) as harbour:
        container = (await harbour.create())["id"]
        harbour.clock.move(9_000)
        await harbour.plugin.sweep()
        await harbour.plugin.tidy()
        assert (await harbour.get(f"/{container}")).status_code == 200
        harbour.clock.move(2_000)
        await harbour.plugin.tidy()
        assert (await harbour.get(f"/{container}")).status_code == 404


async def test_a_project_has_only_so_many_running_containers(open_harbour: Any) -> None:
    async with open_harbour(containers_max=2) as harbour:
        await harbour.create()
        await harbour.create()
        response = await harbour.server.post("/v1/containers", {"name": "c"})
        assert await harbour.refused(response) == (400, "too_many_containers", None)
        harbour.clock.move(3600)
        await harbour.create()


async def test_a_deleted_container_is_gone_with_its_files(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    file = await harbour.sent(container)
    gone = await harbour.ok(await harbour.server.delete(f"/v1/containers/{container}"))
    assert gone == {"id": container, "object": "container.deleted", "deleted": True}
    for path in ("", "/files", f"/files/{file['id']}", f"/files/{file['id']}/content"):
        assert (await harbour.get(f"/{container}{path}")).status_code == 404
    assert (await harbour.server.delete(f"/v1/containers/{container}")).status_code == 404
    assert await harbour.keys() == set()


async def test_what_one_project_owns_another_cannot_see(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    file = (await harbour.sent(container))["id"]
    theirs = {"headers": {"x-test-project": "theirs"}}
    for path in ("", "/files", f"/files/{file}", f"/files/{file}/content"):
        assert (await harbour.get(f"/{container}{path}", **theirs)).status_code == 404
    assert (await harbour.ok(await harbour.get("", **theirs)))["data"] == []
    assert (await harbour.send(container, **theirs)).status_code == 404
    for path in ("", f"/files/{file}"):
        response = await harbour.server.delete(f"/v1/containers/{container}{path}", **theirs)
        assert response.status_code == 404
    kept = await harbour.kept()
    body = {"name": "c", "file_ids": [kept]}
    response = await harbour.server.post("/v1/containers", body, **theirs)
    assert response.status_code == 400


async def test_of_many_who_delete_at_once_one_is_told_that_it_did(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    path = f"/v1/containers/{container}"
    answers = await asyncio.gather(*(harbour.server.delete(path) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404, 404]
