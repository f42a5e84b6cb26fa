"""The command line as its users meet it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from famulus import __version__

FAMULUS = (sys.executable, "-m", "famulus")

WORDY = '''
"""Says hello."""
from typing import Annotated
import msgspec
from famulus import Call, Operation, Plugin, Secret, Settings, hookimpl, setting
from famulus import operation, operations

class WordySettings(Settings, frozen=True):
    word: Annotated[str, setting(env="WORDY_WORD", flag="--wordy-word", why="What it says.")] = "hi"
    token: Secret | None = None
    names: Annotated[list[str], setting(flag="--wordy-name", why="Whom it greets.")] = []

class Said(msgspec.Struct):
    text: str

class Wordy(Plugin[WordySettings]):
    """Says a word."""

    name = "wordy"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/api/word", action="word.read")
    async def get_word(self, call: Call) -> Said:
        """Say the word."""
        return Said(text=self.settings.word)
'''

KEYS = '''
"""Lets everybody in."""
from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.identity import Principal

class Open(Plugin[NoSettings]):
    """Knows everybody."""

    @hookimpl
    async def authenticate(self, headers):
        return Principal(id="anybody")
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to run in, with two plugins, and without those of the product."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "wordy.py").write_text(WORDY)
    (plugins / "open_door.py").write_text(KEYS)
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "FAMULUS" not in name}
    return {
        **clean,
        "FAMULUS_PLUGINS_DIR": str(home / "plugins"),
        "FAMULUS_DATA_DIR": str(home / "data"),
        "FAMULUS_KEYS__FIRST_KEY": "false",
        **more,
    }


def famulus(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FAMULUS, *arguments],
        cwd=home,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._read = b""

    def line(self, event: str) -> dict[str, Any]:
        """The next line of the log that tells of this event."""
        assert self.process.stderr is not None
        while True:
            # Several lines may come in one write.
            while b"\n" not in self._read:
                ready, _, _ = select.select([self.process.stderr], [], [], 60)
                assert ready, f"no {event} within 60 s"
                more = os.read(self.process.stderr.fileno(), 65_536)
                assert more, f"it ended without {event}: {self.lines}"
                self._read += more
            text, _, self._read = self._read.partition(b"\n")
            self.lines.append(json.loads(text))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=30)


@contextmanager
def serving(home: Path, *arguments: str, **more: str) -> Iterator[tuple[Served, str]]:
    process = subprocess.Popen(
        [*FAMULUS, "serve", "--port", "0", "--log-format", "json", *arguments],
        cwd=home,
        env=environment(home, **more),
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    served = Served(process)
    try:
        yield served, str(served.line("ready")["url"])
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


# --- help ----------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_what_they_are_for(home: Path) -> None:
    shown = famulus(home, "--help")
    assert shown.returncode == 0
    for command, about in {
        "serve": "Serve the API until told to stop.",
        "check": "Validate the configuration and say what would start",
        "config": "Print every setting as it now is",
        "plugins": "List every plugin that was found",
        "migrate": "Bring the stores to the form that this version needs",
        "openapi": "Print the OpenAPI document",
        "new-plugin": "Make a working plugin to start from",
    }.items():
        [line] = [line for line in shown.stdout.splitlines() if line.split()[:1] == [command]]
        assert about[:40] in line


def test_without_a_command_it_shows_the_help(home: Path) -> None:
    shown = famulus(home)
    assert "Traceback" not in shown.stderr
    assert "Usage: famulus" in shown.stdout + shown.stderr


def test_the_version_is_the_packages(home: Path) -> None:
    assert famulus(home, "--version").stdout == f"famulus, version {__version__}\n"


def test_a_plugins_settings_are_flags_of_every_command_that_reads_them(home: Path) -> None:
    shown = " ".join(famulus(home, "serve", "--help").stdout.split())
    assert "--wordy-word TEXT What it says. [WORDY_WORD]" in shown
    assert "--wordy-name TEXT Whom it greets. May be given several times." in shown
    assert "--port TEXT Port to listen on; 0 for any. [FAMULUS_PORT]" in shown


# --- what would start ----------------------------------------------------------------------------


def test_check_says_what_would_start_and_starts_nothing(home: Path) -> None:
    done = famulus(home, "check")
    assert done.returncode == 0, done.stderr
    assert "wordy                would start" in done.stdout
    assert done.stdout.endswith("The configuration is valid.\n")
    assert not (home / "data").exists()


def test_check_fails_where_a_plugin_cannot_be_loaded(home: Path) -> None:
    (home / "plugins" / "bad.py").write_text("raise RuntimeError('off')")
    done = famulus(home, "check")
    assert done.returncode == 2
    assert "failed       cannot be loaded: RuntimeError: off" in done.stdout
    assert "plugins cannot be loaded" in done.stderr


def test_a_plugin_that_cannot_be_imported_breaks_no_command(home: Path) -> None:
    (home / "plugins" / "bad.py").write_text("raise RuntimeError('off')")
    done = famulus(home, "plugins")
    assert done.returncode == 0
    assert "RuntimeError: off" in done.stderr
    assert "wordy" in done.stdout


def test_a_plugin_that_is_disabled_is_not_imported(home: Path) -> None:
    (home / "plugins" / "bad.py").write_text("raise RuntimeError('off')")
    (home / "famulus.toml").write_text("[plugins.bad]\nenabled = false\n")
    done = famulus(home, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bad                  disabled     by configuration" in done.stdout
    for arguments in (["--config", "famulus.toml"], ["--config=famulus.toml"]):
        assert famulus(home, "check", *arguments).stderr == ""


def test_commands_that_cannot_be_added_break_no_other(home: Path) -> None:
    (home / "plugins" / "odd.py").write_text(
        "from famulus import NoSettings, Plugin, hookimpl\n"
        "class Odd(Plugin[NoSettings]):\n"
        "    '''Odd.'''\n"
        "    @hookimpl\n"
        "    def register_commands(self, cli):\n"
        "        '''Not static.'''\n"
    )
    done = famulus(home, "plugins")
    assert done.returncode == 0
    assert "commands of Odd: TypeError" in done.stderr


def test_plugins_lists_state_source_and_ports(home: Path) -> None:
    shown = famulus(home, "plugins").stdout
    assert "sqlite               loaded       Provides RECORDS" in shown
    assert "famulus_sqlite:Sqlite (package famulus); provides records" in shown
    assert f"{home}/plugins/wordy.py" in shown


# --- settings ------------------------------------------------------------------------------------


def test_config_prints_what_counts_and_why_and_no_secret(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.wordy]\nword = 'file'\ntoken = 'env:HUSH'\n")
    done = famulus(home, "config", "--wordy-name", "ada", "--wordy-name", "bob", HUSH="quiet!")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# from famulus.toml, environment and flags\n")
    lines = done.stdout.splitlines()
    assert 'word = "file"  # What it says. [WORDY_WORD]' in lines
    assert 'names = ["ada", "bob"]  # Whom it greets.' in lines
    assert '# token = "env:HUSH"' in lines
    assert "quiet!" not in done.stdout + done.stderr


def test_what_config_prints_is_a_configuration(home: Path) -> None:
    written = {"FAMULUS_MODELS__DEFAULT_MODEL": "a", "WORDY_WORD": 'so "quoted"'}
    printed = famulus(home, "config", **written)
    assert printed.returncode == 0, printed.stderr
    (home / "famulus.toml").write_text(printed.stdout)
    again = famulus(home, "config")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[1:] == printed.stdout.splitlines()[1:]
    assert 'default_model = "a"' in again.stdout


def test_flags_are_over_variables_and_they_over_the_file(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.wordy]\nword = 'file'\n")
    assert 'word = "file"' in famulus(home, "config").stdout
    assert 'word = "variable"' in famulus(home, "config", WORDY_WORD="variable").stdout
    flagged = famulus(home, "config", "--wordy-word", "flag", WORDY_WORD="variable")
    assert 'word = "flag"' in flagged.stdout


def test_a_mistake_is_one_line_without_a_trace(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.wordy]\nwrod = 'x'\n")
    done = famulus(home, "serve")
    assert done.returncode == 2
    assert done.stderr == (
        "famulus: famulus.toml:2: [plugins.wordy] has no setting 'wrod'; it has word, token, names;"
        " did you mean 'word'?\n"
    )


def test_a_file_that_is_named_and_not_there_is_one_line(home: Path) -> None:
    done = famulus(home, "serve", "--config", "other.toml")
    assert done.returncode == 2
    assert done.stderr == "famulus: other.toml: cannot be read: No such file or directory\n"


# --- documents and stores ------------------------------------------------------------------------


def test_openapi_is_the_document_that_would_be_served(home: Path) -> None:
    done = famulus(home, "openapi")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/api/word"]["get"]["summary"] == "Say the word"


def test_migrate_says_what_is_pending_applies_it_and_then_has_nothing_to_do(home: Path) -> None:
    first = famulus(home, "migrate", "--dry-run")
    assert first.returncode == 0, first.stderr
    [pending] = [line for line in first.stdout.splitlines() if line.startswith("sqlite")]
    assert pending.split()[1] == "pending"
    applied = famulus(home, "migrate")
    assert [line.split()[1] for line in applied.stdout.splitlines() if "sqlite" in line] == [
        "applied"
    ]
    again = famulus(home, "migrate")
    assert "sqlite               up to date" in again.stdout


def test_a_store_that_cannot_be_migrated_is_one_line_without_a_trace(home: Path) -> None:
    (home / "not-a-database").write_text("These are other words." * 100)
    result = famulus(home, "migrate", FAMULUS_SQLITE__PATH=str(home / "not-a-database"))
    assert result.returncode == 2
    assert result.stderr.startswith("famulus: sqlite cannot be migrated: ")
    assert result.stderr.count("\n") == 1


# --- serving -------------------------------------------------------------------------------------


def test_serve_says_where_it_is_ready_and_ends_when_told(home: Path) -> None:
    with serving(home, "--wordy-word", "ahoy") as (served, url):
        ready = served.lines[-1]
        assert ready["docs"] == f"{url}/docs"
        assert httpx.get(f"{url}/api/word").json() == {"text": "ahoy"}
        assert served.end() == 0


def test_serve_ends_cleanly_on_ctrl_c(home: Path) -> None:
    with serving(home) as (served, url):
        assert httpx.get(f"{url}/health/live").status_code == 200
        assert served.end(signal.SIGINT) == 0


def test_a_hangup_reloads_the_file(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.wordy]\nword = 'old'\n")
    with serving(home) as (served, url):
        assert httpx.get(f"{url}/api/word").json() == {"text": "old"}
        (home / "famulus.toml").write_text("[plugins.wordy]\nword = 'new'\n")
        served.process.send_signal(signal.SIGHUP)
        served.line("reloaded")
        assert httpx.get(f"{url}/api/word").json() == {"text": "new"}


def test_a_hangup_says_which_changes_need_a_restart(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.wordy]\nword = 'old'\n")
    with serving(home) as (served, url):
        (home / "famulus.toml").write_text(
            "[server]\nbody_s = 5\nport = 9\nlog_level = 'debug'\n[plugins.wordy]\nword = 'new'\n"
        )
        served.process.send_signal(signal.SIGHUP)
        # The port is a flag here, which is over the file, and so did not change.
        assert served.line("reloaded")["needs_restart"] == ["log_level", "body_s"]
        assert httpx.get(f"{url}/api/word").json() == {"text": "new"}


def test_a_hangup_with_a_mistake_in_the_file_changes_nothing(home: Path) -> None:
    (home / "famulus.toml").write_text("[plugins.wordy]\nword = 'old'\n")
    with serving(home) as (served, url):
        (home / "famulus.toml").write_text("[plugins.wordy]\nwrod = 'new'\n")
        served.process.send_signal(signal.SIGHUP)
        assert "has no setting 'wrod'" in served.line("reload_refused")["reason"]
        assert httpx.get(f"{url}/api/word").json() == {"text": "old"}


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with serving(home) as (_, url):
        port = url.rpartition(":")[2]
        done = famulus(home, "serve", "--port", port, FAMULUS_DATA_DIR=str(home / "other"))
        assert done.returncode == 2
        assert done.stderr == (
            f"famulus: could not listen on 127.0.0.1:{port}: address already in use; "
            "--port or FAMULUS_PORT names another\n"
        )


def test_a_server_that_gets_no_port_makes_no_first_key(home: Path) -> None:
    first = {"FAMULUS_KEYS__FIRST_KEY": "true", "FAMULUS_DATA_DIR": str(home / "other")}
    with serving(home) as (_, url):
        port = url.rpartition(":")[2]
        refused = famulus(home, "serve", "--port", port, **first)
        assert "OPENAI_API_KEY" not in refused.stderr
        assert not (home / "other").exists()
    done = famulus(home, "keys", "list", **first)
    assert "There are no keys" in done.stderr


def test_a_required_plugin_that_is_broken_refuses_to_serve(home: Path) -> None:
    (home / "plugins" / "bad.py").write_text("raise RuntimeError('off')")
    done = famulus(home, "serve", FAMULUS_BAD__REQUIRED="true")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("famulus: plugin bad is required, but failed: cannot be loaded")


def test_a_server_says_its_base_url_by_what_it_serves(home: Path) -> None:
    only = ["admin", "assistants", "threads", "runs", "chat", "models", "files", "keys"]
    only += ["vector_stores", "containers", "metrics", "audit", "usage", "rate_limits"]
    text = "".join(f"[plugins.{name}]\nenabled = false\n" for name in only)
    (home / "famulus.toml").write_text(text)
    with serving(home) as (served, url):
        assert served.lines[-1]["base_url"] == f"{url}/api"


def test_a_second_server_on_the_same_records_ends_and_says_which_has_them(home: Path) -> None:
    with serving(home) as (served, _):
        done = famulus(home, "serve", "--port", "0", "--log-format", "json")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    logged = [json.loads(line)["event"] for line in done.stderr.splitlines() if line[0] == "{"]
    assert len(said) == 1
    assert said[0].startswith("famulus: plugin sqlite is failed: DatabaseInUse: ")
    assert f"is in use by process {served.process.pid} " in said[0]
    assert logged == ["plugin_failed"]


def test_a_database_that_does_not_answer_yet_is_waited_for(home: Path) -> None:
    dsn = "postgresql://famulus@127.0.0.1:1/famulus"
    with serving(home, FAMULUS_POSTGRES__DSN=dsn) as (served, url):
        ready = httpx.get(f"{url}/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "down")
        assert ready.json()["plugins"]["postgres"]["status"] == "down"
        assert served.end() == 0
