"""`famulus usage` reads the store alone, while no server runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result
from tests.plugins.usage.house import opened

from famulus.cli import command_line
from famulus.testing import Script

pytestmark = pytest.mark.anyio

TOML = """
[plugins.usage.prices.scripted]
input = 2.0
output = 10.0
"""


async def told(folder: Path, *arguments: str) -> Result:
    """What the command prints of a store."""
    file = folder / "famulus.toml"
    file.write_text(TOML)
    config = ["--config", str(file), "--data-dir", str(folder)]
    # In a thread: the command has a loop of its own.
    invoke = CliRunner(catch_exceptions=False).invoke
    return await anyio.to_thread.run_sync(invoke, command_line(), ["usage", *config, *arguments])


async def lines(folder: Path, *arguments: str) -> Any:
    """The same, by a program."""
    result = await told(folder, "--since", "2023-11-01", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def used(folder: Path) -> Any:
    """A store in which something was used: a run's id, thread and assistant."""
    async with opened(
        Script(repeats_last=True).says("Yes.").uses(1_000, 100), data_dir=folder
    ) as house:
        await house.said()
        run = await house.ran()
        assert run.status == "completed"
        _, key, client = await house.key()
        await house.said(client)
        return run, key


async def test_the_table_is_by_project_unless_it_is_said(tmp_path: Path) -> None:
    _, key = await used(tmp_path)
    result = await told(tmp_path, "--since", "2023-11-01")
    assert result.exit_code == 0, result.output
    first = result.stdout.splitlines()[0].split()
    assert first == ["default", "2", "2000", "0", "200", "0.0060"]
    assert "REQUESTS" in result.stderr
    assert result.stderr.splitlines()[-1].split() == ["total", "3", "3000", "0", "300", "0.0090"]
    by_key = {line["key"]: line["requests"] for line in await lines(tmp_path, "--by", "key")}
    assert by_key == {"key_fixed": 2, key: 1}


async def test_a_run_its_step_its_thread_and_its_assistant_have_a_cost(tmp_path: Path) -> None:
    run, _ = await used(tmp_path)
    for by, id in (("run", run.id), ("thread", run.thread_id), ("assistant", run.assistant_id)):
        [line] = await lines(tmp_path, "--by", by)
        assert (line[by], line["requests"], line["cost"]) == (id, 1, pytest.approx(0.003))
        assert line["currency"] == "usd"
    [line] = await lines(tmp_path, "--by", "run", "--by", "step", "--by", "model")
    assert line["step"].startswith("step_")
    assert line["model"] == "scripted"


async def test_what_is_older_or_of_another_project_is_left_out(tmp_path: Path) -> None:
    await used(tmp_path)
    assert await lines(tmp_path, "--project", "elsewhere") == []
    assert (await told(tmp_path, "--since", "2023-12-01")).stderr.startswith("Nothing was used")
    assert (await told(tmp_path, "--since", "yesterday")).exit_code == 2
    [line] = await lines(tmp_path, "--by", "day", "--project", "default")
    assert (line["day"], line["requests"]) == ("2023-11-11", 2)


async def test_a_deleted_thread_takes_its_entries_and_leaves_what_they_come_to(
    tmp_path: Path,
) -> None:
    async with opened(data_dir=tmp_path) as house:
        run = await house.ran()
        assert len(await house.records("usage_entry")) == 1
        await house.client.beta.threads.delete(run.thread_id)
        assert await house.records("usage_entry") == []
    assert await lines(tmp_path, "--by", "thread") == []
    [line] = await lines(tmp_path)
    assert line["requests"] == 1
