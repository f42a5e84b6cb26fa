"""Code in containers, for plugins that run some: the box has the files, and keeps what is made."""

from __future__ import annotations

from typing import Any

import pytest
from tests.plugins.containers.conftest import PLUGINS, User

from famulus import Problem
from famulus.testing import kernel_with
from famulus_containers.shelf import Given
from famulus_schemas.sandbox import FilesOutput, SandboxUnavailable, TextOutput

READ = "import os\nprint({name: open(name).read() for name in sorted(os.listdir('.'))})"


async def ran(box: Any, code: str) -> tuple[str, Any]:
    """What code printed, and the files that it changed."""
    printed, changed = "", ()
    async for output in box.run(code):
        if isinstance(output, TextOutput):
            printed += output.text
        elif isinstance(output, FilesOutput):
            changed = output.changed
    return printed.rstrip(), changed


async def test_a_box_is_opened_when_code_needs_it_with_all_files(harbour: Any) -> None:
    container = (await harbour.create(file_ids=[await harbour.kept(b"one", "a.txt")]))["id"]
    await harbour.sent(container, b"two", "b.txt")
    assert harbour.sandbox.opened == []
    box = await harbour.user.containers.enter("default", container)
    assert (await ran(box, READ))[0] == "{'a.txt': 'one', 'b.txt': 'two'}"
    assert await harbour.user.containers.enter("default", container) is box


async def test_files_that_come_and_go_do_so_in_the_open_box(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    box = await harbour.user.containers.enter("default", container)
    file = await harbour.sent(container, b"one", "a.txt")
    assert (await ran(box, READ))[0] == "{'a.txt': 'one'}"
    await harbour.server.delete(f"/v1/containers/{container}/files/{file['id']}")
    assert (await ran(box, READ))[0] == "{}"


async def test_what_another_process_changed_is_in_the_box_that_is_entered_again(
    harbour: Any,
) -> None:
    container = (await harbour.create())["id"]
    file = await harbour.sent(container, b"one", "a.txt")
    box = await harbour.user.containers.enter("default", container)
    # Past the service, as where the box is not that process's.
    shelf, contents = harbour.plugin.shelf, harbour.plugin.contents
    caller = harbour.plugin.caller("default")
    await shelf.remove_file(caller, container, file["id"])

    async def chunks() -> Any:
        yield b"two"

    blob = await contents.keep("default", "cfile_b", chunks())
    given = Given(id="cfile_b", filename="b.txt", bytes=3, sha256=blob.sha256)
    await shelf.add(caller, container, [given])
    assert (await ran(box, READ))[0] == "{'a.txt': 'one'}"
    assert await harbour.user.containers.enter("default", container) is box
    assert (await ran(box, READ))[0] == "{'b.txt': 'two'}"


async def test_what_code_writes_is_kept_and_comes_again_after_a_restart(open_harbour: Any) -> None:
    async with open_harbour() as harbour:
        container = (await harbour.create())["id"]
        await harbour.sent(container, b"old", "a.txt")
        box = await harbour.user.containers.enter("default", container)
        code = "open('a.txt', 'w').write('newer')\nopen('b.txt', 'w').write('made'); None"
        _, changed = await ran(box, code)
        kept = await harbour.user.containers.keep("default", container, changed)
        assert [(file.path, file.source, file.bytes) for file in kept] == [
            ("/mnt/data/a.txt", "assistant", 5),
            ("/mnt/data/b.txt", "assistant", 4),
        ]
        assert await harbour.paths(container) == ["/mnt/data/a.txt", "/mnt/data/b.txt"]
        assert len(await harbour.keys()) == 2
    async with open_harbour() as harbour:
        box = await harbour.user.containers.enter("default", container)
        assert (await ran(box, READ))[0] == "{'a.txt': 'newer', 'b.txt': 'made'}"


async def test_what_is_too_large_or_gone_is_left_out(open_harbour: Any) -> None:
    async with open_harbour(file_bytes_max=10) as harbour:
        container = (await harbour.create())["id"]
        box = await harbour.user.containers.enter("default", container)
        code = (
            "for name, size in (('a', 11), ('b', 1), ('c', 1)): open(name, 'w').write('x' * size)"
        )
        _, changed = await ran(box, code)
        await box.delete("c")
        kept = await harbour.user.containers.keep("default", container, changed)
        assert [file.path for file in kept] == ["/mnt/data/b"]
        assert len(await harbour.keys()) == 1


@pytest.mark.parametrize("ends", ["delete", "expire"])
async def test_a_container_that_ends_closes_its_box(ends: str, harbour: Any) -> None:
    container = (await harbour.create())["id"]
    box = await harbour.user.containers.enter("default", container)
    if ends == "delete":
        await harbour.ok(await harbour.server.delete(f"/v1/containers/{container}"))
    else:
        harbour.clock.move(3600)
        await harbour.plugin.sweep()
    assert not box.is_alive
    with pytest.raises(Problem) as refused:
        await harbour.user.containers.enter("default", container)
    assert refused.value.status == 404


async def test_nobody_enters_anothers_container(harbour: Any) -> None:
    container = (await harbour.create())["id"]
    with pytest.raises(Problem):
        await harbour.user.containers.enter("theirs", container)


async def test_without_a_sandbox_containers_are_kept_and_nobody_enters(tmp_path: Any) -> None:
    async with kernel_with(*PLUGINS, User, data_dir=tmp_path) as server:
        made = (await server.post("/v1/containers", {"name": "c"})).json()
        with pytest.raises(SandboxUnavailable, match="no plugin"):
            await server.plugin("user").containers.enter("default", made["id"])
