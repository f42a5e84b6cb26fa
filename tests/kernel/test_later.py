"""Commands that are imported when they are given, and known before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from famulus.cli import command_line
from famulus.later import Later, later

LATE = [each for each in command_line().commands.values() if isinstance(each, Later)]

PLUGIN = """
from famulus import NoSettings, Plugin, hookimpl
from famulus.later import later

class Notes(Plugin[NoSettings]):
    '''Brings commands.'''

    @staticmethod
    @hookimpl
    def register_commands(cli):
        cli.add_command(later("notes", "{module}:notes", does="Write notes."))
        cli.add_command(later("lost", "{module}.nowhere:lost", does="Be lost."))
"""

COMMANDS = """
import click
from famulus.commands import configured

@click.group()
def notes():
    "Write notes."

@notes.command("list")
@click.option("--long", is_flag=True)
@configured
def listed(config, long):
    click.echo(f"{config.server.port} {long}")
"""


@pytest.mark.parametrize("command", LATE, ids=lambda command: command.name)
def test_what_is_said_of_a_command_is_what_the_command_says(command: Later) -> None:
    known = (command.name, command.get_short_help_str(1000))
    assert known == (command.loaded.name, command.loaded.get_short_help_str(1000))


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from famulus.cli import command_line;"
        "print(CliRunner().invoke(command_line(), ['--help']).output);"
        "print([name for name in sys.modules if name.startswith('famulus_') and 'command' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    *shown, imported = done.stdout.strip().splitlines()
    assert imported == "[]", done.stderr
    for command in LATE:
        assert any(line.split()[:1] == [command.name] for line in shown)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin of commands in a module that is imported for them alone."""
    module = "famulus_test_notes_commands"
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{module}.py").write_text(COMMANDS)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "notes.py").write_text(PLUGIN.replace("{module}", module))
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.setenv("FAMULUS_PLUGINS_DIR", str(tmp_path / "plugins"))


def famulus(*arguments: str) -> Result:
    return CliRunner().invoke(command_line(), list(arguments))


@pytest.mark.usefixtures("notes")
def test_a_command_has_its_own_flags_and_those_of_serve() -> None:
    assert famulus("notes", "list", "--port", "1", "--long").output == "1 True\n"
    assert "--data-dir" in famulus("notes", "list", "--help").output
    assert "list" in famulus("notes", "--help").output


@pytest.mark.usefixtures("notes")
def test_a_command_that_cannot_be_imported_is_told_and_breaks_no_other() -> None:
    lost = famulus("lost")
    assert lost.exit_code == 1
    assert lost.output.startswith("Error: lost cannot be loaded: ModuleNotFoundError: No module ")
    assert famulus("notes", "list").exit_code == 0
    assert "Be lost." in famulus("--help").output


def test_a_group_may_have_commands_that_come_later() -> None:
    group = click.Group("outer", commands=[later("keys", "famulus_keys.commands:keys", does="x")])
    assert "rotate" in CliRunner().invoke(group, ["keys", "--help"]).output
