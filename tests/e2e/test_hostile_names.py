"""What strangers call things, as the command line shows it: it does nothing to a terminal."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from tests.plugins.usage.house import opened

from famulus.cli import command_line
from famulus.testing import Script, kernel_with
from famulus.visible import visible, visible_json

pytestmark = pytest.mark.anyio

ADMIN = "the admin key of a strange house"
CLEARS, TITLES, EIGHT_BIT, TURNS = "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\u202e"
HOSTILE = f"a{CLEARS}{TITLES}\r{EIGHT_BIT}{TURNS}\nkey_fake  \u2028z\x7f"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202e\nkey_fake  \u2028z\x7f"


async def famulus(folder: Path, *arguments: str) -> str:
    """What a command prints, to whichever of both."""
    command = [*arguments, "--data-dir", str(folder)]
    invoke = CliRunner(catch_exceptions=False).invoke
    result = await anyio.to_thread.run_sync(invoke, command_line(), command)
    assert result.exit_code == 0, result.output
    return result.output


def is_harmless(printed: str) -> bool:
    """Whether all of it is printed, and nothing acted upon."""
    return printed.replace("\n", "").isprintable()


def test_what_is_printed_stays_as_it_is() -> None:
    assert visible("Ångström, 東京, 🦊") == "Ångström, 東京, 🦊"
    assert visible(HOSTILE) == SHOWN


def test_json_says_the_same_in_its_own_escapes() -> None:
    value = {"name": HOSTILE, "also": "🦊\U000e0001"}
    told = visible_json(json.dumps(value, ensure_ascii=False, indent=2).encode())
    assert is_harmless(told)
    assert json.loads(told) == value
    assert "🦊" in told


async def test_keys_and_projects_and_the_audit_log(tmp_path: Path) -> None:
    settings = {"keys": {"admin_api_key": ADMIN, "first_key": False}}
    plugins = ("sqlite", "keys", "admin", "audit", "assistants", "threads")
    async with kernel_with(*plugins, settings=settings, data_dir=tmp_path) as server:
        headers = {"authorization": f"Bearer {ADMIN}", "user-agent": "x\x9b31m"}

        async def made(path: str) -> str:
            answer = await server.client.post(
                f"/v1/organization/projects{path}",
                json={"name": HOSTILE},
                headers={k.encode(): v.encode("latin-1") for k, v in headers.items()},  # type: ignore[misc]
            )
            assert answer.status_code == 200, answer.text
            return str(answer.json()["id"])

        project = await made("")
        await made(f"/{project}/service_accounts")
        path = "/v1/threads/%1b%5d0;owned%07%0a%e2%80%aekey"
        refused = await server.client.get(path, headers=headers | {"user-agent": "x"})
        assert refused.status_code == 403

    listed = await famulus(tmp_path, "keys", "list")
    assert is_harmless(listed)
    assert SHOWN in listed
    assert len(listed.splitlines()) == 2
    projects = await famulus(tmp_path, "keys", "projects")
    assert is_harmless(projects)
    assert SHOWN in projects

    exported = await famulus(tmp_path, "audit", "export")
    assert is_harmless(exported)
    events = [json.loads(line) for line in exported.splitlines() if line.startswith("{")]
    assert f"Exported {len(events)} events." in exported
    [created] = [each for each in events if each["type"] == "project.created"]
    assert created["project.created"]["data"]["title"] == HOSTILE
    assert created["user_agent"] == "x\x9b31m"
    table = await famulus(tmp_path, "audit", "export", "--format", "csv")
    assert is_harmless(table.replace("\r\n", "\n"))
    rows = list(csv.DictReader(io.StringIO(table.replace("Exported 4 events.\n", ""))))
    assert len(rows) == len(events)
    assert r"\x9b31m" in rows[0]["user_agent"]
    [resource] = [row["resource_id"] for row in rows if row["type"] == "access.refused"]
    assert resource == r"\x1b]0;owned\x07\n\u202ekey"


async def test_usage_limits_and_erasing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE", "60")
    said = Script(repeats_last=True).says("Yes.").uses(1_000, 100)
    async with opened(said, data_dir=tmp_path) as house:
        # As whoever issues tokens may call a project.
        _, token = await house.server.plugin("keys").create(project=HOSTILE)
        await house.said(house.client.with_options(api_key=token))
    since = ("--since", "2023-11-01")
    for arguments in (
        ("usage", *since),
        ("usage", *since, "--json"),
        ("limits", "show", "--key", HOSTILE),
        ("limits", "show", "--key", HOSTILE, "--json"),
        ("erase", "project", HOSTILE, "--dry-run", "--json"),
        ("erase", "project", HOSTILE, "--yes"),
    ):
        printed = await famulus(tmp_path, *arguments)
        assert is_harmless(printed), arguments
        assert "owned" in printed, arguments
