"""Runs over HTTP: create, poll, list, retrieve, modify, and what they leave on the thread."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import FixedClock, Script, ScriptedBackend, faults


async def test_a_run_answers_on_its_thread(open_api: Any) -> None:
    async with open_api(Script().says("Four.").uses(20, 2)) as api:
        assistant = await api.assistant(instructions="Be brief.")
        thread = await api.thread("What is 2 + 2?")
        created = await api.run(thread, assistant)
        assert created["status"] == "queued"
        assert created["expires_at"] == created["created_at"] + 600
        run = await api.ended(created)
        assert run["status"] == "completed"
        assert run["usage"] == {"prompt_tokens": 20, "completion_tokens": 2, "total_tokens": 22}
        assert run["completed_at"] >= run["started_at"] >= run["created_at"]
        assert run["expires_at"] is None
        question, answer = await api.messages(thread)
        assert question["content"][0]["text"]["value"] == "What is 2 + 2?"
        assert answer["role"] == "assistant"
        assert answer["status"] == "completed"
        assert answer["run_id"] == run["id"]
        assert answer["assistant_id"] == assistant
        assert answer["content"] == [
            {"type": "text", "text": {"value": "Four.", "annotations": []}}
        ]
        (step,) = await api.steps(run)
        assert step["type"] == "message_creation"
        assert step["status"] == "completed"
        assert step["step_details"]["message_creation"]["message_id"] == answer["id"]
        assert step["usage"]["total_tokens"] == 22


async def test_the_model_is_shown_instructions_and_the_thread_in_order(open_api: Any) -> None:
    async with open_api(Script().says("Ada.").says("You said Ada.")) as api:
        assistant = await api.assistant(instructions="Remember names.")
        thread = await api.thread("I am Ada.")
        await api.ran(thread, assistant)
        await api.ok(
            await api.server.post(
                f"/v1/threads/{thread}/messages", {"role": "user", "content": "Who am I?"}
            )
        )
        await api.ran(thread, assistant)
        shown = [(m.role, m.content) for m in api.backend.chats[1].chat.messages]
        assert shown == [
            ("system", "Remember names."),
            ("user", "I am Ada."),
            ("assistant", "Ada."),
            ("user", "Who am I?"),
        ]


async def test_a_run_overrides_what_its_assistant_says(open_api: Any) -> None:
    async with open_api(Script().says("ok"), settings={}) as api:
        assistant = await api.assistant(
            instructions="one", temperature=0.1, top_p=0.2, metadata={"kept": "by the assistant"}
        )
        thread = await api.thread("hi")
        format = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
        run = await api.ran(
            thread,
            assistant,
            instructions="two",
            additional_instructions="three",
            additional_messages=[{"role": "user", "content": "and more"}],
            temperature=1.5,
            top_p=0.9,
            response_format=format,
            max_completion_tokens=300,
            metadata={"a": "b"},
        )
        assert run["instructions"] == "two\nthree"
        assert (run["temperature"], run["top_p"]) == (1.5, 0.9)
        assert run["response_format"]["type"] == "json_schema"
        assert run["metadata"] == {"a": "b"}
        chat = api.backend.chats[0].chat
        assert chat.messages[0].content == "two\nthree"
        assert [m.content for m in chat.messages[1:]] == ["hi", "and more"]
        assert (chat.temperature, chat.top_p, chat.max_tokens) == (1.5, 0.9, 300)
        assert chat.response_format["json_schema"]["name"] == "n"
        assert len(await api.messages(thread)) == 3


async def test_what_a_run_leaves_open_is_echoed_as_its_default(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        run = await api.run(await api.thread("hi"), await api.assistant())
        assert run["tool_choice"] == "auto"
        assert run["response_format"] == "auto"
        assert run["truncation_strategy"] == {"type": "auto", "last_messages": None}
        assert run["parallel_tool_calls"] is True
        assert (run["temperature"], run["top_p"]) == (1.0, 1.0)
        assert run["instructions"] == ""
        assert run["usage"] is None
        assert run["required_action"] is None


async def test_truncation_keeps_the_last_messages(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        thread = await api.thread("one", "two", "three", "four")
        strategy = {"type": "last_messages", "last_messages": 2}
        await api.ran(thread, await api.assistant(), truncation_strategy=strategy)
        assert [m.content for m in api.backend.chats[0].chat.messages] == ["three", "four"]


async def test_automatic_truncation_keeps_the_newest_that_fit_and_the_instructions(
    open_api: Any,
) -> None:
    texts = [f"message {n} " + "word " * 40 for n in range(60)]
    async with open_api(ScriptedBackend(Script().says("ok"), context_tokens=1_000)) as api:
        thread = await api.thread(*texts)
        await api.ran(thread, await api.assistant(instructions="Stay."))
        shown = [m.content for m in api.backend.chats[0].chat.messages]
        assert shown[0] == "Stay."
        assert shown[-1] == texts[-1]
        assert shown[1:] == texts[-(len(shown) - 1) :]
        assert 2 < len(shown) < 20


async def test_a_prompt_budget_is_kept(open_api: Any) -> None:
    texts = [f"message {n} " + "word " * 60 for n in range(30)]
    async with open_api(Script().says("ok")) as api:
        thread = await api.thread(*texts)
        await api.ran(thread, await api.assistant(), max_prompt_tokens=256)
        budgeted = len(api.backend.chats[0].chat.messages)
        assert 1 <= budgeted < 6


async def test_a_run_that_cannot_read_even_one_message_is_incomplete(open_api: Any) -> None:
    async with open_api(Script().says("never")) as api:
        thread = await api.thread("word " * 2000)
        run = await api.ran(thread, await api.assistant(), max_prompt_tokens=256)
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
        assert api.backend.chats == []


async def test_a_run_out_of_completion_tokens_is_incomplete(open_api: Any) -> None:
    async with open_api(Script().says("This goes on").finishes("length")) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant(), max_completion_tokens=256)
        assert run["status"] == "incomplete"
        assert run["incomplete_details"] == {"reason": "max_completion_tokens"}
        message = (await api.messages(thread))[-1]
        assert message["status"] == "incomplete"
        assert message["incomplete_details"] == {"reason": "max_tokens"}
        assert message["content"][0]["text"]["value"] == "This goes on"


async def test_a_failed_run_says_why_and_frees_its_thread(open_api: Any) -> None:
    script = Script().says("Half an ans").breaks(faults.reset(), after=2).says("Whole.")
    async with open_api(script) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.ran(thread, assistant)
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "server_error"
        assert run["failed_at"] is not None
        message = (await api.messages(thread))[-1]
        assert message["status"] == "incomplete"
        assert message["incomplete_details"] == {"reason": "run_failed"}
        assert message["content"][0]["text"]["value"] == "Half an"
        (step,) = await api.steps(run)
        assert step["status"] == "failed"
        assert step["last_error"]["code"] == "server_error"
        assert (await api.ran(thread, assistant))["status"] == "completed"


async def test_a_model_that_nobody_serves_fails_the_run_by_name(open_api: Any) -> None:
    async with open_api(Script().says("never")) as api:
        assistant = await api.assistant(model="no-such-model")
        run = await api.ran(await api.thread("hi"), assistant)
        assert run["status"] == "failed"
        assert "no-such-model" in run["last_error"]["message"]


async def test_a_busy_thread_refuses_a_second_run_and_messages(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("slow").waits_for(go_on)) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        run = await api.run(thread, assistant)
        second = await api.server.post(f"/v1/threads/{thread}/runs", {"assistant_id": assistant})
        assert second.status_code == 400
        assert second.json()["error"] == {
            "message": f"Thread {thread} already has an active run {run['id']}.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
        refused = await api.server.post(
            f"/v1/threads/{thread}/messages", {"role": "user", "content": "wait"}
        )
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == (
            f"Can't add messages to {thread} while a run {run['id']} is active."
        )
        go_on.set()
        assert (await api.ended(run))["status"] == "completed"
        assert len(await api.messages(thread)) == 2


async def test_of_many_runs_created_at_once_exactly_one_starts(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("one").waits_for(go_on)) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        path, body = f"/v1/threads/{thread}/runs", {"assistant_id": assistant}
        answers = await asyncio.gather(*(api.server.post(path, body) for _ in range(20)))
        assert sorted(a.status_code for a in answers) == [200] + [400] * 19
        go_on.set()
        (winner,) = [a.json() for a in answers if a.status_code == 200]
        assert (await api.ended(winner))["status"] == "completed"
        assert len(api.backend.chats) == 1


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        ({"assistant_id": None}, "assistant_id", "Missing required parameter: 'assistant_id'."),
        ({"foo": 1}, "foo", "Unknown parameter: 'foo'."),
        ({"temperature": 3}, "temperature", None),
        ({"max_prompt_tokens": 10}, "max_prompt_tokens", None),
        ({"tools": [{"type": "nope"}]}, "tools[0].type", None),
        (
            {"truncation_strategy": {"type": "last_messages"}},
            "truncation_strategy.last_messages",
            "Missing required parameter: 'truncation_strategy.last_messages'.",
        ),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", None),
        (
            {"tool_choice": {"type": "function", "function": {"name": "nobody"}}},
            "tool_choice.function.name",
            None,
        ),
    ],
)
async def test_a_bad_run_is_refused_by_name_and_leaves_nothing(
    change: dict[str, Any], param: str, message: str | None, open_api: Any
) -> None:
    async with open_api(Script()) as api:
        thread = await api.thread("hi")
        body = {"assistant_id": await api.assistant(), **change}
        body = {key: value for key, value in body.items() if value is not None}
        answer = await api.server.post(f"/v1/threads/{thread}/runs", body)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == param
        assert message is None or error["message"] == message
        listed = await api.ok(await api.server.get(f"/v1/threads/{thread}/runs"))
        assert listed["data"] == []


async def test_a_run_needs_its_thread_and_its_assistant(open_api: Any) -> None:
    async with open_api(Script()) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        no_thread = await api.server.post("/v1/threads/thread_x/runs", {"assistant_id": assistant})
        no_assistant = await api.server.post(
            f"/v1/threads/{thread}/runs", {"assistant_id": "asst_x"}
        )
        assert no_thread.status_code == no_assistant.status_code == 404
        assert no_thread.json()["error"]["message"] == "No thread found with id 'thread_x'."
        assert no_assistant.json()["error"]["message"] == "No assistant found with id 'asst_x'."


async def test_runs_and_steps_of_one_project_are_not_there_for_another(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        thread = await api.thread("hi")
        run = await api.ran(thread, await api.assistant())
        (step,) = await api.steps(run)
        other = {"x-test-project": "other"}
        base = f"/v1/threads/{thread}/runs"
        for path in (base, f"{base}/{run['id']}", f"{base}/{run['id']}/steps/{step['id']}"):
            assert (await api.server.get(path, headers=other)).status_code == 404
            assert (await api.server.get(path)).status_code == 200


async def test_runs_are_listed_newest_first_in_pages(open_api: Any) -> None:
    async with open_api(Script().says("ok").forever()) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        made = [(await api.ran(thread, assistant))["id"] for _ in range(5)]
        base = f"/v1/threads/{thread}/runs"
        first = await api.ok(await api.server.get(base, params={"limit": 2}))
        assert [run["id"] for run in first["data"]] == made[:2:-1]
        assert first["has_more"] is True
        rest = await api.ok(await api.server.get(base, params={"after": first["last_id"]}))
        assert [run["id"] for run in rest["data"]] == made[2::-1]
        assert rest["has_more"] is False


async def test_a_runs_metadata_can_change_while_it_is_at_work(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("slow").waits_for(go_on)) as api:
        thread = await api.thread("hi")
        run = await api.run(thread, await api.assistant(), metadata={"before": "yes"})
        await api.backend.arrived()
        path = f"/v1/threads/{thread}/runs/{run['id']}"
        changed = await api.ok(await api.server.post(path, {"metadata": {"after": "yes"}}))
        assert changed["metadata"] == {"after": "yes"}
        go_on.set()
        ended = await api.ended(run)
        assert ended["status"] == "completed"
        assert ended["metadata"] == {"after": "yes"}


async def test_a_deleted_thread_takes_runs_and_steps_along_even_at_work(open_api: Any) -> None:
    go_on = asyncio.Event()
    async with open_api(Script().says("done").says("slow").waits_for(go_on)) as api:
        assistant = await api.assistant()
        thread = await api.thread("hi")
        first = await api.ran(thread, assistant)
        second = await api.run(thread, assistant)
        await api.backend.arrived(2)
        deleted = await api.ok(await api.server.delete(f"/v1/threads/{thread}"))
        assert deleted == {"id": thread, "object": "thread.deleted", "deleted": True}
        go_on.set()
        for run in (first, second):
            path = f"/v1/threads/{thread}/runs/{run['id']}"
            assert (await api.server.get(path)).status_code == 404
            assert (await api.server.get(f"{path}/steps")).status_code == 404


async def test_a_silent_model_is_left_when_the_thread_is_deleted(open_api: Any) -> None:
    never = asyncio.Event()
    async with open_api(Script().says("slow").waits_for(never)) as api:
        thread = await api.thread("hi")
        body = {"assistant_id": await api.assistant(), "stream": True}
        async with api.server.stream(f"/v1/threads/{thread}/runs", body) as events:
            asked = await api.backend.arrived()
            await api.ok(await api.server.delete(f"/v1/threads/{thread}"))
            told = [event.name for event in await events.all()]
        await asked.ended()
        assert asked.closed_early
        assert "done" not in told


async def test_a_thread_and_its_run_are_made_in_one_call(open_api: Any) -> None:
    async with open_api(Script().says("Hello.")) as api:
        body = {
            "assistant_id": await api.assistant(),
            "thread": {"messages": [{"role": "user", "content": "hi"}], "metadata": {"t": "1"}},
            "metadata": {"r": "2"},
        }
        run = await api.ok(await api.server.post("/v1/threads/runs", body))
        assert run["metadata"] == {"r": "2"}
        ended = await api.ended(run)
        assert ended["status"] == "completed"
        thread = await api.ok(await api.server.get(f"/v1/threads/{run['thread_id']}"))
        assert thread["metadata"] == {"t": "1"}
        assert [m["role"] for m in await api.messages(run["thread_id"])] == ["user", "assistant"]


async def test_a_thread_that_is_made_with_a_refused_run_is_not_there(open_api: Any) -> None:
    async with open_api(Script()) as api:
        body = {"assistant_id": "asst_x", "thread": {}}
        assert (await api.server.post("/v1/threads/runs", body)).status_code == 404


async def test_polling_is_told_how_soon_to_ask_again(open_api: Any) -> None:
    async with open_api(Script().says("ok"), settings={"poll_after_ms": 25}) as api:
        thread = await api.thread("hi")
        body = {"assistant_id": await api.assistant()}
        created = await api.server.post(f"/v1/threads/{thread}/runs", body)
        assert created.headers["openai-poll-after-ms"] == "25"
        path = f"/v1/threads/{thread}/runs/{created.json()['id']}"
        assert (await api.server.get(path)).headers["openai-poll-after-ms"] == "25"


async def test_a_step_tells_what_the_model_was_shown_for_it(open_api: Any) -> None:
    async with open_api(Script().says("Four.")) as api:
        assistant = await api.assistant(instructions="Be brief.", temperature=0.5)
        run = await api.ran(await api.thread("What is 2 + 2?"), assistant)
        (step,) = await api.steps(run)
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/steps/{step['id']}"
        plain = (await api.server.get(path)).json()
        assert "famulus" not in plain
        shown = (await api.server.get(path, params={"include[]": "famulus.prompt"})).json()
        prompt = shown.pop("famulus")["prompt"]
        assert shown == plain
        assert prompt["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is 2 + 2?"},
        ]
        assert (prompt["model"], prompt["temperature"]) == ("scripted", 0.5)


async def test_prompts_need_not_be_kept(open_api: Any) -> None:
    async with open_api(Script().says("ok"), settings={"prompts_kept": False}) as api:
        run = await api.ran(await api.thread("secret"), await api.assistant())
        (step,) = await api.steps(run)
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/steps/{step['id']}"
        shown = await api.server.get(path, params={"include[]": "famulus.prompt"})
        assert shown.json()["famulus"] == {"prompt": None}


async def test_reasoning_effort_is_the_runs_or_the_assistants_and_else_not_sent(
    open_api: Any,
) -> None:
    async with open_api(Script().says("ok").forever()) as api:
        thinker = await api.assistant(reasoning_effort="low")
        await api.ran(await api.thread("hi"), thinker)
        await api.ran(await api.thread("hi"), thinker, reasoning_effort="high")
        await api.ran(await api.thread("hi"), await api.assistant())
        asked = [request.chat.reasoning_effort for request in api.backend.chats]
        assert asked == ["low", "high", None]


@pytest.mark.parametrize("type", ["file_search", "code_interpreter"])
async def test_a_tool_that_nobody_runs_fails_the_run_and_says_so(type: str, open_api: Any) -> None:
    async with open_api(Script().says("as if I had looked")) as api:
        assistant = await api.assistant(tools=[{"type": type}])
        run = await api.ran(await api.thread("hi"), assistant)
        assert run["status"] == "failed"
        assert f"the tool {type}" in run["last_error"]["message"]
        assert api.backend.chats == []


async def test_a_tool_that_nobody_runs_can_be_ignored(open_api: Any) -> None:
    async with open_api(Script().says("ok"), settings={"unserved_tools": "ignore"}) as api:
        assistant = await api.assistant(tools=[{"type": "file_search"}])
        run = await api.ran(await api.thread("hi"), assistant)
        assert run["status"] == "completed"
        assert api.backend.chats[0].chat.tools is None


def attached(*types: str) -> list[dict[str, Any]]:
    return [{"file_id": "file-1", "tools": [{"type": type} for type in types]}]


async def thread_with_file(api: Any, *types: str) -> str:
    message = {"role": "user", "content": "What does it say?", "attachments": attached(*types)}
    return str((await api.ok(await api.server.post("/v1/threads", {"messages": [message]})))["id"])


@pytest.mark.parametrize("types", [["file_search"], ["code_interpreter", "file_search"]])
async def test_files_attached_for_a_tool_that_nobody_runs_fail_the_run_and_say_so(
    types: list[str], open_api: Any
) -> None:
    async with open_api(Script().says("as if I had read it")) as api:
        run = await api.ran(await thread_with_file(api, *types), await api.assistant())
        assert run["status"] == "failed"
        assert f"for the tool {', '.join(types)}, and" in run["last_error"]["message"]
        assert "unserved_tools" in run["last_error"]["message"]
        assert api.backend.chats == []


async def test_files_attached_for_a_tool_that_nobody_runs_can_be_ignored(open_api: Any) -> None:
    async with open_api(Script().says("ok"), settings={"unserved_tools": "ignore"}) as api:
        run = await api.ran(await thread_with_file(api, "file_search"), await api.assistant())
        assert run["status"] == "completed"


async def test_files_attached_for_no_tool_or_a_run_that_calls_none_fail_nothing(
    open_api: Any,
) -> None:
    async with open_api(Script().says("ok").forever()) as api:
        assistant = await api.assistant()
        assert (await api.ran(await thread_with_file(api), assistant))["status"] == "completed"
        thread = await thread_with_file(api, "file_search")
        run = await api.ran(thread, assistant, tool_choice="none")
        assert run["status"] == "completed"


async def test_files_attached_for_a_tool_that_a_plugin_runs_fail_nothing(open_api: Any) -> None:
    class Search:
        type, place = "file_search", "server"

        def offers(self, definition: Any) -> list[Any]:
            return []

    class Searches(Plugin[NoSettings]):
        """Runs file_search."""

        name = "searches"

        @hookimpl
        def register_tools(self) -> list[Any]:
            return [Search()]

    async with open_api(Script().says("ok"), also=[Searches]) as api:
        run = await api.ran(await thread_with_file(api, "file_search"), await api.assistant())
        assert run["status"] == "completed"


async def test_of_many_runs_created_at_once_as_many_are_taken_as_there_is_room_for(
    open_api: Any,
) -> None:
    more = asyncio.Event()
    script = Script().says("ok").waits_for(more).forever()
    async with open_api(script, settings={"runs_at_once_max": 2, "runs_waiting_max": 3}) as api:
        body = {"assistant_id": await api.assistant(), "thread": {}}
        answers = await asyncio.gather(
            *(api.server.post("/v1/threads/runs", body) for _ in range(30))
        )
        taken = [answer.json() for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(taken) == 5
        assert {answer.status_code for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"5"}
        await api.backend.arrived(2)
        assert len(api.backend.chats) == 2
        more.set()
        assert {(await api.ended(run))["status"] for run in taken} == {"completed"}
        assert len(api.backend.chats) == 5
        assert (await api.server.post("/v1/threads/runs", body)).status_code == 200


async def test_a_run_that_waits_for_room_expires_in_its_time_and_is_never_begun(
    open_api: Any,
) -> None:
    never, clock = asyncio.Event(), FixedClock()
    settings = {"runs_at_once_max": 1, "expiry_poll_s": 0.01, "run_s": 600}
    script = Script().says("ok").waits_for(never).forever()
    async with open_api(script, settings=settings, clock=clock) as api:
        assistant = await api.assistant()
        await api.run(await api.thread("first"), assistant)
        await api.backend.arrived()
        clock.move(300)
        waits = await api.run(await api.thread("second"), assistant)
        later = await api.run(await api.thread("third"), assistant)
        clock.move(601)
        for run in (waits, later):
            ended = await api.ended(run)
            assert ended["status"] == "expired"
            assert ended["last_error"]["code"] == "rate_limit_exceeded"
            assert "waited for its turn" in ended["last_error"]["message"]
        assert len(api.backend.chats) == 1
