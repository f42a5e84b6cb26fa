"""Assistants over HTTP: what is answered, and what is refused with which words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from famulus import hookimpl
from famulus.plugin import NoSettings, Plugin
from famulus.testing import TestServer, kernel_with
from famulus_schemas.errors import Problem
from famulus_schemas.identity import Principal
from famulus_schemas.records import Unit, Write

pytestmark = pytest.mark.anyio

ASSISTANTS = "/v1/assistants"

AS_CREATED = {
    "id": "asst_1",
    "object": "assistant",
    "created_at": 1_700_000_000,
    "name": None,
    "description": None,
    "model": "gpt-4o",
    "instructions": None,
    "tools": [],
    "tool_resources": {},
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "response_format": "auto",
}

FULL = {
    "model": "gpt-4o",
    "name": "Math Tutor",
    "description": "Helps.",
    "instructions": "You are a tutor.",
    "tools": [
        {"type": "code_interpreter"},
        {
            "type": "file_search",
            "file_search": {
                "max_num_results": 5,
                "ranking_options": {"score_threshold": 0.5, "ranker": "auto"},
            },
        },
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells it.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                "strict": True,
            },
        },
    ],
    "tool_resources": {
        "code_interpreter": {"file_ids": ["file-1", "file-2"]},
        "file_search": {"vector_store_ids": ["vs_1"]},
    },
    "metadata": {"a": "b"},
    "temperature": 0.25,
    "top_p": 0.5,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    },
}


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def error_of(response: Any) -> tuple[int, str, str | None, str | None]:
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return response.status_code, error["message"], error["param"], error["code"]


async def create(server: TestServer, **fields: Any) -> Any:
    response = await server.post(ASSISTANTS, {"model": "gpt-4o", **fields})
    assert response.status_code == 200, response.text
    return response.json()


async def ids_of(server: TestServer, query: str = "") -> list[str]:
    response = await server.get(f"{ASSISTANTS}?{query}")
    assert response.status_code == 200, response.text
    return [assistant["id"] for assistant in response.json()["data"]]


# --- create ---------------------------------------------------------------------------------------


async def test_an_assistant_needs_only_a_model(server: TestServer) -> None:
    assert await create(server) == AS_CREATED


async def test_what_is_null_is_as_if_it_were_absent(server: TestServer) -> None:
    nulls = dict.fromkeys(
        (
            "name",
            "description",
            "instructions",
            "reasoning_effort",
            "tool_resources",
            "metadata",
            "temperature",
            "top_p",
            "response_format",
        )
    )
    assert await create(server, **nulls) == AS_CREATED


async def test_an_assistant_keeps_all_that_it_is_given(server: TestServer) -> None:
    assert await create(server, **FULL) == {**AS_CREATED, **FULL}


async def test_an_assistant_is_retrieved_and_listed_as_it_was_answered(server: TestServer) -> None:
    created = await server.post(ASSISTANTS, FULL)
    assert (await server.get(f"{ASSISTANTS}/asst_1")).content == created.content
    assert (await server.get(ASSISTANTS)).json()["data"] == [created.json()]


async def test_zero_is_kept_as_zero(server: TestServer) -> None:
    created = await create(server, temperature=0, top_p=0)
    assert (created["temperature"], created["top_p"]) == (0, 0)


async def test_a_model_that_is_not_served_can_still_be_named(server: TestServer) -> None:
    assert (await create(server, model="gpt-4-1106-preview"))["model"] == "gpt-4-1106-preview"


async def test_each_tool_that_needs_resources_has_an_entry(server: TestServer) -> None:
    created = await create(server, tools=[{"type": "code_interpreter"}])
    assert created["tool_resources"] == {"code_interpreter": {"file_ids": []}}
    created = await create(server, tools=[{"type": "file_search"}])
    assert created["tool_resources"] == {"file_search": {"vector_store_ids": []}}


async def test_reasoning_effort_is_not_answered(server: TestServer) -> None:
    assert await create(server, reasoning_effort="high") == AS_CREATED
    assert (await server.get(f"{ASSISTANTS}/asst_1")).json() == AS_CREATED


async def test_reasoning_effort_is_told_to_who_runs_the_assistant(
    server: TestServer, reader: Any
) -> None:
    await create(server, reasoning_effort="high")
    assert (await reader.assistants.get("default", "asst_1")).reasoning_effort == "high"
    await server.post(f"{ASSISTANTS}/asst_1", {"name": "n"})
    assert (await reader.assistants.get("default", "asst_1")).reasoning_effort == "high"
    await server.post(f"{ASSISTANTS}/asst_1", {"reasoning_effort": "low"})
    assert (await reader.assistants.get("default", "asst_1")).reasoning_effort == "low"
    await server.post(f"{ASSISTANTS}/asst_1", {"reasoning_effort": None})
    assert (await reader.assistants.get("default", "asst_1")).reasoning_effort is None


async def test_who_runs_assistants_sees_what_clients_see(server: TestServer, reader: Any) -> None:
    await create(server, **FULL)
    assistant = await reader.assistants.get("default", "asst_1")
    assert assistant.name == "Math Tutor"
    assert assistant.tools[2].function.name == "weather"
    assert assistant.tool_resources.file_search.vector_store_ids == ["vs_1"]


@pytest.mark.parametrize("project, id", [("default", "asst_9"), ("other", "asst_1")])
async def test_who_runs_assistants_is_told_of_a_missing_one(
    server: TestServer, reader: Any, project: str, id: str
) -> None:
    await create(server)
    with pytest.raises(Problem, match=f"No assistant found with id '{id}'.") as refused:
        await reader.assistants.get(project, id)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "body, param, code",
    [
        ({}, "model", "missing_required_parameter"),
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "empty_string"),
        ({"model": "m", "file_ids": []}, "file_ids", "unknown_parameter"),
        ({"model": "m", "name": "x" * 257}, "name", "string_above_max_length"),
        ({"model": "m", "description": "x" * 513}, "description", "string_above_max_length"),
        ({"model": "m", "instructions": "x" * 256_001}, "instructions", "string_above_max_length"),
        ({"model": "m", "tools": [function("f")] * 129}, "tools", "array_above_max_length"),
        ({"model": "m", "tools": [function("a b")]}, "tools[0].function.name", "invalid_value"),
        ({"model": "m", "tools": [{"type": "magic"}]}, "tools[0].type", "invalid_value"),
        ({"model": "m", "temperature": 2.1}, "temperature", "decimal_above_max_value"),
        ({"model": "m", "top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"model": "m", "reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
        ({"model": "m", "metadata": {"k": "v" * 513}}, "metadata.k", "string_above_max_length"),
        (
            {"model": "m", "tool_resources": {"code_interpreter": {"file_ids": ["f"] * 21}}},
            "tool_resources.code_interpreter.file_ids",
            "array_above_max_length",
        ),
        (
            {"model": "m", "tool_resources": {"file_search": {}}},
            "tool_resources.file_search.vector_store_ids",
            "missing_required_parameter",
        ),
        (
            {"model": "m", "tool_resources": {"file_search": {"vector_stores": [{}]}}},
            "tool_resources.file_search.vector_stores",
            "unsupported",
        ),
    ],
)
async def test_a_body_that_is_no_assistant_is_refused(
    server: TestServer, body: dict[str, Any], param: str, code: str
) -> None:
    refused = await server.post(ASSISTANTS, body)
    assert error_of(refused)[0] == 400
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == (param, code)
    assert await ids_of(server) == []


async def test_two_functions_of_one_name_are_refused(server: TestServer) -> None:
    tools = [function("f"), {"type": "code_interpreter"}, function("g"), function("f")]
    error = (
        400,
        (
            "Invalid 'tools[3].function.name': there is another function named 'f'. "
            "Give each a name of its own."
        ),
        "tools[3].function.name",
        "invalid_value",
    )
    assert error_of(await server.post(ASSISTANTS, {"model": "m", "tools": tools})) == error
    await create(server)
    assert error_of(await server.post(f"{ASSISTANTS}/asst_1", {"tools": tools})) == error


# --- modify ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FULL if name != "tool_resources"])
async def test_one_field_changes_and_all_others_stay(server: TestServer, name: str) -> None:
    await create(server, **FULL)
    values: dict[str, Any] = {
        "model": "other",
        "name": "other",
        "description": "other",
        "instructions": "other",
        "tools": FULL["tools"][::-1],  # type: ignore[index]
        "metadata": {"c": "d"},
        "temperature": 2,
        "top_p": 1,
        "response_format": {"type": "text"},
    }
    changed = await server.post(f"{ASSISTANTS}/asst_1", {name: values[name]})
    assert changed.json() == {**AS_CREATED, **FULL, name: values[name]}
    assert (await server.get(f"{ASSISTANTS}/asst_1")).content == changed.content


@pytest.mark.parametrize(
    "name, cleared",
    [
        ("name", None),
        ("description", None),
        ("instructions", None),
        ("metadata", {}),
        ("temperature", 1.0),
        ("top_p", 1.0),
        ("response_format", "auto"),
        (
            "tool_resources",
            {"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}},
        ),
    ],
)
async def test_what_is_null_is_cleared(server: TestServer, name: str, cleared: Any) -> None:
    await create(server, **FULL)
    changed = await server.post(f"{ASSISTANTS}/asst_1", {name: None})
    assert changed.json() == {**AS_CREATED, **FULL, name: cleared}


async def test_nothing_changes_where_nothing_is_asked_for(server: TestServer) -> None:
    created = await server.post(ASSISTANTS, FULL)
    assert (await server.post(f"{ASSISTANTS}/asst_1", {})).content == created.content


async def test_a_tool_that_is_added_has_an_entry_among_the_resources(server: TestServer) -> None:
    await create(server, tool_resources={"code_interpreter": {"file_ids": ["file-1"]}})
    changed = await server.post(f"{ASSISTANTS}/asst_1", {"tools": [{"type": "file_search"}]})
    assert changed.json()["tool_resources"] == {
        "code_interpreter": {"file_ids": ["file-1"]},
        "file_search": {"vector_store_ids": []},
    }


@pytest.mark.parametrize(
    "body, param, code",
    [
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "empty_string"),
        ({"tools": None}, "tools", "invalid_type"),
        ({"id": "asst_2"}, "id", "unknown_parameter"),
        (
            {"tool_resources": {"file_search": {"vector_stores": [{}]}}},
            "tool_resources.file_search.vector_stores",
            "unknown_parameter",
        ),
    ],
)
async def test_a_change_that_cannot_be_is_refused(
    server: TestServer, body: dict[str, Any], param: str, code: str
) -> None:
    before = await create(server)
    refused = await server.post(f"{ASSISTANTS}/asst_1", body)
    assert error_of(refused)[0] == 400
    assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == (param, code)
    assert (await server.get(f"{ASSISTANTS}/asst_1")).json() == before


async def test_changes_of_different_fields_at_once_all_stay(server: TestServer) -> None:
    await create(server)
    fields = ["name", "description", "instructions", "model"]
    answers = await asyncio.gather(
        *(server.post(f"{ASSISTANTS}/asst_1", {field: "new"}) for field in fields * 5)
    )
    assert {answer.status_code for answer in answers} == {200}
    stored = (await server.get(f"{ASSISTANTS}/asst_1")).json()
    assert [stored[field] for field in fields] == ["new"] * 4


# The server refuses the NUL character, and JSON has no lone surrogates.
LETTERS = st.characters(codec="utf-8", exclude_characters="\0")

CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "name": st.none() | st.text(LETTERS, max_size=20),
    "description": st.none() | st.text(LETTERS, max_size=20),
    "model": st.text(LETTERS, min_size=1, max_size=20),
    "metadata": st.none()
    | st.dictionaries(
        st.text(LETTERS, min_size=1, max_size=9), st.text(LETTERS, max_size=9), max_size=16
    ),
    "temperature": st.none() | st.floats(0, 2),
    "top_p": st.none() | st.floats(0, 1),
    "response_format": st.none() | st.sampled_from(["auto", {"type": "json_object"}]),
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.fixed_dictionaries({}, optional=CHANGES), max_size=5))
async def test_an_assistant_is_what_its_changes_made_of_it(
    server: TestServer, changes: list[dict[str, Any]]
) -> None:
    expected = await create(server)
    path = f"{ASSISTANTS}/{expected['id']}"
    for change in changes:
        cleared = {**AS_CREATED, "model": expected["model"]}
        for name, value in change.items():
            expected[name] = cleared[name] if value is None else value
        answer = await server.post(path, change)
        assert answer.json() == expected
    assert (await server.get(path)).json() == expected


# --- list, delete ---------------------------------------------------------------------------------


async def test_assistants_are_listed_newest_first(server: TestServer) -> None:
    ids = [(await create(server))["id"] for _ in range(3)]
    page = (await server.get(ASSISTANTS)).json()
    assert [assistant["id"] for assistant in page.pop("data")] == ids[::-1]
    assert page == {"object": "list", "first_id": ids[2], "last_id": ids[0], "has_more": False}
    assert await ids_of(server, "order=asc&limit=2") == ids[:2]
    assert await ids_of(server, f"order=asc&limit=2&after={ids[1]}") == ids[2:]
    assert await ids_of(server, f"order=asc&before={ids[2]}") == ids[:2]


async def test_an_empty_list_has_no_ends(server: TestServer) -> None:
    assert (await server.get(ASSISTANTS)).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_a_deleted_assistant_still_works_as_a_cursor(server: TestServer) -> None:
    ids = [(await create(server))["id"] for _ in range(4)]
    await server.delete(f"{ASSISTANTS}/{ids[1]}")
    assert await ids_of(server, f"order=asc&after={ids[1]}") == ids[2:]


async def test_an_unknown_cursor_is_refused(server: TestServer) -> None:
    refused = await server.get(f"{ASSISTANTS}?after=asst_9")
    assert error_of(refused) == (
        400,
        "No object found with id 'asst_9' to use as 'after'.",
        "after",
        None,
    )


async def test_a_deleted_assistant_is_gone(server: TestServer) -> None:
    await create(server)
    path = f"{ASSISTANTS}/asst_1"
    assert (await server.delete(path)).json() == {
        "id": "asst_1",
        "object": "assistant.deleted",
        "deleted": True,
    }
    for response in (
        await server.get(path),
        await server.post(path, {"name": "n"}),
        await server.delete(path),
    ):
        assert error_of(response) == (404, "No assistant found with id 'asst_1'.", None, None)
    assert await ids_of(server) == []


async def test_another_projects_assistant_is_as_one_that_is_not_there(server: TestServer) -> None:
    mine = await create(server)
    path, other = f"{ASSISTANTS}/asst_1", {"x-test-project": "other"}
    for response in (
        await server.get(path, headers=other),
        await server.post(path, {"name": "stolen"}, headers=other),
        await server.delete(path, headers=other),
    ):
        assert error_of(response) == (404, "No assistant found with id 'asst_1'.", None, None)
    assert (await server.get(ASSISTANTS, headers=other)).json()["data"] == []
    assert (await server.get(f"{ASSISTANTS}?after=asst_1", headers=other)).status_code == 400
    assert (await server.get(path)).json() == mine


class Auditor(Plugin[NoSettings]):
    """Remembers every unit that it is asked to join."""

    name = "auditor"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.actions: list[str] = []

    @hookimpl
    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> list[Write]:
        self.actions.append(action)
        return []


async def test_every_change_can_be_joined_by_other_plugins() -> None:
    async with kernel_with("sqlite", "assistants", Auditor) as server:
        id = (await create(server))["id"]
        await server.post(f"{ASSISTANTS}/{id}", {"name": "n"})
        await server.delete(f"{ASSISTANTS}/{id}")
        assert server.plugin("auditor").actions == [
            "assistants.create",
            "assistants.modify",
            "assistants.delete",
        ]
