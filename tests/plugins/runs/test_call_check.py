"""Arguments that a model got wrong: put right, objected to once, and never a client's problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from famulus.testing import Script, ScriptedBackend, tool
from famulus_runs.engine import Engine
from famulus_runs.settings import RunSettings
from famulus_schemas.events import ThreadRunRequiresAction, ThreadRunStepCompleted
from famulus_schemas.inference import ChatChunk, ChatRequest, ToolCallDelta
from famulus_schemas.tools import FunctionDefinition, FunctionTool

pytestmark = pytest.mark.anyio

SEATS = {
    "type": "object",
    "properties": {"seats": {"type": "integer"}},
    "required": ["seats"],
}
BOOK = FunctionTool(function=FunctionDefinition(name="book_table", parameters=SEATS))
WEATHER = FunctionTool(
    function=FunctionDefinition(
        name="get_weather",
        parameters={"type": "object", "required": ["city"]},
    )
)
UNREADABLE = '{"seats": two}'


def book(arguments: str, **fields: Any) -> Any:
    return tool("book_table", arguments, **fields)


class Ran:
    """A run at rest, and what was seen of it."""

    def __init__(self, engine: Engine, events: list[Any], backend: ScriptedBackend) -> None:
        self.run = engine.run
        self.events = events
        self.told = [
            [message.content for message in received.chat.messages if message.role == "tool"]
            for received in backend.chats
        ]
        """The tool results that each request showed to the model."""

    @property
    def asked(self) -> list[tuple[str, str]]:
        """What the client was asked to call."""
        (event,) = [each for each in self.events if isinstance(each, ThreadRunRequiresAction)]
        calls = event.data.required_action.submit_tool_outputs.tool_calls  # type: ignore[union-attr]
        return [(call.function.name, call.function.arguments) for call in calls]

    @property
    def called(self) -> list[tuple[str, str | None]]:
        """Arguments and output of every call whose round is done."""
        return [
            (call.function.arguments, call.function.output)
            for event in self.events
            if isinstance(event, ThreadRunStepCompleted)
            for call in getattr(event.data.step_details, "tool_calls", ())
        ]


async def ran(harness: Any, script: Script | ScriptedBackend, **arguments: Any) -> Ran:
    backend = script if isinstance(script, ScriptedBackend) else ScriptedBackend(script)
    engine = harness.engine(backend, functions=(WEATHER, BOOK), **arguments)
    events = [event for batch in await harness.all(engine) for event in batch]
    return Ran(engine, events, backend)


# --- put right -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "got"),
    [
        ('{"seats": 2}', '{"seats": 2}'),
        ("{'seats': 2,}", '{"seats":2}'),
        ('```json\n{"seats": 2}\n```', '{"seats": 2}'),
        (r'"{\"seats\": 2}"', '{"seats": 2}'),
        ('{"seats": 2', '{"seats":2}'),
    ],
)
async def test_a_client_gets_arguments_that_parse(harness: Any, written: str, got: str) -> None:
    seen = await ran(harness, Script().calls(book(written)))
    assert seen.asked == [("book_table", got)]


async def test_no_arguments_are_an_empty_object(harness: Any) -> None:
    engine = harness.engine(Script().calls(tool("book_table", "")))
    events = [event for batch in await harness.all(engine) for event in batch]
    assert Ran(engine, events, ScriptedBackend()).asked == [("book_table", "{}")]


async def test_a_call_that_the_server_runs_is_put_right_too(harness: Any) -> None:
    calls = tool("get_weather", "{'city': 'Oslo'}")
    seen = await ran(harness, Script().calls(calls).says("Sunny."))
    assert seen.called == [('{"city":"Oslo"}', "sunny")]


async def test_arguments_past_the_limit_are_not_put_right(harness: Any) -> None:
    script = Script().calls(book("{'seats': 2}")).calls(book('{"seats": 2}'))
    seen = await ran(harness, script, settings=RunSettings(arguments_chars_max=5))
    assert "are not a JSON object" in seen.told[1][0]
    assert seen.asked == [("book_table", '{"seats": 2}')]


# --- objected to ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "objection"),
    [
        (
            UNREADABLE,
            (
                "Error: the arguments of book_table are not a JSON object: "
                '{"seats": two}. Call book_table again with arguments that are.'
            ),
        ),
        (
            '{"seats": "two"}',
            (
                "Error: the arguments of book_table do not fit: seats must be an integer, not a "
                "string. Call book_table again with arguments that do."
            ),
        ),
        (
            "{}",
            (
                "Error: the arguments of book_table do not fit: seats is missing. "
                "Call book_table again with arguments that do."
            ),
        ),
    ],
)
async def test_the_model_is_told_what_is_wrong_and_may_call_again(
    harness: Any, arguments: str, objection: str
) -> None:
    seen = await ran(harness, Script().calls(book(arguments)).calls(book('{"seats": 2}')))
    assert seen.told == [[], [objection]]
    assert seen.asked == [("book_table", '{"seats": 2}')]
    assert seen.called == [(arguments, objection)]


async def test_the_model_is_told_before_the_server_runs_a_call(harness: Any) -> None:
    seen = await ran(harness, Script().calls(tool("get_weather", "{}")).says("Never mind."))
    assert "city is missing" in seen.told[1][0]
    assert seen.run.status == "completed"


async def test_arguments_that_do_not_fit_twice_are_passed_as_they_are(harness: Any) -> None:
    script = Script().calls(book('{"seats": "two"}')).calls(book('{"seats": "zwei"}'))
    seen = await ran(harness, script)
    assert seen.asked == [("book_table", '{"seats": "zwei"}')]


async def test_a_run_fails_whose_client_could_not_read_the_arguments(harness: Any) -> None:
    seen = await ran(harness, Script().calls(book(UNREADABLE)).calls(book(UNREADABLE)))
    assert seen.run.status == "failed"
    assert seen.run.last_error.message == (
        "The model called book_table with arguments that are not a JSON object, and did so again "
        "after it was told."
    )
    assert not [each for each in seen.events if isinstance(each, ThreadRunRequiresAction)]


async def test_a_tool_of_the_server_is_left_to_say_itself_what_it_cannot_read(
    harness: Any,
) -> None:
    calls = tool("get_weather", "Oslo")
    seen = await ran(harness, Script().calls(calls).calls(calls).says("Sunny."))
    assert seen.called[1] == ("Oslo", "sunny")
    assert seen.run.status == "completed"


async def test_a_new_mistake_later_is_objected_to_again(harness: Any) -> None:
    weather = tool("get_weather", {"city": "Oslo"})
    script = Script().calls(tool("get_weather", "{}")).calls(weather)
    seen = await ran(harness, script.calls(tool("get_weather", "{}")).says("Well."))
    assert [len(told) for told in seen.told] == [0, 1, 2, 3]
    assert seen.told[3] == [seen.told[1][0], "sunny", seen.told[1][0]]


async def test_a_mistake_with_one_function_does_not_count_for_another(harness: Any) -> None:
    script = Script().calls(tool("get_weather", "{}")).calls(book("{}")).says("I give up.")
    seen = await ran(harness, script)
    assert "seats is missing" in seen.told[2][1]


async def test_what_fits_beside_what_does_not_is_still_called(harness: Any) -> None:
    good, bad = book('{"seats": 2}', id="call_good"), book("{}", id="call_bad")
    weather = tool("get_weather", {"city": "Oslo"}, id="call_weather")
    seen = await ran(harness, Script().calls(bad, good, weather))
    assert seen.asked == [("book_table", '{"seats": 2}')]
    (waiting,) = [each.data for each in seen.events if type(each).__name__ == "Kept"][-1:]
    outputs = {call.id: call.function.output for call in waiting.step_details.tool_calls}
    assert outputs["call_good"] is None
    assert outputs["call_weather"] == "sunny"
    assert "seats is missing" in outputs["call_bad"]


async def test_a_call_that_a_limit_cut_off_ends_the_run_as_incomplete(harness: Any) -> None:
    seen = await ran(harness, Script().calls(book('{"seats": 2')).finishes("length"))
    assert seen.run.status == "incomplete"
    assert seen.run.incomplete_details.reason == "max_completion_tokens"
    assert not [each for each in seen.events if isinstance(each, ThreadRunRequiresAction)]


async def test_a_whole_call_is_made_even_if_a_limit_ended_the_answer(harness: Any) -> None:
    seen = await ran(harness, Script().calls(book('{"seats": 2}')).finishes("length"))
    assert seen.asked == [("book_table", '{"seats": 2}')]


# --- calls written as text -----------------------------------------------------------------------


async def test_a_call_written_as_text_reaches_the_client(harness: Any) -> None:
    text = 'I book.\n<tool_call>{"name": "book_table", "arguments": {"seats": 2}}</tool_call>'
    seen = await ran(harness, Script().says(text))
    assert seen.asked == [("book_table", '{"seats": 2}')]


async def test_a_call_written_as_text_is_objected_to_as_any(harness: Any) -> None:
    text = '<tool_call>{"name": "book_table", "arguments": {"seats": two}}</tool_call>'
    seen = await ran(harness, Script().says(text).says("I cannot."))
    assert "are not a JSON object" in seen.told[1][0]
    assert seen.run.status == "completed"


async def test_a_function_that_is_not_offered_stays_text(harness: Any) -> None:
    text = '<tool_call>{"name": "launch", "arguments": {}}</tool_call>'
    seen = await ran(harness, Script().says(text))
    assert seen.run.status == "completed"
    (message,) = [each.data for each in seen.events if type(each).__name__ == MESSAGE_DONE]
    assert message.content[0].text.value == text


async def test_reading_calls_out_of_text_can_be_turned_off(harness: Any) -> None:
    text = '{"name": "book_table", "arguments": {"seats": 2}}'
    seen = await ran(
        harness, Script().says(text), settings=RunSettings(textual_call_lookahead_chars=0)
    )
    assert seen.run.status == "completed"


MESSAGE_DONE = "ThreadMessageCompleted"


class Talker(ScriptedBackend):
    """Goes on talking after its calls."""

    async def chat(self, request: ChatRequest) -> Any:
        if not [message for message in request.messages if message.role == "tool"]:
            call = ToolCallDelta(index=0, id="c1", name="get_weather", arguments='{"city": "O"}')
            yield [ChatChunk(tool_calls=(call,))]
            yield [ChatChunk(content="I am looking.")]
            yield [ChatChunk(finish_reason="tool_calls")]
            return
        async for batch in super().chat(request):
            yield batch


async def test_text_after_calls_is_a_message_of_its_own(harness: Any) -> None:
    seen = await ran(harness, Talker(Script().says("Sunny.")))
    done = [each.data for each in seen.events if type(each).__name__ == MESSAGE_DONE]
    assert [message.content[0].text.value for message in done] == ["I am looking.", "Sunny."]


# --- one call at a time, and what is logged ------------------------------------------------------


async def test_where_calls_come_one_by_one_the_first_is_taken(harness: Any) -> None:
    calls: Sequence[Any] = [book('{"seats": 1}'), book('{"seats": 2}'), book('{"seats": 3}')]
    script = Script().calls(*calls).cut_by(4).interleaved()
    seen = await ran(harness, script, parallel_tool_calls=False)
    assert seen.asked == [("book_table", '{"seats": 1}')]
    dropped = [line for line in harness.logged if line["event"] == "parallel_calls_dropped"]
    assert [line["calls"] for line in dropped] == [2]


async def test_where_calls_may_be_parallel_all_are_taken(harness: Any) -> None:
    seen = await ran(harness, Script().calls(book('{"seats": 1}'), book('{"seats": 2}')))
    assert len(seen.asked) == 2
    assert harness.logged == []


async def test_each_answer_may_make_its_one_call(harness: Any) -> None:
    oslo = tool("get_weather", {"city": "Oslo"})
    bergen = tool("get_weather", {"city": "Bergen"})
    script = Script().calls(oslo, bergen).calls(bergen).says("Sunny.")
    seen = await ran(harness, script, parallel_tool_calls=False)
    assert [line["calls"] for line in harness.logged] == [1]
    assert [arguments for arguments, _ in seen.called] == ['{"city":"Oslo"}', '{"city":"Bergen"}']


async def test_a_tool_that_fails_is_logged_without_what_it_said(harness: Any) -> None:
    calls = tool("get_weather", {"city": "Atlantis"})
    await ran(harness, Script().calls(calls).says("I cannot say."))
    (line,) = harness.logged
    assert (line["event"], line["tool"], line["error"]) == (
        "tool_failed",
        "get_weather",
        "LookupError",
    )
    assert "no such city" not in str(line)


# --- in a server ---------------------------------------------------------------------------------

FUNCTIONS = [
    {"type": "function", "function": {"name": "book_table", "parameters": SEATS}},
]


async def test_a_run_that_waited_for_its_client_remembers_what_the_model_was_told(
    open_api: Any,
) -> None:
    good, bad = book('{"seats": 2}', id="call_good"), book(UNREADABLE, id="call_bad")
    async with open_api(Script().calls(good, bad).calls(book(UNREADABLE))) as api:
        run = await api.ran(await api.thread("Book"), await api.assistant(tools=FUNCTIONS))
        asked = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        assert [call["id"] for call in asked] == ["call_good"]
        await api.ok(await api.submit(run, call_good="booked"))
        ended = await api.ended(run)
        assert ended["status"] == "failed"
        assert "after it was told" in ended["last_error"]["message"]


async def test_a_model_is_never_shown_arguments_that_its_template_cannot_decode(
    open_api: Any,
) -> None:
    async with open_api(Script().calls(book(UNREADABLE)).says("Sorry.")) as api:
        await api.ran(await api.thread("Book"), await api.assistant(tools=FUNCTIONS))
        *_, called, told = api.backend.chats[1].chat.messages
        assert called.tool_calls[0].function.arguments == "{}"
        assert UNREADABLE in told.content


async def test_steps_show_a_call_as_the_model_made_it(open_api: Any) -> None:
    async with open_api(Script().calls(book(UNREADABLE)).says("Sorry.")) as api:
        run = await api.ran(await api.thread("Book"), await api.assistant(tools=FUNCTIONS))
        step, _ = await api.steps(run)
        (call,) = step["step_details"]["tool_calls"]
        assert call["function"]["arguments"] == UNREADABLE
        assert call["function"]["output"].startswith("Error: the arguments of book_table")
