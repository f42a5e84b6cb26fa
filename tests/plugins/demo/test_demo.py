"""The demo as its users meet it: from the command line, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from famulus.testing import Script, ScriptedBackend, faults

pytestmark = pytest.mark.anyio


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path), "FAMULUS_DATA_DIR": str(tmp_path / "mine")}


def demo(tmp_path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "famulus", "demo", *flags],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the demo was played to its end, and what it said."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "famulus.toml").write_text("this is not TOML, and not read either")
    # A model server that happens to run on this machine would be found.
    alone = folder / "alone.toml"
    alone.write_text("[plugins.openai_compatible]\ndiscover = false\n")
    done = demo(folder, "--config", str(alone))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder, done.stdout


def test_the_whole_conversation_is_played_with_what_is_built_in(played: tuple[Path, str]) -> None:
    for shown in (
        ">>> for served in client.models.list():",
        ">>> assistant = client.beta.assistants.create(",
        '...     name="Guide",',
        "\ncompleted Usage(",
        "\nuser: Hello! My name is Ada",
        "\nassistant: ",
        "\nmessage_creation completed",
        "Its light is seen from 23 miles away.\u201d",
        "your name is Ada",
        "\nTrue\nTrue\n",
    ):
        assert shown in played[1]


def test_nothing_is_asked_that_what_is_built_in_cannot_answer(played: tuple[Path, str]) -> None:
    assert "no rule" not in played[1]


def test_the_configuration_of_the_machine_is_not_read_and_nothing_is_left_behind(
    played: tuple[Path, str],
) -> None:
    assert sorted(path.name for path in played[0].iterdir()) == ["alone.toml", "famulus.toml"]


def test_a_pipe_gets_no_colours(played: tuple[Path, str]) -> None:
    assert "\x1b[" not in played[1]


async def test_flags_are_given_to_the_server_so_that_a_real_model_answers(tmp_path: Path) -> None:
    script = Script().says("Ahoy Ada!").says("They shine.").says("Ada, of course.")
    backend = ScriptedBackend(script, models=("ready", "other"))
    async with backend.serve() as base_url:
        flags = ("--backend", base_url, "--model", "ready")
        done = await asyncio.to_thread(demo, tmp_path, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "assistant: Ahoy Ada!" in done.stdout
    assert "\nThey shine.\n" in done.stdout
    assert "\nAda, of course.\n" in done.stdout
    last = backend.chats[2].chat.messages
    assert "Hello! My name is Ada" in str(last)
    assert {chat.chat.model for chat in backend.chats} == {"ready"}


async def test_a_run_that_fails_ends_the_demo_and_says_why(tmp_path: Path) -> None:
    script = Script().fails(faults.status(400, "the prompt is odd")).forever()
    backend = ScriptedBackend(script, models=("moody",))
    async with backend.serve() as base_url:
        flags = ("--backend", base_url, "--model", "moody")
        done = await asyncio.to_thread(demo, tmp_path, *flags)
    assert done.returncode == 1
    assert "Error: a run ended as failed" in done.stderr
    assert "the prompt is odd" in done.stderr
    assert ">>> class Typewriter" not in done.stdout


def test_a_server_that_does_not_start_is_told_with_its_reason(tmp_path: Path) -> None:
    done = demo(tmp_path, "--header-bytes", "3")
    assert done.returncode == 1
    assert "Error: the server did not start" in done.stderr
    assert "No such option" in done.stderr


def test_ctrl_c_ends_the_demo_and_its_server(tmp_path: Path) -> None:
    for how in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-m", "famulus", "demo"],
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        assert ready
        assert b"listens on" in os.read(process.stdout.fileno(), 100)
        process.send_signal(how)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert b"Traceback" not in errors
        # The folder goes last, once the server that used it has ended.
        assert list(tmp_path.iterdir()) == []


def test_without_the_official_client_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['openai'] = None; sys.argv = ['famulus', 'demo'];"
        "from famulus.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        'Error: the demo needs the official client: pip install "famulus[demo]"\n'
    )
