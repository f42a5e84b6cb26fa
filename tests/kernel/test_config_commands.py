"""`famulus check` tells every mistake, and `famulus config` everything but secrets."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from famulus.cli import command_line
from famulus.config import load_config
from famulus.discover import discover
from famulus.kernel import Kernel
from famulus.lifecycle import BootError
from famulus.log import make_log
from famulus.mistakes import ConfigError, lines_of, without_passwords
from famulus.server_settings import ServerSettings
from famulus.setting_fields import settings_fields

CANARY = "canary-5f3759df"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which commands are given, with nothing configured."""
    import os

    for name in [name for name in os.environ if name.startswith("FAMULUS")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def famulus(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(command_line(), list(arguments))


def told(result: Result) -> list[str]:
    """The mistakes that a command ended with."""
    assert isinstance(result.exception, ConfigError | BootError), result.output
    return str(result.exception).splitlines()


# --- check ---------------------------------------------------------------------------------------

WRONG = """\
[server]
prot = 1
log_level = "loud"
port = 70000

[sever]
host = "x"

[ports]
records = 3

[plugins.modles]
default_model = "x"

[plugins.keys]
pepper = "env:NOT_SET_ANYWHERE"
cache_s = "long"
enabled = "perhaps"

[plugins.postgres]
dsn = "file:open.txt"
pool_max = 0
"""


def test_check_tells_all_mistakes_at_once_each_with_its_line(home: Path) -> None:
    (home / "famulus.toml").write_text(WRONG)
    (home / "open.txt").write_text(CANARY)
    (home / "open.txt").chmod(0o644)
    result = famulus("check", FAMULUS_RUNS__RUNS_AT_ONCE_MAX="many")
    mistakes = told(result)
    for line, words in {
        2: "[server] has no setting 'prot'",
        3: "[server]: Invalid enum value 'loud' - at `log_level`",
        4: "[server]: Expected `int` <= 65535 - at `port`",
        6: "unknown table [sever]; there are [server], [ports] and [plugins.NAME]; did you mean "
        "[server]?",
        10: "[ports] records must be a plugin's name, as text",
        12: "there is no plugin 'modles'",
        16: "[plugins.keys]: the environment variable NOT_SET_ANYWHERE is not set - at `pepper`",
        17: "[plugins.keys]: Expected `",
        18: "[plugins.keys] enabled must be true or false",
        21: "[plugins.postgres]: the secret file open.txt can be read by everyone; chmod 600 it",
        22: "[plugins.postgres]: Expected `int` >= 1 - at `pool_max`",
    }.items():
        found = [each for each in mistakes if each.startswith(f"famulus.toml:{line}: {words}")]
        assert found, f"{line}: {words}\n" + "\n".join(mistakes)
    [of_variable] = [each for each in mistakes if "runs_at_once_max" in each]
    assert of_variable.startswith("FAMULUS_RUNS__RUNS_AT_ONCE_MAX: [plugins.runs]: Expected `int`")
    assert len(mistakes) == 12
    assert CANARY not in result.output + "".join(mistakes)


def test_a_near_name_is_asked_for(home: Path) -> None:
    (home / "famulus.toml").write_text(
        "[server]\nprot = 1\n[plugins.modles]\n[plugins.runs]\nx = 1"
    )
    mistakes = told(famulus("check"))
    assert any(each.endswith("did you mean 'port'?") for each in mistakes)
    assert any(each.endswith("did you mean 'models'?") for each in mistakes)


def test_two_that_listen_on_one_port_are_told(home: Path) -> None:
    (home / "famulus.toml").write_text("[server]\nport = 9000\n[plugins.metrics]\nport = 9000\n")
    [mistake] = told(famulus("check"))
    assert mistake == (
        "famulus.toml:4: [plugins.metrics] port = 9000 is that of [server] port, too; "
        "choose another"
    )


def test_a_plugin_whose_extra_is_missing_is_told_with_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from famulus_postgres.plugin import Postgres

    monkeypatch.setattr(Postgres, "extras", {"no_such_driver": "postgres"})
    result = famulus("check", FAMULUS_POSTGRES__DSN=f"postgresql://u:{CANARY}@h/d")
    assert told(result)[-1].endswith("cannot start: postgres")
    [line] = [line for line in result.output.splitlines() if line.startswith("postgres ")]
    assert line.endswith('no_such_driver is not installed: pip install "famulus[postgres]"')
    assert CANARY not in result.output


def test_a_plugin_that_lacks_what_it_needs_is_told(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.events]\nenabled = false\n")
    result = famulus("check")
    assert "cannot start" in told(result)[-1]
    [line] = [line for line in result.output.splitlines() if line.startswith("jobs ")]
    assert "needs events, which no enabled plugin provides" in line


def test_a_plain_configuration_is_valid(home: Path) -> None:
    result = famulus("check")
    assert result.exit_code == 0, result.output
    assert result.output.endswith("The configuration is valid.\n")


@pytest.mark.parametrize(
    ("text", "table", "key", "line"),
    [
        ("[server]\nport = 1", "server", "port", 2),
        ('[plugins."keys"]\n\n"pepper" = 1', "plugins.keys", "pepper", 3),
        ("[plugins.rate_limits.keys.key_1]\nx = 1", "plugins.rate_limits", "keys", 1),
        ("plugins.keys = 1", "", "plugins", 1),
        ("# [server]\n  [ server ]\n  port=2", "server", "port", 3),
        ("[[plugins.x.servers]]\nurl = 'a'\n[[plugins.x.servers]]", "plugins.x", "servers", 1),
    ],
)
def test_lines_are_found(text: str, table: str, key: str, line: int) -> None:
    assert lines_of(text)[table, key] == line


# --- config --------------------------------------------------------------------------------------


def test_config_says_where_each_value_comes_from(home: Path) -> None:
    (home / "famulus.toml").write_text("[server]\n\nlog_level = 'error'\n")
    result = famulus("config", "--json", "--port", "9001", FAMULUS_RUNS__FINISH_S="7")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["server"]["log_level"] == {"value": "error", "from": "famulus.toml:3"}
    assert shown["server"]["port"] == {"value": 9001, "from": "--port"}
    assert shown["server"]["host"] == {"value": "127.0.0.1", "from": "default"}
    assert shown["plugins.runs"]["finish_s"] == {"value": 7.0, "from": "FAMULUS_RUNS__FINISH_S"}
    lines = famulus("config", "--show").stdout.splitlines()
    [level] = [line for line in lines if line.startswith("log_level")]
    assert level.endswith("(from famulus.toml:3)")


def test_a_secret_is_shown_as_what_it_refers_to(home: Path) -> None:
    shown = json.loads(
        famulus("config", "--json", FAMULUS_KEYS__PEPPER="env:MINE", MINE=f"{CANARY} long").stdout
    )
    assert shown["plugins.keys"]["pepper"] == {"value": "env:MINE", "from": "FAMULUS_KEYS__PEPPER"}
    plainly = json.loads(famulus("config", "--json", FAMULUS_KEYS__PEPPER=CANARY * 2).stdout)
    assert plainly["plugins.keys"]["pepper"]["value"] == "***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:pw@host/db", "postgresql://user:***@host/db"),
        ("redis://:pw@host:6379/0", "redis://:***@host:6379/0"),
        ("https://host/v1?api_key=pw&x=1", "https://host/v1?api_key=***&x=1"),
        ("postgresql://host/db?user=u&password=pw", "postgresql://host/db?user=u&password=***"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("see https://a:p@b and http://c:q@d", "see https://a:***@b and http://c:***@d"),
        ("someone@example.org", "someone@example.org"),
    ],
)
def test_passwords_of_urls_are_hidden(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def planted() -> dict[str, dict[str, Any]]:
    """A canary in every setting of every plugin that is typed as a secret or named as a URL."""
    tables: dict[str, dict[str, Any]] = {}
    for found in discover():
        for field, *_ in settings_fields(found.load().settings_type):
            kind = str(field.type)
            if "dict" in kind and "Secret" in kind:
                tables.setdefault(found.name, {})[field.name] = {"x-key": CANARY}
            elif "Secret" in kind:
                tables.setdefault(found.name, {})[field.name] = f"{CANARY}-{field.name}-of-a-length"
            elif re.search(r"url|dsn|endpoint|proxy", field.name) and "str" in kind:
                tables.setdefault(found.name, {})[field.name] = f"https://u:{CANARY}@h.test/v1"
    return tables


def test_there_is_something_to_plant() -> None:
    assert {"keys", "postgres", "redis", "s3"} <= planted().keys()


@pytest.mark.parametrize("command", ["config", "check", "plugins"])
@pytest.mark.parametrize("way", ["file", "variables", "wrong type"])
def test_no_command_prints_a_secret(home: Path, command: str, way: str) -> None:
    """Each planted plugin by itself, as its settings may not fit those of others."""
    for table, values in planted().items():
        for key, value in values.items():
            environment = {}
            given = [value] if way == "wrong type" else value
            if way == "variables" and isinstance(value, str):
                environment = {f"FAMULUS_{table}__{key}".upper(): value}
                (home / "famulus.toml").write_text("")
            else:
                body = msgspec.json.encode(given).decode()
                if isinstance(given, dict):
                    body = f'{{"x-key" = "{CANARY}"}}'
                (home / "famulus.toml").write_text(f"[plugins.{table}]\n{key} = {body}\n")
            asked = [command, "--show"] if command == "config" else [command]
            result = famulus(*asked, **environment)
            said = result.output + str(result.exception)
            assert CANARY not in said, (table, key, said)


# --- the example ---------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=[a-z])", "", text)


def test_the_example_lists_every_setting(home: Path) -> None:
    text = famulus("config", "--example").stdout
    tables = {"server": ServerSettings}
    tables |= {f"plugins.{found.name}": found.load().settings_type for found in discover()}
    for title, settings_type in tables.items():
        fields = [field.name for field, *_ in settings_fields(settings_type)]
        if not fields:
            continue
        section = text.partition(f"\n[{title}]\n")[2].partition("\n[")[0]
        for name in fields:
            assert re.search(rf"(?m)^#( )?{name}( = | has no default| must be given)", section), (
                name
            )


def test_the_example_without_its_marks_changes_nothing(home: Path) -> None:
    text = famulus("config", "--example").stdout
    assert set(tomllib.loads(text)) <= {"server", "plugins"}
    path = home / "all.toml"
    path.write_text(uncommented(text))
    assert len(tomllib.loads(path.read_text())["server"]) > 20

    def settings(named: Path | None) -> dict[str, Any]:
        kernel = Kernel(load_config(named, environment={}), log=make_log("critical"))
        slots = kernel.plan()
        found: dict[str, Any] = {name: slot.settings for name, slot in slots.items()}
        return found | {"server": kernel.settings}

    assert settings(path) == settings(None)
