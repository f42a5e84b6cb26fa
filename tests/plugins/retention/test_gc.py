"""`famulus gc`, as its user meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result

from famulus.cli import command_line
from famulus.testing import FixedClock, kernel_with
from famulus_retention.lease import Lease

pytestmark = pytest.mark.anyio

PLUGINS = ("sqlite", "events", "jobs", "local_blobs", "files", "threads", "retention")
OLD = FixedClock(1_600_000_000.0)


async def gc(data_dir: Path, *arguments: str, **days: float) -> Result:
    """The command, on a configuration of these ages."""
    file = data_dir / "famulus.toml"
    ages = "".join(f"{name} = {value}\n" for name, value in days.items())
    file.write_text(f"[plugins.retention]\n{ages}")
    command = ["gc", *arguments, "--config", str(file), "--data-dir", str(data_dir)]
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(command_line(), command))


async def filled(data_dir: Path, **more: Any) -> None:
    """Two threads and a file, of long ago, in two projects."""
    async with kernel_with(*PLUGINS, data_dir=data_dir, clock=OLD, **more) as server:
        for project in ("default", "other"):
            headers = {"x-test-project": project}
            assert (await server.post("/v1/threads", {}, headers=headers)).status_code == 200
        form, file = {"purpose": "assistants"}, {"file": ("a.txt", b"12345")}
        assert (await server.post("/v1/files", data=form, files=file)).status_code == 200


def blobs(data_dir: Path) -> list[str]:
    return [path.name for path in (data_dir / "blobs").rglob("*") if path.is_file()]


async def test_a_dry_run_says_what_would_go_and_deletes_nothing(tmp_path: Path) -> None:
    await filled(tmp_path)
    result = await gc(tmp_path, "--dry-run", threads_days=30, files_days=30)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["KIND", "WOULD", "GO", "BYTES", "IN", "USE", "FAILED"]
    assert ["files", "1", "5", "0", "0"] in rows
    assert ["threads", "2", "0", "0", "0"] in rows
    again = await gc(tmp_path, "--dry-run", threads_days=30, files_days=30)
    assert again.stdout == result.stdout


async def test_what_is_old_goes_with_its_content(tmp_path: Path) -> None:
    await filled(tmp_path)
    had = blobs(tmp_path)
    result = await gc(tmp_path, "--json", "--compact", threads_days=30, files_days=30)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["kinds"]["threads"]["deleted"] == 2
    assert (told["kinds"]["files"]["deleted"], told["kinds"]["files"]["bytes"]) == (1, 5)
    assert len(blobs(tmp_path)) == len(had) - 1
    again = await gc(tmp_path, threads_days=30, files_days=30)
    assert again.stdout == "Nothing is old enough to go, and nothing belongs to nothing.\n"


async def test_one_project_can_be_chosen(tmp_path: Path) -> None:
    await filled(tmp_path)
    result = await gc(tmp_path, "--project", "other", "--json", threads_days=30, files_days=30)
    assert json.loads(result.stdout)["kinds"] == {
        "threads": {"deleted": 1, "bytes": 0, "in_use": 0, "failed": 0}
    }


async def test_a_blob_that_no_record_names_goes(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:

        async def chunks() -> Any:
            yield b"lost"

        await server.plugin("retention").blobs.put("default", "file-lost", chunks())
    [path] = [path for path in (tmp_path / "blobs").rglob("*lost*") if path.is_file()]
    os.utime(path, (1, 1))
    dry = json.loads((await gc(tmp_path, "--dry-run", "--json")).stdout)
    assert dry["kinds"]["contents of no file"]["deleted"] == 1
    assert path.exists()
    done = json.loads((await gc(tmp_path, "--json")).stdout)
    assert done["kinds"]["contents of no file"]["bytes"] >= 4
    assert not path.exists()


async def test_a_run_that_waits_in_the_store_is_not_begun(tmp_path: Path) -> None:
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        unit = server.plugin("jobs").board.enqueue("default", "run", "run_1", waits=True).unit
        await server.plugin("retention").records.of("default").commit(unit)
    assert (await gc(tmp_path)).exit_code == 0
    async with kernel_with(*PLUGINS, data_dir=tmp_path) as server:
        [job] = await server.plugin("retention").records.scan("job")
        assert (job.id, b'"waiting"' in job.body) == ("run:run_1", True)


async def test_a_server_that_has_the_store_is_told_of(tmp_path: Path) -> None:
    async with kernel_with("sqlite", data_dir=tmp_path):
        result = await gc(tmp_path)
    assert "sqlite" in str(result.exception)


async def test_a_sweep_of_another_process_is_not_disturbed(tmp_path: Path) -> None:
    async with kernel_with("sqlite", "retention", data_dir=tmp_path) as server:
        lease: Lease = server.plugin("retention").lease
        assert await lease.take(due_s=0) is not None
    # An embedded store has no other process that could be at it.
    assert (await gc(tmp_path, threads_days=1)).exit_code == 0


async def test_figures_of_usage_stay_where_their_project_is_erased(tmp_path: Path) -> None:
    from famulus_usage.kinds import ROWS

    async with kernel_with("sqlite", "usage", data_dir=tmp_path) as server:
        kind = server.plugin("usage").register_data_kinds()[0]
    assert (kind.name, kind.kind, kind.stays) == ("usage", ROWS["1d"].name, "it is what was billed")
    assert "usage_entry" not in kind.also
    assert "usage_limit" not in kind.also
