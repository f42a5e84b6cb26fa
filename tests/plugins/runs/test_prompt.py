"""What a model is asked for: which tools, which choice among them, and in which form to answer."""

from __future__ import annotations

from typing import Any

import pytest

from famulus.testing import Script, tool

pytestmark = pytest.mark.anyio

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
BOOK = {"type": "function", "function": {"name": "book_table"}}
NAMED = {"type": "function", "function": {"name": "get_weather"}}

weather = tool("get_weather", {"city": "Oslo"})


async def asked(
    open_api: Any, script: Any = None, *, tools: Any = (WEATHER, BOOK), **run: Any
) -> Any:
    """The bodies of the requests that a run made, and the run."""
    async with open_api(script or Script().says("ok")) as api:
        assistant = await api.assistant(tools=list(tools))
        ended = await api.ran(await api.thread("How is the weather?"), assistant, **run)
        return [received.body for received in api.backend.chats], ended


# --- tool_choice ---------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": None}])
async def test_a_model_that_may_choose_is_told_only_of_its_tools(
    open_api: Any, choice: Any
) -> None:
    (body,), _ = await asked(open_api, **choice)
    assert [each["function"]["name"] for each in body["tools"]] == ["get_weather", "book_table"]
    assert "tool_choice" not in body


async def test_a_model_that_may_call_nothing_is_offered_nothing(open_api: Any) -> None:
    (body,), _ = await asked(open_api, tool_choice="none")
    assert "tools" not in body
    assert "tool_choice" not in body


async def test_a_call_of_a_model_that_may_call_nothing_is_not_run(open_api: Any) -> None:
    script = Script().calls(weather).says("I may not look.")
    bodies, run = await asked(open_api, script, tool_choice="none")
    assert bodies[1]["messages"][-1]["content"].startswith("Error: there is no tool")
    assert run["status"] == "completed"


async def test_a_call_written_as_text_stays_text_where_nothing_may_be_called(
    open_api: Any,
) -> None:
    text = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
    bodies, run = await asked(open_api, Script().says(text), tool_choice="none")
    assert len(bodies) == 1
    assert run["status"] == "completed"


async def test_a_model_is_required_to_call_something(open_api: Any) -> None:
    (body, _), _ = await asked(
        open_api, Script().calls(weather).says("Sunny."), tool_choice="required"
    )
    assert body["tool_choice"] == "required"


async def test_a_model_is_required_to_call_one_function(open_api: Any) -> None:
    (body, _), _ = await asked(open_api, Script().calls(weather).says("Sunny."), tool_choice=NAMED)
    assert body["tool_choice"] == NAMED


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_a_model_that_has_called_is_free_to_answer(open_api: Any, choice: Any) -> None:
    (_, body), run = await asked(
        open_api, Script().calls(weather).says("Sunny."), tool_choice=choice
    )
    assert "tool_choice" not in body
    assert len(body["tools"]) == 2
    assert run["status"] == "completed"


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_a_run_goes_on_with_the_text_of_a_model_that_does_not_obey(
    open_api: Any, choice: Any
) -> None:
    bodies, run = await asked(open_api, Script().says("I would rather talk."), tool_choice=choice)
    assert len(bodies) == 1
    assert run["status"] == "completed"


async def test_the_runs_choice_is_echoed(open_api: Any) -> None:
    _, run = await asked(open_api, tool_choice=NAMED)
    assert run["tool_choice"] == NAMED


# --- parallel_tool_calls -----------------------------------------------------------------------


async def test_that_calls_may_be_parallel_is_not_said(open_api: Any) -> None:
    (body,), _ = await asked(open_api, parallel_tool_calls=True)
    assert "parallel_tool_calls" not in body


async def test_that_calls_are_to_come_one_by_one_is_said(open_api: Any) -> None:
    (body,), _ = await asked(open_api, parallel_tool_calls=False)
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize("run", [{"tools": []}, {"tool_choice": "none"}])
async def test_nothing_is_said_of_calls_where_there_are_no_tools(open_api: Any, run: Any) -> None:
    (body,), _ = await asked(open_api, parallel_tool_calls=False, **run)
    assert "parallel_tool_calls" not in body
    assert "tools" not in body


async def test_of_calls_that_come_at_once_nevertheless_the_first_is_made(open_api: Any) -> None:
    script = Script().calls(weather, tool("book_table", {})).says("Sunny.")
    (_, body), run = await asked(open_api, script, parallel_tool_calls=False)
    assert run["status"] == "completed"
    assert [call["function"]["name"] for call in body["messages"][-2]["tool_calls"]] == [
        "get_weather"
    ]


# --- functions -----------------------------------------------------------------------------------


async def test_a_function_is_offered_as_it_was_defined(open_api: Any) -> None:
    (body,), _ = await asked(open_api, tools=[WEATHER])
    assert body["tools"] == [WEATHER]


async def test_a_strict_function_is_offered_as_strict(open_api: Any) -> None:
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    (body,), _ = await asked(open_api, tools=[strict])
    assert body["tools"] == [strict]


async def test_tools_of_a_run_take_the_place_of_its_assistants(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        assistant = await api.assistant(tools=[WEATHER])
        await api.ran(await api.thread("hi"), assistant, tools=[BOOK])
        assert api.backend.chats[0].body["tools"] == [BOOK]


# --- response_format -----------------------------------------------------------------------------

SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "description": "What is asked for.",
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "strict": True,
    },
}


@pytest.mark.parametrize("format", ["auto", {"type": "text"}, None])
async def test_plain_text_is_not_asked_for(open_api: Any, format: Any) -> None:
    (body,), _ = await asked(open_api, response_format=format)
    assert "response_format" not in body


@pytest.mark.parametrize("format", [{"type": "json_object"}, SCHEMA])
async def test_a_form_is_asked_for_as_the_client_wrote_it(open_api: Any, format: Any) -> None:
    (body,), run = await asked(open_api, response_format=format)
    assert body["response_format"] == format
    assert run["response_format"] == format


async def test_a_form_is_asked_for_in_every_answer_of_a_run(open_api: Any) -> None:
    bodies, _ = await asked(
        open_api, Script().calls(weather).says('{"a": 1}'), response_format=SCHEMA
    )
    assert [body["response_format"] for body in bodies] == [SCHEMA, SCHEMA]


async def test_an_assistants_form_holds_for_its_runs(open_api: Any) -> None:
    async with open_api(Script().says("{}")) as api:
        assistant = await api.assistant(response_format={"type": "json_object"})
        await api.ran(await api.thread("hi"), assistant)
        assert api.backend.chats[0].body["response_format"] == {"type": "json_object"}
