"""`famulus keys`, as its user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result

from famulus.cli import command_line
from famulus.lifecycle import BootError
from famulus.testing import kernel_with

pytestmark = pytest.mark.anyio

DAY_S = 86_400


def famulus_keys(data_dir: Path, *arguments: str) -> Result:
    command = ["keys", *arguments, "--data-dir", str(data_dir)]
    return CliRunner(catch_exceptions=False).invoke(command_line(), command)


def made(data_dir: Path, *arguments: str) -> tuple[str, str]:
    """Make a key; its id and the key."""
    result = famulus_keys(data_dir, "create", *arguments)
    assert result.exit_code == 0, result.output
    [id] = [word.rstrip(".") for word in result.stderr.split() if word.startswith("key_")]
    return id, result.stdout.strip()


async def let_in(data_dir: Path, token: str) -> bool:
    async with kernel_with("sqlite", "keys", data_dir=data_dir) as server:
        headers = {"authorization": f"Bearer {token}"}
        return (await server.get("/-/plugins", headers=headers)).status_code != 401


async def in_a_thread(function: Any, *arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(function, *arguments)


async def test_a_key_made_by_command_is_valid_until_it_is_revoked(tmp_path: Path) -> None:
    id, token = await in_a_thread(made, tmp_path)
    assert await let_in(tmp_path, token)
    revoked = await in_a_thread(famulus_keys, tmp_path, "revoke", id)
    assert revoked.exit_code == 0
    assert not await let_in(tmp_path, token)


def test_only_the_key_goes_to_stdout(tmp_path: Path) -> None:
    result = famulus_keys(tmp_path, "create")
    assert result.stdout.startswith("sk-fam-")
    assert len(result.stdout.splitlines()) == 1
    assert "shown only now" in result.stderr


def test_a_command_makes_no_first_key_of_its_own(tmp_path: Path) -> None:
    result = famulus_keys(tmp_path, "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "There are no keys" in result.stderr
    made(tmp_path)
    assert len(famulus_keys(tmp_path, "list").stdout.splitlines()) == 1


def test_keys_are_listed_without_what_makes_them_valid(tmp_path: Path) -> None:
    id, token = made(tmp_path, "--name", "the laptop", "--days", "30")
    other, _ = made(tmp_path)
    first, second = famulus_keys(tmp_path, "list").stdout.splitlines()
    assert first.split()[:3] == [id, f"...{token[-4:]}", "default"]
    assert "the laptop" in first
    assert first.split()[4] != "never"
    assert second.startswith(other)
    assert second.split()[4:7] == ["never", "never", "all"]
    assert token[:-4] not in first + second


def test_a_key_is_made_for_a_project_with_scopes(tmp_path: Path) -> None:
    project = famulus_keys(tmp_path, "create-project", "Billing").stdout.strip()
    assert project.startswith("proj_")
    id, _ = made(tmp_path, "--project", project, "--scope", "threads.read")
    [line] = famulus_keys(tmp_path, "list").stdout.splitlines()
    assert (line.split()[0], line.split()[2], line.split()[6]) == (id, project, "threads.read")
    assert "Billing" in famulus_keys(tmp_path, "projects").stdout
    assert famulus_keys(tmp_path, "archive-project", project).exit_code == 0
    refused = famulus_keys(tmp_path, "create", "--project", project)
    assert (refused.exit_code, "archived" in refused.stderr) == (1, True)
    listed = famulus_keys(tmp_path, "projects").stdout
    assert [line.split()[1] for line in listed.splitlines()] == ["active", "archived"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--project", "proj_nothing"], "No project found"),
        (["--scope", "threads.sing"], "threads.sing is no scope"),
        (["--scope", "organization.write"], "is no scope"),
        (["--admin", "--scope", "threads.read"], "no --project and no --scope"),
    ],
)
def test_a_key_that_cannot_be_is_not_made(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = famulus_keys(tmp_path, "create", *arguments)
    assert result.exit_code != 0
    assert said in result.stderr
    assert result.stdout == ""


def test_a_rotated_key_ends_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    id, token = made(tmp_path, "--name", "the laptop", "--scope", "threads.read")
    rotated = famulus_keys(tmp_path, "rotate", id, "--grace-s", "60")
    assert rotated.exit_code == 0
    assert rotated.stdout.strip() != token
    old, new = famulus_keys(tmp_path, "list").stdout.splitlines()
    assert (old.split()[4] == "never", new.split()[4] == "never") == (False, True)
    assert new.split()[6:] == ["threads.read", "the", "laptop"]
    assert famulus_keys(tmp_path, "rotate", "key_nothing").exit_code == 1


def test_an_admin_key_looks_like_one(tmp_path: Path) -> None:
    _, token = made(tmp_path, "--admin")
    assert token.startswith("sk-admin-")
    [line] = famulus_keys(tmp_path, "list").stdout.splitlines()
    assert "(admin)" in line


@pytest.mark.parametrize("days", ["0", "-1", "36501", "soon"])
def test_a_key_cannot_expire_at_no_time(tmp_path: Path, days: str) -> None:
    result = famulus_keys(tmp_path, "create", "--days", days)
    assert result.exit_code == 2
    assert "--days" in result.stderr


def test_a_key_that_is_not_there_cannot_be_revoked(tmp_path: Path) -> None:
    result = famulus_keys(tmp_path, "revoke", "key_nothing")
    assert result.exit_code == 1
    assert "there is no key 'key_nothing'" in result.stderr


async def test_where_the_pepper_is_lost_all_keys_can_be_revoked_to_begin_anew(
    tmp_path: Path,
) -> None:
    id, token = await in_a_thread(made, tmp_path)
    (tmp_path / "pepper").unlink()
    with pytest.raises(BootError, match="made with another pepper"):
        await in_a_thread(famulus_keys, tmp_path, "create")
    assert id in (await in_a_thread(famulus_keys, tmp_path, "list")).stdout
    revoked = await in_a_thread(famulus_keys, tmp_path, "revoke", "--all")
    assert (revoked.exit_code, revoked.stderr[:15]) == (0, "Revoked 1 keys.")
    _, other = await in_a_thread(made, tmp_path)
    assert await let_in(tmp_path, other)
    assert not await let_in(tmp_path, token)


@pytest.mark.parametrize("arguments", [[], ["key_one", "--all"]])
def test_either_one_key_is_revoked_or_all(tmp_path: Path, arguments: list[str]) -> None:
    result = famulus_keys(tmp_path, "revoke", *arguments)
    assert result.exit_code == 2
    assert "--all" in result.stderr


async def test_a_command_names_the_server_that_has_the_store(tmp_path: Path) -> None:
    def list_keys() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "famulus", "keys", "list", "--data-dir", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    async with kernel_with("sqlite", "keys", data_dir=tmp_path, settings={"keys": FIXED}):
        result = await in_a_thread(list_keys)
    assert result.returncode == 2
    assert result.stdout == ""
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("famulus: plugin sqlite is failed: DatabaseInUse:")
    assert f"process {os.getpid()} " in last
    assert "Traceback" not in result.stderr


FIXED = {"api_key": "the key of the deployment"}


def test_an_admin_key_is_made_by_its_own_flag_alone(tmp_path: Path) -> None:
    refused = famulus_keys(tmp_path, "create", "--project", "system")
    assert refused.exit_code == 2
    assert "an admin key is made by --admin" in refused.stderr
    assert refused.stdout == ""
