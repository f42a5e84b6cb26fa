"""What one project has, another cannot see, name, search or change."""

from __future__ import annotations

import pytest
from tests.plugins.vector_stores.conftest import Api

from famulus.testing import TestServer

pytestmark = pytest.mark.anyio


async def test_another_projects_stores_are_not_there(server: TestServer) -> None:
    mine, theirs = Api(server, "mine"), Api(server, "theirs")
    store = await theirs.store("their words")
    (file,) = [each["id"] for each in await theirs.files_of(store)]
    path = f"/vector_stores/{store}"
    batch = await theirs.post(f"{path}/file_batches", {"file_ids": [file]})
    await theirs.settled(store)
    own, own_file = await mine.store("my words"), await mine.file()
    before = await theirs.get(path)
    foreign = [
        ("GET", path, None),
        ("POST", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/search", {"query": "words"}),
        ("GET", f"{path}/files", None),
        ("POST", f"{path}/files", {"file_id": own_file}),
        ("GET", f"{path}/files/{file}", None),
        ("POST", f"{path}/files/{file}", {"attributes": {}}),
        ("DELETE", f"{path}/files/{file}", None),
        ("GET", f"{path}/files/{file}/content", None),
        ("POST", f"{path}/file_batches", {"file_ids": [own_file]}),
        ("GET", f"{path}/file_batches/{batch['id']}", None),
        ("POST", f"{path}/file_batches/{batch['id']}/cancel", {}),
        ("GET", f"{path}/file_batches/{batch['id']}/files", None),
    ]
    for method, where, body in foreign:
        mine_of_it = await mine.ask(method, where, body, status=404)
        nobodys = await mine.ask(method, where.replace(store, "vs_none"), body, status=404)
        assert str(mine_of_it).replace(store, "vs_none") == str(nobodys)
    # Nor by a store of one's own.
    path = f"/vector_stores/{own}"
    for method, where in (
        ("GET", f"files/{file}"),
        ("DELETE", f"files/{file}"),
        ("GET", f"files/{file}/content"),
        ("GET", f"file_batches/{batch['id']}"),
        ("GET", f"file_batches/{batch['id']}/files"),
    ):
        await mine.ask(method, f"{path}/{where}", status=404)
    for where, body, param in (
        ("/files", {"file_id": file}, "file_id"),
        ("/file_batches", {"file_ids": [own_file, file]}, "file_ids[1]"),
    ):
        assert (await mine.refused(path + where, body))[0] == param
    assert (await mine.refused("/vector_stores", {"file_ids": [file]}))[0] == "file_ids[0]"
    await mine.refused(f"{path}/files?after={file}", method="GET")
    assert [each["id"] for each in (await mine.get("/vector_stores"))["data"]] == [own]
    assert await theirs.get(f"/vector_stores/{store}") == before
    assert len(await mine.search(own, "words")) == 1
