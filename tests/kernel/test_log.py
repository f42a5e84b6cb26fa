"""The log: one event a line, under the plugin's name, and never a credential."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from famulus import NoSettings, Plugin, Secret, Settings
from famulus.config import load_config
from famulus.discover import found_class
from famulus.kernel import Kernel
from famulus.log import ForwardToLog, Redactor, make_log, redact
from famulus.testing import kernel_with

pytestmark = pytest.mark.anyio

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


class Terminal(io.StringIO):
    """A stream that says that a person reads it."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_level_and_time() -> None:
    out = io.StringIO()
    make_log("info", "json", stream=out).info("run_completed", run="run_1", steps=3)
    [line] = lines(out)
    assert (line["event"], line["level"], line["steps"]) == ("run_completed", "info", 3)
    assert str(line["timestamp"]).endswith("Z")


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    log = make_log("warning", "json", stream=out)
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_an_exception_is_part_of_the_line() -> None:
    out = io.StringIO()
    try:
        raise ValueError("odd")
    except ValueError as error:
        make_log("info", "json", stream=out).error("failed", exc_info=error)
    [line] = lines(out)
    assert "ValueError: odd" in str(line["exception"])


@pytest.mark.parametrize(
    ("stream", "is_json"), [(io.StringIO(), True), (Terminal(), False)], ids=["piped", "terminal"]
)
def test_a_pipe_gets_json_and_a_terminal_gets_colours(stream: io.StringIO, is_json: bool) -> None:
    make_log("info", "auto", stream=stream).info("ready", url="http://x")
    assert stream.getvalue().startswith("{") is is_json
    assert "http://x" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_a_secret_shows_itself_in_no_form(log_format: str) -> None:
    out = io.StringIO()
    log = make_log("info", log_format, stream=out)  # type: ignore[arg-type]
    log.info("made", token=Secret("hush hush"), tokens=[Secret("hush hush")])
    assert "hush" not in out.getvalue()
    assert "Secret(***)" in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {KEY}",
        f"wrong key {KEY}.",
        "bearer abc.def.ghi",
        "fam-ab12cd34ef56ab78",
    ],
)
def test_what_has_the_form_of_a_credential_is_made_unusable(text: str) -> None:
    shown = redact(text)
    assert "[redacted]" in shown
    assert KEY[6:] not in shown
    assert "abc.def.ghi" not in shown
    assert "cd34ef56ab78" not in shown


@pytest.mark.parametrize("text", ["run_abc123", "asst_1 took 3 s", "skate-park", "family"])
def test_what_only_looks_a_little_like_one_stays(text: str) -> None:
    assert redact(text) == text


def test_a_credential_in_an_exception_is_made_unusable_too() -> None:
    out = io.StringIO()
    try:
        raise ValueError(f"401 for Bearer {KEY}")
    except ValueError as error:
        make_log("info", "json", stream=out).error("failed", exc_info=error, note=f"key {KEY}")
    assert KEY not in out.getvalue()


async def test_a_plugins_lines_carry_its_name() -> None:
    out = io.StringIO()

    class Chatty(Plugin[NoSettings]):
        """Says something."""

        name = "chatty"

    async with kernel_with(Chatty, log=make_log("info", "json", stream=out)) as server:
        server.plugin("chatty").log.info("hello")
    assert {"event": "hello", "plugin": "chatty"}.items() <= lines(out)[0].items()


def test_libraries_that_log_by_the_standard_library_are_passed_on() -> None:
    out = io.StringIO()
    logger = logging.Logger("elsewhere")
    logger.addHandler(ForwardToLog(make_log("info", "json", stream=out)))
    logger.warning("the %s is %s", "disk", "full")
    [line] = lines(out)
    assert (line["event"], line["logger"], line["level"]) == (
        "the disk is full",
        "elsewhere",
        "warning",
    )


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_a_secret_that_is_known_is_found_wherever_it_stands(log_format: str) -> None:
    out = io.StringIO()
    redactor = Redactor()
    log = make_log("info", log_format, stream=out, redactor=redactor)  # type: ignore[arg-type]
    # Of no form that gives it away, and one of them a part of the other.
    redactor.learn(["open sesame", "open sesame twice", "abc"])
    try:
        raise ValueError("it is open sesame twice")
    except ValueError as error:
        log.error(
            "told",
            text="say open sesame!",
            deep={"open sesame": [("x", {"y": "open sesame"})]},
            thing=LookupError("open sesame"),
            exc_info=error,
        )
    assert "sesame" not in out.getvalue()
    assert "twice" not in out.getvalue()
    assert out.getvalue().count("[redacted]") >= 5
    log.info("abc")
    assert "abc" in out.getvalue()


def test_numbers_and_what_is_missing_stay_what_they_are() -> None:
    out = io.StringIO()
    make_log("info", "json", stream=out).info("x", a=1, b=2.5, c=None, d=True, e=[1, "two"])
    [line] = lines(out)
    assert [line[key] for key in "abcde"] == [1, 2.5, None, True, [1, "two"]]


class Vault(Settings, frozen=True, kw_only=True):
    """Where secrets are."""

    secret: Secret = Secret("")
    others: list[Secret] = []
    named: dict[str, Secret] = {}


class Keeper(Plugin[Vault]):
    """Tells all that it knows."""

    name = "keeper"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Tell."""
        settings = self.settings
        for secret in (settings.secret, *settings.others, *settings.named.values()):
            self.log.info("told", text=f"it is {secret.reveal()}.")
        yield


async def test_what_is_configured_as_a_secret_is_not_logged_whatever_a_plugin_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = {
        "secret": "tell-no-one-1",
        "others": ["tell-no-one-2"],
        "named": {"x": "tell-no-one-3"},
    }
    flags = {"server": {"data_dir": str(tmp_path), "log_format": "json"}, "keeper": table}
    kernel = Kernel(load_config(None, environment={}, flags=flags), found=[found_class(Keeper)])
    await kernel.start()
    await kernel.stop()
    told = capsys.readouterr().err
    assert told.count("it is [redacted].") == 3
    assert "tell-no-one" not in told
