"""What becomes of a run whose model server fails, for every way in which one can.

The server is a real HTTP server; the run is a real run. A fault before the first token is tried
again; after it the partial message stays, incomplete, and the run fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus.testing import Script, ScriptedBackend, faults, kernel_with

PLUGINS = (
    "sqlite", "events", "jobs", "assistants", "threads", "models", "openai_compatible", "runs"
)  # fmt: skip
TIMEOUTS = {
    "connect_timeout_s": 1.0,
    "first_byte_timeout_s": 0.4,
    "idle_timeout_s": 0.4,
    "call_timeout_s": 5.0,
}
MODELS = {"attempts_max": 2, "backoff_s": 0.0, "retry_after_max_s": 0.0}

FAULTS = {
    "a refused key": (faults.status(401), "server_error"),
    "a model it does not have": (faults.status(404), "server_error"),
    "a request it does not take": (faults.status(400), "invalid_prompt"),
    "its rate limit": (faults.status(429), "rate_limit_exceeded"),
    "an error of its own": (faults.status(500), "server_error"),
    "being unavailable": (faults.status(503), "rate_limit_exceeded"),
    "an error under status 200": (faults.error_body(), "server_error"),
    "an error event": (faults.error_event(), "server_error"),
    "a reset connection": (faults.reset(), "server_error"),
    "a closed connection": (faults.hang_up(), "server_error"),
    "silence": (faults.stall(), "server_error"),
    "garbage": (faults.garbage(), "server_error"),
    "half a character": (faults.truncated_utf8(), "server_error"),
    "a web page": (faults.wrong_content_type(), "server_error"),
    "an event without end": (faults.oversized_line(8 << 20), "server_error"),
}
AFTER_HEADERS = [
    "an error event",
    "a reset connection",
    "a closed connection",
    "silence",
    "garbage",
    "half a character",
    "an event without end",
]
CUT = ("a reset connection", "a closed connection")


@asynccontextmanager
async def api_of(tmp_path: Path, script: Script, make_api: Any) -> AsyncIterator[Any]:
    backend = ScriptedBackend(script)
    async with backend.serve() as url:
        settings = {
            "openai_compatible": {"backend": [url], "timeouts": TIMEOUTS},
            "models": MODELS,
        }
        async with kernel_with(*PLUGINS, settings=settings, data_dir=tmp_path) as server:
            yield make_api(server, backend)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_before_the_first_token_fails_the_run_with_a_reason(
    fault: str, tmp_path: Path, make_api: Any
) -> None:
    kind, code = FAULTS[fault]
    async with api_of(tmp_path, Script().fails(kind).forever(), make_api) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant())
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == code
        assert run["last_error"]["message"].startswith("The model server ")
        assert await api.messages(thread, run_id=run["id"]) == []
        assert await api.steps(run) == []


@pytest.mark.parametrize("fault", AFTER_HEADERS)
async def test_a_fault_after_the_first_token_keeps_what_was_said(
    fault: str, tmp_path: Path, make_api: Any
) -> None:
    kind, _ = FAULTS[fault]
    script = Script().says("One two three").breaks(kind, after=2).says("Again.")
    async with api_of(tmp_path, script, make_api) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.ran(thread, assistant)
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "server_error"
        (message,) = await api.messages(thread, run_id=run["id"])
        assert message["status"] == "incomplete"
        assert message["incomplete_details"] == {"reason": "run_failed"}
        # A connection that is cut may lose what was on its way, but what came is kept.
        kept = message["content"][0]["text"]["value"]
        assert kept == "One two" or (fault in CUT and "One two".startswith(kept))
        (step,) = await api.steps(run)
        assert step["status"] == "failed"
        assert len(api.backend.chats) == 1
        assert (await api.ran(thread, assistant))["status"] == "completed"


@pytest.mark.parametrize(
    "fault", [faults.status(500), faults.status(503), faults.reset(), faults.status(429)]
)
async def test_a_fault_that_passes_is_not_seen(fault: Any, tmp_path: Path, make_api: Any) -> None:
    script = Script().fails(fault).says("Here it is.")
    async with api_of(tmp_path, script, make_api) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        assert run["status"] == "completed"
        assert len(api.backend.chats) == 2


async def test_a_stream_without_its_end_mark_is_whole_if_it_has_its_finish_reason(
    tmp_path: Path, make_api: Any
) -> None:
    script = Script().says("All of it.").without_done()
    async with api_of(tmp_path, script, make_api) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        assert run["status"] == "completed"


async def test_a_server_that_reports_no_usage_has_it_estimated(
    tmp_path: Path, make_api: Any
) -> None:
    async with api_of(tmp_path, Script().says("Some words.").without_usage(), make_api) as api:
        run = await api.ran(await api.thread("hi there"), await api.assistant())
        assert run["usage"]["prompt_tokens"] > 0
        assert run["usage"]["completion_tokens"] > 0


async def test_a_server_that_is_not_there_is_named(tmp_path: Path, make_api: Any) -> None:
    backend = ScriptedBackend(Script().says("never"))
    async with backend.serve() as url:
        settings = {
            "openai_compatible": {"backend": [url], "timeouts": TIMEOUTS},
            "models": MODELS,
        }
        async with kernel_with(*PLUGINS, settings=settings, data_dir=tmp_path) as server:
            api = make_api(server, backend)
            assistant = await api.assistant()
            async with backend.refusing():
                run = await api.ran(await api.thread("hi"), assistant)
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "server_error"
        assert url.split("//")[1].split("/")[0] in run["last_error"]["message"]
