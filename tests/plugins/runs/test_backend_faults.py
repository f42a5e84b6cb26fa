"""What becomes of a run whose model server fails, for every way in which one can.

The server is a real HTTP server; the run is a real run. A fault before the first token is tried
again; after it the partial message stays, incomplete, and the run fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

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
    "a refused key": (faults.status(401), "server_error", "own key"),
    "a key without rights": (faults.status(403), "server_error", "own key"),
    "a bill that is not paid": (faults.status(402), "server_error", "failed: scripted status 402"),
    "a model it does not have": (faults.status(404), "server_error", "does not serve this"),
    "a path it does not have": (
        faults.wrong_content_type(404),
        "server_error",
        "check that its URL ends where its API begins",
    ),
    "a method it does not have": (faults.status(405), "server_error", "does not serve this"),
    "something it cannot do": (faults.status(501), "server_error", "does not serve this"),
    "a request it does not take": (faults.status(400), "invalid_prompt", "refused the prompt"),
    "a body it finds too large": (faults.status(413), "invalid_prompt", "refused the prompt"),
    "a value it does not take": (faults.status(422), "invalid_prompt", "refused the prompt"),
    "its rate limit": (faults.status(429), "rate_limit_exceeded", "over its limit"),
    "an error of its own": (faults.status(500), "server_error", "failed"),
    "an error of its gateway": (faults.status(502), "server_error", "failed"),
    "being unavailable": (faults.status(503), "server_error", "is too busy"),
    "a gateway's timeout": (faults.status(504), "server_error", "did not answer in time"),
    "being overloaded": (faults.status(529), "server_error", "is too busy"),
    "an error under status 200": (faults.error_body(), "server_error", "EngineCore died"),
    "an error event": (faults.error_event(), "server_error", "EngineCore encountered"),
    "a reset connection": (faults.reset(), "server_error", "connection"),
    "a closed connection": (faults.hang_up(), "server_error", "closed the connection"),
    "silence": (faults.stall(), "server_error", "did not answer in time"),
    "comments for ever": (faults.babble(), "server_error", "did not answer in time"),
    "empty chunks for ever": (faults.empty_chunks(), "server_error", "did not answer in time"),
    "garbage": (faults.garbage(), "server_error", "no chat chunk"),
    "half a character": (faults.truncated_utf8(), "server_error", "no chat chunk"),
    "a web page": (faults.wrong_content_type(), "server_error", "text/html"),
    "an event without end": (faults.oversized_line(8 << 20), "server_error", "event_bytes_max"),
}
AFTER_HEADERS = [
    "an error event",
    "a reset connection",
    "a closed connection",
    "silence",
    "comments for ever",
    "empty chunks for ever",
    "garbage",
    "half a character",
    "an event without end",
]
CUT = ("a reset connection", "a closed connection")


@asynccontextmanager
async def api_of(
    tmp_path: Path,
    script: Script,
    make_api: Any,
    *,
    timeouts: Mapping[str, float] = {},
    models: Mapping[str, Any] = {},
) -> AsyncIterator[Any]:
    backend = ScriptedBackend(script)
    async with backend.serve() as url:
        settings = {
            "openai_compatible": {"backend": [url], "timeouts": {**TIMEOUTS, **timeouts}},
            "models": {**MODELS, **models},
        }
        async with kernel_with(*PLUGINS, settings=settings, data_dir=tmp_path) as server:
            yield make_api(server, backend)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_before_the_first_token_fails_the_run_with_a_reason(
    fault: str, tmp_path: Path, make_api: Any
) -> None:
    kind, code, words = FAULTS[fault]
    async with api_of(tmp_path, Script().fails(kind).forever(), make_api) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant())
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == code
        assert run["last_error"]["message"].startswith("The model server ")
        assert words in run["last_error"]["message"]
        assert await api.messages(thread, run_id=run["id"]) == []
        assert await api.steps(run) == []


@pytest.mark.parametrize("fault", AFTER_HEADERS)
async def test_a_fault_after_the_first_token_keeps_what_was_said(
    fault: str, tmp_path: Path, make_api: Any
) -> None:
    kind, _, words = FAULTS[fault]
    script = Script().says("One two three").breaks(kind, after=2).says("Again.")
    async with api_of(tmp_path, script, make_api) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.ran(thread, assistant)
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "server_error"
        assert run["last_error"]["message"].startswith("The model server ")
        # A server that was reached before its connection was reset did not finish its answer.
        assert ("closed the connection" if fault in CUT else words) in run["last_error"]["message"]
        (message,) = await api.messages(thread, run_id=run["id"])
        assert message["status"] == "incomplete"
        assert message["incomplete_details"] == {"reason": "run_failed"}
        # A connection that is cut may lose what was on its way, but what came is kept.
        kept = message["content"][0]["text"]["value"]
        assert kept == "One two" or (fault in CUT and "One two".startswith(kept))
        (step,) = await api.steps(run)
        assert step["status"] == "failed"
        assert step["last_error"] == run["last_error"]
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


async def test_an_answer_without_end_is_ended(tmp_path: Path, make_api: Any) -> None:
    script = Script().says("again ").without_end().pauses(0.01)
    async with api_of(tmp_path, script, make_api, timeouts={"call_timeout_s": 1.0}) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant())
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "server_error"
        assert "took longer than 1 s (call_timeout_s)" in run["last_error"]["message"]
        (message,) = await api.messages(thread, run_id=run["id"])
        assert message["incomplete_details"] == {"reason": "run_failed"}
        assert message["content"][0]["text"]["value"].startswith("again again")
        assert run["usage"]["completion_tokens"] > 1
        await api.backend.chats[0].ended()
        assert api.backend.chats[0].closed_early
        assert len(api.backend.chats) == 1


async def test_an_answer_without_end_expires_with_its_run(tmp_path: Path, make_api: Any) -> None:
    script = Script().says("again ").without_end().pauses(0.01)
    backend = ScriptedBackend(script)
    async with backend.serve() as url:
        settings = {"openai_compatible": {"backend": [url]}, "runs": {"run_s": 1}}
        async with kernel_with(*PLUGINS, settings=settings, data_dir=tmp_path) as server:
            api = make_api(server, backend)
            thread = await api.thread("hi")
            run = await api.ran(thread, await api.assistant())
            assert (run["status"], run["last_error"]) == ("expired", None)
            (message,) = await api.messages(thread, run_id=run["id"])
            assert message["incomplete_details"] == {"reason": "run_expired"}
            await backend.chats[0].ended()
            assert backend.chats[0].closed_early


async def test_a_first_token_that_comes_too_late_fails_the_run(
    tmp_path: Path, make_api: Any
) -> None:
    script = Script().says("late").pauses(30.0)
    async with api_of(tmp_path, script, make_api) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        assert (run["status"], run["last_error"]["code"]) == ("failed", "server_error")
        assert "first_byte_timeout_s" in run["last_error"]["message"]
        assert await api.steps(run) == []


@pytest.mark.parametrize("bytes_at_once", [1, 7])
async def test_a_slow_and_throttled_server_is_heard_to_its_end(
    bytes_at_once: int, tmp_path: Path, make_api: Any
) -> None:
    text = "Schön langsam, but in the end all of it is there."
    script = Script().says(text).pauses(0.03).in_writes_of(bytes_at_once)
    async with api_of(tmp_path, script, make_api, timeouts={"idle_timeout_s": 5.0}) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant())
        assert (run["status"], run["last_error"]) == ("completed", None)
        (message,) = await api.messages(thread, run_id=run["id"])
        assert message["content"][0]["text"]["value"] == text


async def test_a_server_that_is_down_is_left_alone_and_runs_say_so(
    tmp_path: Path, make_api: Any
) -> None:
    script = Script().fails(faults.status(500)).forever()
    models = {"circuit_failures_max": 2, "circuit_cooldown_s": 600.0}
    async with api_of(tmp_path, script, make_api, models=models) as api:
        assistant = await api.assistant()
        for _ in range(2):
            run = await api.ran(await api.thread("hi"), assistant)
        assert (run["status"], run["last_error"]["code"]) == ("failed", "server_error")
        assert "left alone" in run["last_error"]["message"]
        assert len(api.backend.chats) == 2


async def test_a_rate_limit_that_is_met_in_mid_answer_is_told_as_one(
    tmp_path: Path, make_api: Any
) -> None:
    limit = faults.error_event("slow down")
    script = Script().says("One two three").breaks(replace(limit, code=429), after=2)
    async with api_of(tmp_path, script, make_api) as api:
        run = await api.ran(await api.thread("hi"), await api.assistant())
        assert (run["status"], run["last_error"]["code"]) == ("failed", "rate_limit_exceeded")
        (step,) = await api.steps(run)
        assert step["last_error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 5000 tokens.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 2048.",
        "the request exceeds the available context size, try increasing it",
    ],
)
async def test_a_context_that_is_smaller_than_was_thought_is_no_refusal(
    message: str, tmp_path: Path, make_api: Any
) -> None:
    fault = faults.status(400, message)
    script = Script().fails(fault).says("It fits.").fails(fault).fails(fault)
    async with api_of(tmp_path, script, make_api) as api:
        assistant = await api.assistant()
        texts = [f"message {n} " + "word " * 20 for n in range(10)]
        run = await api.ran(await api.thread(*texts), assistant)
        assert (run["status"], run["last_error"]) == ("completed", None)
        first, second = (len(request.chat.messages) for request in api.backend.chats)
        assert second < first
        run = await api.ran(await api.thread(*texts), assistant)
        assert (run["status"], run["last_error"]) == ("incomplete", None)
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
        assert len(api.backend.chats) == 4


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
