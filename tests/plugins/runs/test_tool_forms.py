"""Searches and code in a run: in its steps, its messages, its streams, and across a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.plugins.runs.added_up import added_up
from tests.plugins.runs.formed_tools import Code, Search, plugin_of
from tests.plugins.runs.test_replay import again, stream

from famulus import NoSettings, Plugin, hookimpl, tools
from famulus import tool as of_plugin
from famulus.testing import Script, tool
from famulus_runs.contents import CONTENTS
from famulus_runs.cuts import head
from famulus_runs.log import added
from famulus_schemas.deltas import MessageDeltaEvent, RunStepDeltaEvent
from famulus_schemas.tooling import Mark, ToolKind, ToolOutput

TOOLS = [
    {"type": "file_search"},
    {"type": "code_interpreter"},
    {"type": "function", "function": {"name": "book_table"}},
]
STORE = {"file_search": {"vector_store_ids": ["vs_1"]}}
LINES = "print one\nprint two\nplot\nprint three"
SAYS = "Ada 【0:0†notes.md】 drew sandbox:/mnt/data/plot.png, see 【9:9†notes.md】."

search = tool("file_search", {"queries": ["who"]}, id="call_s")
code = tool("python", {"code": LINES}, id="call_c")
booking = tool("book_table", {"seats": 2}, id="call_b")


def opened(open_api: Any, script: Script, *kinds: Any, **arguments: Any) -> Any:
    """A server that searches and runs code."""
    plugin = plugin_of(*(kinds or (Search(), Code())))
    return open_api(script, also=(plugin,), **arguments)


async def asked(api: Any, **fields: Any) -> tuple[str, str]:
    """A thread with something to search, and an assistant that may."""
    return await api.thread("who?", tool_resources=STORE), await api.assistant(tools=TOOLS)


def details(step: Any) -> Any:
    return step["step_details"]["tool_calls"]


# -- steps and messages --------------------------------------------------------------------


async def test_a_search_is_shown_with_what_it_found(open_api: Any) -> None:
    async with opened(open_api, Script().calls(search).says("Ada.")) as api:
        run = await api.ran(*await asked(api))
        (call,) = details((await api.steps(run))[0])
        assert call == {
            "id": "call_s",
            "type": "file_search",
            "file_search": {
                "ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0},
                "results": [{"file_id": "file_notes", "file_name": "notes.md", "score": 0.5}],
            },
        }


async def test_passages_are_told_only_to_whoever_asks_for_them(open_api: Any) -> None:
    async with opened(open_api, Script().calls(search).says("Ada.")) as api:
        run = await api.ran(*await asked(api))
        steps = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/steps"
        (plain, _) = await api.steps(run)
        one = f"{steps}/{plain['id']}"
        for include, content in (
            ({}, None),
            ({"include[]": CONTENTS}, [{"type": "text", "text": "Ada wrote it."}]),
        ):
            listed = await api.ok(await api.server.get(steps, params={"order": "asc", **include}))
            retrieved = await api.ok(await api.server.get(one, params=include))
            assert listed["data"][0] == retrieved
            assert len(listed["data"]) == 2
            (found,) = details(retrieved)[0]["file_search"]["results"]
            assert found.get("content") == content


@pytest.mark.parametrize("wants", [False, True])
async def test_a_stream_tells_passages_where_its_run_was_created_so(
    wants: bool, open_api: Any
) -> None:
    async with opened(open_api, Script().calls(search).says("Ada.")) as api:
        thread, assistant = await asked(api)
        path = f"/v1/threads/{thread}/runs" + (f"?include[]={CONTENTS}" if wants else "")
        async with api.server.stream(path, {"assistant_id": assistant, "stream": True}) as events:
            heard = await events.all()
        step = next(e.json() for e in heard if e.name == "thread.run.step.completed")
        (found,) = details(step)[0]["file_search"]["results"]
        assert ("content" in found) == wants
        stored = (await api.steps(heard[0].json()))[0]
        assert "content" not in details(stored)[0]["file_search"]["results"][0]


async def test_code_is_shown_with_what_it_put_out(open_api: Any) -> None:
    async with opened(open_api, Script().calls(code).says("Done.")) as api:
        run = await api.ran(*await asked(api))
        (call,) = details((await api.steps(run))[0])
        assert call["code_interpreter"] == {
            "input": LINES,
            "outputs": [
                {"type": "logs", "logs": "one\ntwo\n"},
                {"type": "image", "image": {"file_id": "file_plot"}},
                {"type": "logs", "logs": "three\n"},
            ],
        }
        told = api.backend.chats[1].chat.messages
        assert [(m.role, m.content) for m in told][-1] == ("tool", "ran")


async def test_a_message_cites_what_its_run_found_and_shows_what_it_drew(open_api: Any) -> None:
    async with opened(open_api, Script().calls(search, code).says(SAYS).cut_by(3)) as api:
        run = await api.ran(*await asked(api))
        (message,) = await api.messages(run["thread_id"], run_id=run["id"])
        image, text = message["content"]
        assert image["image_file"]["file_id"] == "file_plot"
        assert text["text"]["value"] == SAYS
        cited = text["text"]["annotations"]
        assert [one["type"] for one in cited] == ["file_citation", "file_path"]
        for one in cited:
            assert SAYS[one["start_index"] : one["end_index"]] == one["text"]
        assert cited[0]["file_citation"] == {"file_id": "file_notes"}
        assert cited[1]["file_path"] == {"file_id": "file_plot"}


async def test_a_run_cannot_cite_what_another_one_found(open_api: Any) -> None:
    script = Script().calls(search).says("Ada.").says("Ada 【0:0†notes.md】.")
    async with opened(open_api, script) as api:
        thread, assistant = await asked(api)
        await api.ran(thread, assistant)
        await api.ran(thread, assistant)
        text = (await api.messages(thread))[-1]["content"][0]["text"]
        assert text == {"value": "Ada 【0:0†notes.md】.", "annotations": []}


async def test_later_runs_are_shown_the_calls_of_earlier_ones(open_api: Any) -> None:
    script = Script().calls(search).says("Ada.").says("As I said.")
    async with opened(open_api, script) as api:
        thread, assistant = await asked(api)
        await api.ran(thread, assistant)
        await api.ran(thread, assistant)
        shown = api.backend.chats[-1].chat.messages
        (call,) = next(m.tool_calls for m in shown if m.tool_calls)
        assert call.function.arguments == '{"queries":["who"]}'
        assert (
            next(m.content for m in shown if m.role == "tool") == "【0:0†notes.md】 Ada wrote it."
        )


async def test_calls_are_numbered_through_a_run(open_api: Any) -> None:
    found = Search()
    script = Script().calls(search, code).calls(search).says("Ada【2:0†notes.md】")
    async with opened(open_api, script, found, Code()) as api:
        run = await api.ran(*await asked(api))
        assert [scope.number for scope in found.scopes] == [0, 2]
        (message,) = await api.messages(run["thread_id"], run_id=run["id"])
        assert len(message["content"][-1]["text"]["annotations"]) == 1


async def test_figures_come_once_with_the_next_message(open_api: Any) -> None:
    script = Script().calls(code).says("First.").and_calls(search).says("Second.")
    async with opened(open_api, script) as api:
        run = await api.ran(*await asked(api))
        first, second = await api.messages(run["thread_id"], run_id=run["id"])
        assert [part["type"] for part in first["content"]] == ["image_file", "text"]
        assert [part["type"] for part in second["content"]] == ["text"]


async def test_a_step_shows_only_so_much_of_what_code_put_out(open_api: Any) -> None:
    settings = {"shown_outputs_chars_max": 6}
    async with opened(open_api, Script().calls(code).says("Done."), settings=settings) as api:
        thread, assistant = await asked(api)
        heard = await stream(api, thread, assistant)
        (call,) = details((await api.steps(heard[0].json()))[0])
        assert call["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "one\ntw"}]


async def test_a_function_of_a_plugin_may_give_marks_too(open_api: Any) -> None:
    class Notes(Plugin[NoSettings]):
        """Reads notes."""

        name = "notes"

        @of_plugin
        async def read_notes(self) -> ToolOutput:
            """The notes."""
            return ToolOutput(text="[n1] Ada.", marks=(Mark(text="[n1]", file_id="file_n"),))

        @hookimpl
        def register_tools(self) -> list[ToolKind]:
            return tools(self)

    script = Script().calls(tool("read_notes", {}, id="call_n")).says("Ada [n1] and [n2].")
    async with open_api(script, also=(Notes,)) as api:
        notes = {"type": "function", "function": {"name": "read_notes"}}
        run = await api.ran(await api.thread("who?"), await api.assistant(tools=[notes]))
        (message,) = await api.messages(run["thread_id"], run_id=run["id"])
        (cited,) = message["content"][0]["text"]["annotations"]
        assert cited["text"] == "[n1]"
        assert details((await api.steps(run))[0])[0]["function"]["output"] == "[n1] Ada."


# -- what a tool gets and says -------------------------------------------------------------


async def test_a_tool_with_nothing_to_use_is_not_offered(open_api: Any) -> None:
    async with opened(open_api, Script().says("Hi.").forever()) as api:
        assistant = await api.assistant(tools=TOOLS, instructions="Be brief.")
        await api.ran(await api.thread("hi"), assistant)
        await api.ran(await api.thread("hi", tool_resources=STORE), assistant)
        bare, full = (chat.chat for chat in api.backend.chats)
        assert [one.function.name for one in bare.tools] == ["python", "book_table"]
        assert bare.messages[0].content == "Be brief."
        assert "file_search" in [one.function.name for one in full.tools]
        assert full.messages[0].content == "Be brief.\n\nYou can search vs_1."


async def test_a_tool_can_be_chosen_by_its_type(open_api: Any) -> None:
    async with opened(open_api, Script().calls(code).says("Hi.")) as api:
        thread, assistant = await asked(api)
        await api.ran(thread, assistant, tool_choice={"type": "code_interpreter"})
        first, second = (chat.chat.tool_choice for chat in api.backend.chats)
        assert first == {"type": "function", "function": {"name": "python"}}
        assert second is None


async def test_a_tool_is_told_what_thread_and_assistant_have(open_api: Any) -> None:
    found = Search()
    async with opened(open_api, Script().calls(search).says("Hi."), found, Code()) as api:
        resources = {"file_search": {"vector_store_ids": ["vs_of_assistant"]}}
        assistant = await api.assistant(tools=TOOLS, tool_resources=resources)
        given = [{"file_id": "file_a", "tools": [{"type": "file_search"}]}]
        messages = [
            {"role": "user", "content": "one", "attachments": given},
            {"role": "user", "content": "two", "attachments": [{"file_id": "file_b"}]},
        ]
        body = {"messages": messages, "tool_resources": STORE}
        thread = (await api.ok(await api.server.post("/v1/threads", body)))["id"]
        run = await api.ran(thread, assistant)
        (scope,) = found.scopes
        assert (scope.run.id, scope.run.thread_id) == (run["id"], thread)
        have = await scope.resources()
        assert have.assistant.file_search.vector_store_ids == ["vs_of_assistant"]
        assert have.thread.file_search.vector_store_ids == ["vs_1"]
        assert [one.file_id for one in have.attachments] == ["file_a", "file_b"]


async def test_a_tool_that_cannot_be_made_ready_fails_the_run_with_the_reason(
    open_api: Any,
) -> None:
    class Broken(Search):
        async def equip(self, scope: Any) -> Any:
            raise LookupError("no index")

    async with opened(open_api, Script(), Broken(), Code()) as api:
        run = await api.ran(*await asked(api))
        assert run["status"] == "failed"
        reason = "The tool file_search could not be made ready: LookupError: no index"
        assert run["last_error"] == {"code": "server_error", "message": reason}


async def test_a_tool_that_cannot_work_fails_its_step_and_the_run(open_api: Any) -> None:
    script = Script().calls(tool("python", {"code": "print one\nvanish"}))
    async with opened(open_api, script) as api:
        run = await api.ran(*await asked(api))
        (step,) = await api.steps(run)
        assert run["status"] == step["status"] == "failed"
        assert step["last_error"]["message"] == "There is no sandbox to run code in."
        assert run["last_error"] == step["last_error"]


async def test_the_client_is_asked_once_the_server_has_run_its_calls(open_api: Any) -> None:
    script = Script().calls(booking, code, search).says("Booked 【2:0†notes.md】.")
    async with opened(open_api, script) as api:
        run = await api.ran(*await asked(api))
        (asked_for,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert asked_for["id"] == "call_b"
        (step,) = await api.steps(run)
        assert [call["type"] for call in details(step)] == [
            "function",
            "code_interpreter",
            "file_search",
        ]
        assert len(details(step)[1]["code_interpreter"]["outputs"]) == 3
        await api.ok(await api.submit(run, call_b="table 4"))
        assert (await api.ended(run))["status"] == "completed"
        (step, _) = await api.steps(run)
        assert details(step)[0]["function"]["output"] == "table 4"
        assert len(details(step)[1]["code_interpreter"]["outputs"]) == 3
        told = [m.content for m in api.backend.chats[1].chat.messages if m.role == "tool"]
        assert told == ["table 4", "ran", "【2:0†notes.md】 Ada wrote it."]
        image, text = (await api.messages(run["thread_id"], run_id=run["id"]))[0]["content"]
        assert image["type"] == "image_file"
        assert len(text["text"]["annotations"]) == 1


# -- streams -------------------------------------------------------------------------------


def without_index(parts: Any) -> Any:
    """What deltas add up to, as the stored item has it."""
    if isinstance(parts, list):
        return [without_index(part) for part in parts]
    if isinstance(parts, dict):
        return {key: without_index(value) for key, value in parts.items() if key != "index"}
    return parts


async def test_deltas_add_up_to_what_is_stored(open_api: Any) -> None:
    script = Script().calls(search, code, booking).cut_by(3).says(SAYS).cut_by(2)
    async with opened(open_api, script) as api:
        heard = await stream(api, *await asked(api))
        run = heard[0].json()
        submitted = await api.submit(run, call_b="table 4")
        assert submitted.status_code == 200
        await api.ended(run)
        items, _ = added_up(await again(api, run, None))
        (step, _) = await api.steps(run)
        (message,) = await api.messages(run["thread_id"], run_id=run["id"])
        calls = details(step)
        calls[0]["file_search"] = {}
        calls[2]["function"]["output"] = None
        assert without_index(items[step["id"]]) == calls
        assert without_index(items[message["id"]]) == message["content"]


async def test_from_every_place_the_rest_adds_up_to_the_whole(open_api: Any) -> None:
    script = Script().calls(code, search, code).cut_by(7).says(SAYS).cut_by(4)
    async with opened(open_api, script) as api:
        heard = await stream(api, *await asked(api))
        run, whole = heard[0].json(), added_up(heard)
        for place in range(len(heard)):
            rest = await again(api, run, heard[place].id or None)
            begun = heard[: place + 1] if heard[place].id else []
            assert added_up([*begun, *rest]) == whole, place


class Told:
    """The beginning of a delta that was heard."""

    def __init__(self, event: Any, count: int) -> None:
        self.name = event.name
        type: Any = MessageDeltaEvent if "message" in event.name else RunStepDeltaEvent
        delta = msgspec.json.decode(event.data, type=type)
        self.size = added(delta)
        self._head = head(delta, count)

    def json(self) -> Any:
        return msgspec.to_builtins(self._head)


async def test_from_every_count_within_deltas_the_rest_adds_up_to_the_whole(
    open_api: Any,
) -> None:
    short = tool("python", {"code": "print ab\nplot\nprint c"})
    script = Script().calls(short, search, short).says("A【1:0†notes.md】 b").together(100)
    async with opened(open_api, script) as api:
        heard = await stream(api, *await asked(api))
        run, whole = heard[0].json(), added_up(heard)
        for place, event in enumerate(heard):
            if not event.name.endswith(".delta"):
                continue
            at, _, end = event.id.rpartition(".")
            size = Told(event, 0).size
            for count in range(size):
                rest = await again(api, run, f"{at}.{int(end) - size + count}")
                begun = [Told(event, count)] if count else []
                assert added_up([*heard[:place], *begun, *rest]) == whole, (event.data, count)


async def test_whoever_comes_while_code_runs_hears_all_of_it(open_api: Any) -> None:
    go_on = asyncio.Event()
    waiting = tool("python", {"code": "print one\nwait\nprint two"}, id="call_c")
    script = Script().calls(waiting).says("Done.")
    async with opened(open_api, script, Search(), Code(go_on)) as api:
        thread, assistant = await asked(api)
        path = f"/v1/threads/{thread}/runs"
        heard: list[Any] = []
        async with api.server.stream(path, {"assistant_id": assistant, "stream": True}) as events:
            async for event in events:
                heard.append(event)
                if '"logs":"one' in event.data:
                    break
        run = heard[0].json()
        (step,) = await api.steps(run)
        late = asyncio.create_task(again(api, run, None))
        rest = asyncio.create_task(again(api, run, heard[-1].id))
        await asyncio.sleep(0.02)
        go_on.set()
        assert added_up(await late) == added_up([*heard, *await rest])
        (call,) = added_up(await again(api, run, None))[0][step["id"]]
        assert call["code_interpreter"]["outputs"][0]["logs"] == "one\ntwo\n"


# -- crashes -------------------------------------------------------------------------------


async def lost_in_code(open_api: Any, kind: Code, *calls: Any) -> tuple[Any, list[Any]]:
    """A run whose server stopped in the midst of code, and what its listener heard."""
    waiting = tool("python", {"code": "print one\nwait\nprint two"}, id="call_c")
    script = Script().calls(*calls, waiting).says("never")
    settings = {"finish_s": 0.0, "checkpoint_ms": 0}
    async with opened(open_api, script, Search(), kind, settings=settings) as api:
        thread, assistant = await asked(api)
        body = {"assistant_id": assistant, "stream": True}
        heard: list[Any] = []
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            async for event in events:
                heard.append(event)
                if '"logs":"one' in event.data:
                    break
    return heard[0].json(), heard


@pytest.mark.parametrize("may_repeat", [False, True])
async def test_code_that_was_interrupted_is_run_again_only_if_it_may_be(
    may_repeat: bool, open_api: Any
) -> None:
    run, heard = await lost_in_code(open_api, Code(asyncio.Event(), may_repeat=may_repeat), search)
    kind = Code(may_repeat=may_repeat)
    found = Search()
    async with opened(open_api, Script().says(SAYS), found, kind) as api:
        rest = await again(api, run, heard[-1].id)
        assert (await api.ended(run))["status"] == "completed"
        assert kind.begun == (["call_c"] if may_repeat else [])
        assert found.scopes == [], "what was found before is not searched for again"
        (step, _) = await api.steps(run)
        found_call, code_call = details(step)
        assert found_call["file_search"]["results"]
        logs = "one\ntwo\n" if may_repeat else "one\n"
        assert code_call["code_interpreter"]["outputs"] == [{"type": "logs", "logs": logs}]
        told = [m.content for m in api.backend.chats[0].chat.messages if m.role == "tool"]
        assert told[1] == "ran" if may_repeat else told[1].startswith("Error: the server was")
        items, _ = added_up([*heard, *rest])
        assert without_index(items[step["id"]])[1] == code_call
        (message,) = await api.messages(run["thread_id"], run_id=run["id"])
        cited = message["content"][-1]["text"]["annotations"]
        assert [one["type"] for one in cited] == ["file_citation"]


async def test_a_message_that_is_written_again_cites_and_shows_as_the_first_one(
    open_api: Any,
) -> None:
    never = asyncio.Event()
    script = Script().calls(search, code).says(SAYS).in_pieces(SAYS[:9], SAYS[9:])
    script = script.waits_for(never, after=1)
    async with opened(open_api, script, settings={"finish_s": 0.0}) as api:
        run = await api.run(*await asked(api))
        await api.backend.arrived(2)
        while not await api.messages(run["thread_id"], run_id=run["id"]):
            await asyncio.sleep(0.002)
    async with opened(open_api, Script().says(SAYS)) as api:
        await api.ended(run)
        (message,) = await api.messages(run["thread_id"], run_id=run["id"])
        image, text = message["content"]
        assert image["type"] == "image_file"
        assert len(text["text"]["annotations"]) == 2
        items, _ = added_up(await again(api, run, None))
        assert without_index(items[message["id"]]) == message["content"]


@pytest.mark.parametrize("is_client_asked", [False, True])
async def test_a_run_that_is_cancelled_in_its_code_keeps_what_it_put_out(
    is_client_asked: bool, open_api: Any
) -> None:
    go_on = asyncio.Event()
    if is_client_asked:
        go_on.set()
    waiting = tool("python", {"code": "print one\nwait\nprint two"}, id="call_c")
    script = Script().calls(waiting, booking)
    async with opened(open_api, script, Search(), Code(go_on)) as api:
        thread, assistant = await asked(api)
        run = await api.run(thread, assistant)
        listener = asyncio.create_task(again(api, run, None))
        if is_client_asked:
            await api.ended(run)
        else:
            while not (await api.steps(run) and details((await api.steps(run))[0])):
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.02)
        await api.ok(await api.cancel(run))
        (step,) = await api.steps(run)
        assert step["status"] == "cancelled"
        logs = "one\ntwo\n" if is_client_asked else "one\n"
        outputs = details(step)[0]["code_interpreter"]["outputs"]
        assert outputs == [{"type": "logs", "logs": logs}]
        assert details(step)[1]["function"]["name"] == "book_table"
        await listener
        items, _ = added_up(await again(api, run, None))
        assert without_index(items[step["id"]]) == details(step)
