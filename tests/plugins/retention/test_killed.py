"""`famulus erase` that is killed in the middle: given again, it does all of it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.e2e.serving import FAMULUS, environment_of
from tests.plugins.retention.erasing import (
    GONE,
    STAYS,
    belongings,
    filled,
    places,
    run,
    serving,
    tenant,
)

from famulus.testing import Script

pytestmark = pytest.mark.anyio

COMMAND = ("erase", "user", "user_id=42", "--yes")


def killed(data_dir: Path, point: str, command: Sequence[str] = COMMAND) -> bool:
    """Whether the command was killed there; else it was done before."""
    done = subprocess.run(
        [*FAMULUS, *command, "--data-dir", str(data_dir)],
        env=environment_of({"FAMULUS_FAILPOINT": point}),
        cwd=data_dir,
        capture_output=True,
    )
    return b"killed at failpoint" in done.stderr


@pytest.mark.parametrize("passage", [1, 2, 3])
async def test_the_files_of_a_thread_that_is_gone_already_are_found_again(
    tmp_path: Path, passage: int
) -> None:
    async with serving(tmp_path) as (server, backend):
        theirs = await belongings(await tenant(server, backend, "default", GONE), "42")
        others_tenant = await tenant(server, backend, "default", STAYS)
        others = await belongings(others_tenant, "43")
    assert killed(tmp_path, f"person_partly_erased:{passage}")
    assert places(tmp_path, GONE) != []

    result = await run(tmp_path, *COMMAND)

    assert result.exit_code == 0, result.output
    # What went before is not told again, and all the rest is.
    assert (theirs["file"] in result.output) == (passage < 3)
    assert places(tmp_path, GONE) == []
    again = await run(tmp_path, *COMMAND)
    assert (again.exit_code, "Nothing was found." in again.output) == (0, True)
    async with serving(tmp_path) as (server, _):
        others_tenant.server = server
        found = await others_tenant.made(f"/vector_stores/{others['store']}/search", {"query": "x"})
        assert [each["file_id"] for each in found["data"]] == [others["file"]]


async def test_what_models_were_shown_on_a_thread_of_others_is_forgotten_all_the_same(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (server, backend):
        owner = await tenant(server, backend, "default", GONE)
        assistant = (await owner.made("/assistants", {"model": "scripted"}))["id"]
        thread = f"/threads/{(await owner.made('/threads', {}))['id']}"
        said = {"role": "user", "content": GONE, "metadata": {"user_id": "42"}}
        once = {**owner.headers, "idempotency-key": "once"}
        answer = await server.post(f"/v1{thread}/messages", said, headers=once)
        assert answer.status_code == 200
        backend.play(Script(repeats_last=True).says(STAYS))
        shown = (await owner.made(f"{thread}/runs", {"assistant_id": assistant}))["id"]
        await owner.settled(f"{thread}/runs/{shown}", "completed")
    # It was all that says whose it was.
    assert killed(tmp_path, "person_partly_erased:1")
    result = await run(tmp_path, *COMMAND)
    assert result.exit_code == 0, result.output
    assert places(tmp_path, GONE) == []


@pytest.mark.parametrize(
    "point", ["sqlite_before_commit:1", "sqlite_committed:1", "sqlite_committed:2"]
)
async def test_a_project_is_erased_whole_by_the_second_try(tmp_path: Path, point: str) -> None:
    async with serving(tmp_path) as (server, backend):
        await filled(await tenant(server, backend, "one", GONE), waits=True)
        stays = await tenant(server, backend, "other", STAYS)
        things = await stays.things(waits=False)
        kept = await things.all()
    command = ("erase", "project", "one", "--with-audit", "--with-usage", "--yes")
    assert killed(tmp_path, point, command)

    result = await run(tmp_path, *command)

    assert result.exit_code == 0, result.output
    assert places(tmp_path, GONE) == []
    async with serving(tmp_path) as (server, _):
        things.owner.server = server
        assert await things.all() == kept
