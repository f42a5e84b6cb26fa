"""What a stream says, byte for byte, on every path that a run can take.

The transcripts in `golden/` are read by people: to change one on purpose, set
FAMULUS_WRITE_GOLDEN=1, run this module, and review the difference like code.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.plugins.runs.formed_tools import Code, Search, with_store

from famulus import encode_event
from famulus.testing import Script, faults, tool
from famulus_runs.drafts import Batch, Kept
from famulus_runs.engine import Engine
from famulus_runs.settings import RunSettings
from famulus_schemas.events import EVENT_NAMES, AssistantStreamEvent, name_of
from famulus_schemas.runs import RunError
from famulus_schemas.tools import CodeInterpreterTool, FileSearchTool

GOLDEN = Path(__file__).parent / "golden"

weather = tool("get_weather", {"city": "Oslo"})
booking = tool("book_table", {"seats": 2})

WRITTEN = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


def formed(harness: Any, script: Script, **changes: Any) -> Engine:
    """A run that may search and run code."""
    engine: Engine = harness.engine(
        script,
        tools=[FileSearchTool(), CodeInterpreterTool()],
        kinds=[Search(), Code()],
        resources=with_store,
        **changes,
    )
    return engine


search = tool("file_search", {"queries": ["who"]})
lines = "print one\nprint two\nplot\nprint three"

PATHS: dict[str, Callable[[Any], Engine]] = {
    "message": lambda h: h.engine(Script().says("Hello there, friend.").uses(12, 5)),
    "message_without_usage": lambda h: h.engine(Script().says("Hello.").without_usage()),
    "empty_answer": lambda h: h.engine(Script().says("")),
    "refusal": lambda h: h.engine(Script().refuses("I will not help with that.")),
    "out_of_tokens": lambda h: h.engine(Script().says("This goes on and").finishes("length")),
    "content_filter": lambda h: h.engine(Script().says("I was").finishes("content_filter")),
    "prompt_too_long": lambda h: h.engine(
        Script().says("never asked"), prompter=h.too_long_prompter()
    ),
    "server_tool": lambda h: h.engine(
        Script().calls(weather).uses(12, 5).says("It is sunny.").uses(12, 5)
    ),
    "text_then_server_tools": lambda h: h.engine(
        Script()
        .says("Let me look.")
        .and_calls(weather, tool("get_weather", {"city": "Bergen"}))
        .says("Sunny in both.")
    ),
    "failing_tool": lambda h: h.engine(
        Script().calls(tool("get_weather", {"city": "Atlantis"})).says("I cannot say.")
    ),
    "unknown_tool": lambda h: h.engine(Script().calls(tool("fly", {})).says("I cannot fly.")),
    "client_tool": lambda h: h.engine(Script().calls(booking)),
    "client_and_server_tools": lambda h: h.engine(Script().calls(weather, booking)),
    "textual_calls": lambda h: h.engine(
        Script()
        .says(f"Let me look.\n<tool_call>\n{WRITTEN}\n</tool_call>\n<tool_call>{WRITTEN}")
        .says("It is sunny.")
    ),
    "repaired_client_tool": lambda h: h.engine(
        Script().calls(tool("book_table", "{'seats': 2,}")).cut_by(6)
    ),
    "unreadable_client_tool": lambda h: h.engine(
        Script().calls(tool("book_table", '{"seats": two}')).calls(booking)
    ),
    "call_cut_off": lambda h: h.engine(
        Script().calls(tool("book_table", '{"seats"')).finishes("length")
    ),
    "one_call_at_a_time": lambda h: h.engine(
        Script().calls(weather, booking).says("It is sunny."), parallel_tool_calls=False
    ),
    "backend_down": lambda h: h.engine(Script().fails(faults.kind("unreachable"))),
    "backend_limit": lambda h: h.engine(Script().fails(faults.status(429))),
    "backend_dies_mid_message": lambda h: h.engine(
        Script().says("This will be cut short").breaks(faults.reset(), after=2)
    ),
    "search": lambda h: formed(
        h,
        Script()
        .calls(search)
        .uses(12, 5)
        .says("It was Ada【0:0†notes.md】, not【0:1†x】.")
        .cut_by(5),
    ),
    "search_with_contents": lambda h: formed(
        h, Script().calls(search).says("Ada."), with_contents=True
    ),
    "code": lambda h: formed(
        h,
        Script()
        .calls(tool("python", {"code": lines}))
        .cut_by(9)
        .uses(12, 5)
        .says("See sandbox:/mnt/data/plot.png.")
        .cut_by(8),
    ),
    "code_as_text": lambda h: formed(
        h, Script().calls(tool("python", "print one")).cut_by(4).says("Done.")
    ),
    "code_crashes": lambda h: formed(
        h, Script().calls(tool("python", {"code": "print one\ncrash"})).says("It died.")
    ),
    "code_without_sandbox": lambda h: formed(
        h, Script().calls(tool("python", {"code": "print one\nvanish"}))
    ),
    "code_search_and_client_tool": lambda h: formed(
        h, Script().calls(booking, tool("python", {"code": "print one"}), search, booking)
    ),
    "too_many_turns": lambda h: h.engine(
        Script().calls(weather).calls(weather), settings=RunSettings(turns_max=2)
    ),
    "too_many_calls": lambda h: h.engine(
        Script().calls(weather, weather), settings=RunSettings(tool_calls_per_turn_max=1)
    ),
}


def transcript(batches: list[Batch]) -> bytes:
    """Frames as a listener gets them; a blank comment between what belongs together."""
    frames = [b"".join(map(frame, batch)) for batch in batches]
    return b":\n".join(frames)


def frame(event: AssistantStreamEvent | Kept) -> bytes:
    """An event as sent; what is only stored stands as a comment."""
    data = msgspec.json.encode(event.data)
    if isinstance(event, Kept):
        calls = b"".join(b": beside " + msgspec.json.encode(call) + b"\n" for call in event.calls)
        return b": stored " + data + b"\n" + calls
    return encode_event(data, name=name_of(event))


def hold(path: str, got: bytes) -> None:
    file = GOLDEN / f"{path}.sse"
    if os.environ.get("FAMULUS_WRITE_GOLDEN"):
        file.write_bytes(got)
    assert got == file.read_bytes()


@pytest.mark.parametrize("path", PATHS)
async def test_a_run_says_exactly_this(path: str, harness: Any) -> None:
    engine = PATHS[path](harness)
    hold(path, transcript(await harness.all(engine)))


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
async def test_a_run_that_is_ended_in_its_message_says_exactly_this(
    status: Any, harness: Any
) -> None:
    engine = harness.engine(Script().says("This is all that it could say").without_end())
    batches: list[Batch] = []
    work = engine.work()
    async for batch in work:
        batches.append(batch)
        if len(batches) == 4:
            break
    await work.aclose()
    harness.clock.move(5)
    error = RunError(code="server_error", message="It broke.") if status == "failed" else None
    batches.append(engine.end(status, error=error))
    hold(f"{status}_in_message", transcript(batches))


async def test_a_run_that_is_cancelled_before_it_starts_says_exactly_this(harness: Any) -> None:
    engine = harness.engine(Script())
    hold("cancelled_before_start", transcript([engine.end("cancelled")]))


def test_every_transcript_belongs_to_a_test() -> None:
    ended = {f"{status}_in_message" for status in ("failed", "cancelled", "expired")}
    known = {*PATHS, *ended, "cancelled_before_start"}
    assert {file.stem for file in GOLDEN.glob("*.sse")} == known


def test_transcripts_name_only_events_of_the_contract() -> None:
    seen = set()
    for file in GOLDEN.glob("*.sse"):
        for line in file.read_text().splitlines():
            if line.startswith("event: "):
                seen.add(line.removeprefix("event: "))
    assert seen <= set(EVENT_NAMES)
    assert {"thread.run.completed", "thread.message.delta", "thread.run.step.delta"} <= seen
