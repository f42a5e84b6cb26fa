"""Notes as a client meets them, and as a model does."""

from __future__ import annotations

from typing import Any

from famulus.testing import TestServer, kernel_with
from famulus_schemas.runs import Run
from famulus_schemas.tooling import ToolCall, ToolOutput, ToolScope

RUN = Run(
    id="run_1",
    created_at=1,
    thread_id="thread_1",
    assistant_id="asst_1",
    status="in_progress",
    model="echo",
)


async def test_a_note_is_kept_and_served_again() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        made = await server.post("/v1/notes", {"text": "Buy milk"})
        assert made.status_code == 200
        assert (await server.get(f"/v1/notes/{made.json()['id']}")).json() == made.json()


async def test_notes_are_listed_newest_first() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        for text in ("one", "two", "three"):
            await server.post("/v1/notes", {"text": text})
        page = (await server.get("/v1/notes", params={"limit": 2})).json()
        assert [note["text"] for note in page["data"]] == ["three", "two"]
        assert page["has_more"] is True


async def test_a_note_that_is_empty_or_has_other_keys_is_refused() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        empty = await server.post("/v1/notes", {"text": ""})
        assert (empty.status_code, empty.json()["error"]["param"]) == (400, "text")
        other = await server.post("/v1/notes", {"text": "x", "colour": "red"})
        assert (other.status_code, other.json()["error"]["param"]) == (400, "colour")


async def test_the_tool_finds_notes_by_word() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        for text in ("Milk is out", "Call Ada", "Buy oat milk"):
            await server.post("/v1/notes", {"text": text})
        assert (await looked_up(server, '{"word": "milk"}')).text == "Buy oat milk\nMilk is out"
        assert "No note contains" in (await looked_up(server, '{"word": "sugar"}')).text


async def test_the_tool_looks_past_the_first_page() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        await server.post("/v1/notes", {"text": "the needle"})
        for number in range(120):
            await server.post("/v1/notes", {"text": f"hay {number}"})
        assert (await looked_up(server, '{"word": "needle"}')).text == "the needle"


async def test_the_tool_answers_with_no_more_than_the_setting_says() -> None:
    settings = {"example_notes": {"found_max": 2}}
    async with kernel_with("sqlite", "example_notes", settings=settings) as server:
        for number in range(4):
            await server.post("/v1/notes", {"text": f"milk {number}"})
        assert (await looked_up(server, '{"word": "milk"}')).text == "milk 3\nmilk 2"


async def test_the_tool_sees_only_the_notes_of_its_project() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        await server.post("/v1/notes", {"text": "milk"})
        assert "No note" in (await looked_up(server, '{"word": "milk"}', project="other")).text


async def test_arguments_that_do_not_fit_are_told_to_the_model() -> None:
    async with kernel_with("sqlite", "example_notes") as server:
        output = await looked_up(server, '{"wrod": "milk"}')
        assert output.is_error
        assert "word" in output.text


async def looked_up(server: TestServer, arguments: str, *, project: str = "default") -> ToolOutput:
    """What the tool answers a model."""
    [kind] = server.plugin("example_notes").register_tools()
    definition: dict[str, Any] = {"type": "function", "function": {"name": "look_up_notes"}}
    [offered] = kind.offers(definition)
    scope = ToolScope(project=project, run=RUN, definition=definition)
    call = ToolCall(id="call_1", name=offered.name, arguments=arguments)
    outputs = [output async for output in kind.run(call, scope)]
    last: ToolOutput = outputs[-1]
    return last
