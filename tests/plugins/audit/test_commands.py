"""What commands change is in the log, and `famulus audit export` writes it out."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from famulus.cli import command_line
from famulus_audit.commands import writer
from famulus_audit.events import Event, Source, record_of
from famulus_schemas.records import Record


def famulus(data_dir: Path, *arguments: str) -> Result:
    command = [*arguments, "--data-dir", str(data_dir)]
    return CliRunner(catch_exceptions=False).invoke(command_line(), command)


def exported(data_dir: Path, *arguments: str) -> list[Any]:
    result = famulus(data_dir, "audit", "export", *arguments)
    assert result.exit_code == 0, result.output
    return [msgspec.json.decode(line) for line in result.stdout.splitlines()]


def test_what_commands_change_is_told_as_the_command_lines(tmp_path: Path) -> None:
    project = famulus(tmp_path, "keys", "create-project", "Billing").stdout.strip()
    made = famulus(tmp_path, "keys", "create", "--project", project, "--name", "ci")
    token = made.stdout.strip()
    [id] = [word.rstrip(".") for word in made.stderr.split() if word.startswith("key_")]
    assert famulus(tmp_path, "keys", "rotate", id).exit_code == 0
    assert famulus(tmp_path, "keys", "revoke", id).exit_code == 0
    assert famulus(tmp_path, "keys", "archive-project", project).exit_code == 0
    events = exported(tmp_path)
    assert [event["type"] for event in events] == [
        "project.created",
        "api_key.created",
        "api_key.created",
        "api_key.updated",
        "api_key.deleted",
        "project.archived",
    ]
    assert {event["actor"]["type"] for event in events} == {"command_line"}
    assert all(event["actor"]["command_line"]["user"] for event in events)
    assert {event["project"]["id"] for event in events} == {project}
    assert events[4]["api_key.deleted"] == {"id": id}
    assert token not in str(events)
    assert len(exported(tmp_path, "--project", project)) == 6
    assert exported(tmp_path, "--project", "elsewhere") == []


def test_a_time_can_be_exported(tmp_path: Path) -> None:
    famulus(tmp_path, "keys", "create")
    assert len(exported(tmp_path, "--since", "2020-01-01")) == 1
    assert exported(tmp_path, "--since", "2120-01-01") == []
    assert exported(tmp_path, "--until", "2020-01-01T10:00") == []
    assert len(exported(tmp_path, "--until", "2120-01-01")) == 1
    wrong = famulus(tmp_path, "audit", "export", "--since", "yesterday")
    assert wrong.exit_code == 2
    assert "'yesterday' is no time" in wrong.stderr


def test_what_is_exported_as_csv_is_no_formula(tmp_path: Path) -> None:
    actor = {"type": "session", "session": {"user": None, "ip_address": None}}
    source = Source(actor=actor, user_agent='=HYPERLINK("http://x")')
    insert = record_of(Event(type="login.failed", at=0, source=source), id="audit_log-1-system")
    output = io.StringIO()
    write = writer("csv", output)
    write(Record(project="system", kind=insert.kind, id="", created_at=0, body=insert.body))
    [row] = csv.DictReader(io.StringIO(output.getvalue()))
    assert row["user_agent"] == '\'=HYPERLINK("http://x")'
    assert (row["type"], row["effective_at"]) == ("login.failed", "1970-01-01T00:00:00Z")
    famulus(tmp_path, "keys", "create")
    out = tmp_path / "log.csv"
    famulus(tmp_path, "audit", "export", "--format", "csv", "--output", str(out))
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.parametrize("arguments", [("create",), ("revoke", "--all")])
def test_commands_work_where_there_is_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    famulus(tmp_path, "keys", "create")
    monkeypatch.setenv("FAMULUS_AUDIT__ENABLED", "false")
    assert famulus(tmp_path, "keys", *arguments).exit_code == 0
    monkeypatch.delenv("FAMULUS_AUDIT__ENABLED")
    assert len(exported(tmp_path)) == 1
