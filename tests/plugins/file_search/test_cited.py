"""Citations of a run: those that its model wrote, and those that the server puts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from openai import AsyncAssistantEventHandler, AsyncOpenAI
from tests.plugins.file_search.conftest import LEAVE, SEARCH, SICK, STORE, Searches
from tests.plugins.runs.added_up import added_up
from tests.plugins.runs.conftest import PLUGINS
from tests.plugins.runs.test_replay import again, stream

from famulus import NoSettings, Plugin, hookimpl
from famulus.testing import Script, ScriptedBackend, live_server, make_kernel, tool
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import (
    Citer,
    Mark,
    Source,
    SourceSpan,
    ToolCall,
    ToolKind,
    ToolOutput,
    ToolScope,
)

search = tool("file_search", {"queries": ["holiday"]}, id="call_s")
HANDBOOK, SICKNESS = "【0:0†handbook.md】", "【0:1†sickness.md】"
SAYS = (
    "Of course. You have 28 days of paid holiday a year. "
    "From the third day on, a doctor's certificate is needed 【0:1】. Enjoy them!"
)
CITED = (
    f"Of course. You have 28 days of paid holiday a year.{HANDBOOK} "
    f"From the third day on, a doctor's certificate is needed {SICKNESS}. Enjoy them!"
)


def places(text: Any) -> list[tuple[str, str]]:
    """The marks and files of a text's annotations, which stand where they say."""
    for one in text["annotations"]:
        assert text["value"][one["start_index"] : one["end_index"]] == one["text"]
    return [(one["text"], one["file_citation"]["file_id"]) for one in text["annotations"]]


# -- what the message says -----------------------------------------------------------------


async def test_what_the_model_did_not_cite_the_server_does(open_search: Any) -> None:
    async with open_search(Script().calls(search).says(SAYS).cut_by(3)) as api:
        text = await api.answer(await api.ran(*await api.asked()))
        assert text["value"] == CITED
        assert places(text) == [(HANDBOOK, "file_handbook"), (SICKNESS, "file_sickness")]


async def test_citations_can_be_left_to_the_model(open_search: Any) -> None:
    script = Script().calls(search).says(SAYS)
    async with open_search(script, settings={"citations": "written"}) as api:
        text = await api.answer(await api.ran(*await api.asked()))
        assert text["value"] == SAYS.replace("【0:1】", SICKNESS)
        assert places(text) == [(SICKNESS, "file_sickness")]


@pytest.mark.parametrize(
    "says",
    [
        "Every employee has 30 days of paid holiday a year.",
        "Every employee has no paid holiday.",
        "Do you mean the 28 days of paid holiday a year?",
        "I could not find whether every employee has 28 days of paid holiday a year.",
        "Hello! How are you?",
        f"```\n{LEAVE}\n```",
        '{"answer": "Every employee has 28 days of paid holiday a year."}',
    ],
)
async def test_what_no_passage_says_is_not_cited(says: str, open_search: Any) -> None:
    async with open_search(Script().calls(search).says(says)) as api:
        text = await api.answer(await api.ran(*await api.asked()))
        assert text == {"value": says, "annotations": []}


async def test_an_answer_that_must_be_json_is_left_as_it_is(open_search: Any) -> None:
    says = '"Every employee has 28 days of paid holiday a year. 【0:0】 And so on."'
    async with open_search(Script().calls(search).says(says)) as api:
        fields = {"response_format": {"type": "json_object"}}
        text = await api.answer(await api.ran(*await api.asked(), **fields))
        assert text == {"value": says, "annotations": []}


async def test_before_a_search_nothing_is_cited(open_search: Any) -> None:
    async with open_search(Script().says(f"{LEAVE} {HANDBOOK}")) as api:
        text = await api.answer(await api.ran(*await api.asked()))
        assert text == {"value": f"{LEAVE} {HANDBOOK}", "annotations": []}


async def test_every_round_of_searches_can_be_cited(open_search: Any) -> None:
    first = "Let me look. Every employee has 28 days of paid holiday a year."
    again_ = tool("file_search", {"queries": ["sick"]}, id="call_t")
    script = Script().calls(search).says(first).and_calls(again_).says(f"{SICK} {LEAVE}")
    async with open_search(script) as api:
        run = await api.ran(*await api.asked())
        one, two = await api.messages(run["thread_id"], run_id=run["id"])
        assert places(one["content"][0]["text"]) == [(HANDBOOK, "file_handbook")]
        # The first of those that say the same.
        assert [mark for mark, _ in places(two["content"][0]["text"])] == [
            SICKNESS,
            HANDBOOK,
            HANDBOOK,
        ]


async def test_a_mark_of_an_earlier_run_is_not_taken_for_one_of_this(open_search: Any) -> None:
    script = Script().calls(search).says("So it is 【0:0†contract.pdf】.")
    async with open_search(script) as api:
        text = await api.answer(await api.ran(*await api.asked()))
        assert text == {"value": "So it is 【0:0†contract.pdf】.", "annotations": []}


async def test_an_answer_that_was_cut_off_is_cited_as_far_as_it_is_whole(open_search: Any) -> None:
    says = f"{SICK} Every employee has 28 days of paid holiday"
    async with open_search(Script().calls(search).says(says).finishes("length")) as api:
        text = await api.answer(await api.ran(*await api.asked()))
        assert text["value"] == says.replace(SICK, SICK + SICKNESS)


# -- what is streamed ----------------------------------------------------------------------


async def test_a_mark_is_streamed_right_behind_its_sentence(open_search: Any) -> None:
    script = Script().calls(search).says(f"{SICK} More of it.").cut_by(4)
    async with open_search(script) as api:
        heard = await stream(api, *await api.asked())
        values: list[str] = []
        for event in heard:
            if event.name == "thread.message.delta":
                (block,) = event.json()["delta"]["content"]
                values.append(block["text"]["value"])
                if SICKNESS in values[-1]:
                    (cited,) = block["text"]["annotations"]
                    assert cited["start_index"] == len(SICK)
        assert "".join(values) == f"{SICK}{SICKNESS} More of it."
        assert values.index(SICKNESS) < len(values) - 2


async def test_whoever_comes_back_has_the_same_from_every_place(open_search: Any) -> None:
    async with open_search(Script().calls(search).says(SAYS).cut_by(5)) as api:
        heard = await stream(api, *await api.asked())
        run, whole = heard[0].json(), added_up(heard)
        for number, event in enumerate(heard[:-1]):
            rest = await again(api, run, event.id)
            assert added_up([*heard[: number + 1], *rest]) == whole


async def test_a_run_that_is_taken_up_cites_what_its_first_worker_found(open_search: Any) -> None:
    never = asyncio.Event()
    lost = Script().calls(search).says(SAYS).waits_for(never, after=9)
    async with open_search(lost, runs={"checkpoint_ms": 0, "finish_s": 0.0}) as api:
        thread, assistant = await api.asked()
        run = await api.run(thread, assistant)
        async with asyncio.timeout(20):
            while not any(one["content"] for one in await api.messages(thread, run_id=run["id"])):
                await asyncio.sleep(0.005)
    async with open_search(Script().says(SAYS)) as api:
        ended = await api.ended(run)
        assert ended["status"] == "completed"
        assert api.searches.asked == []
        assert (await api.answer(run))["value"] == CITED
        assert len(places(await api.answer(run))) == 2


# -- the official client -------------------------------------------------------------------


@asynccontextmanager
async def client_of(tmp_path: Path, backend: ScriptedBackend) -> AsyncIterator[AsyncOpenAI]:
    kernel = make_kernel(
        *PLUGINS,
        "keys",
        "functions",
        "file_search",
        Searches,
        data_dir=tmp_path,
        backend=backend,
        settings={"keys": {"api_key": "sk-test"}},
    )
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client,
    ):
        yield client


async def test_the_official_client_adds_up_what_it_then_retrieves(tmp_path: Path) -> None:
    texts = [
        SAYS,
        f"{LEAVE}\n\n- {SICK}\n- nothing else\n",
        f"Yes: {LEAVE} [0:0†source] {SICK}【0:1†Sicknes.md】 The end",
    ]
    backend = ScriptedBackend(Script())
    async with client_of(tmp_path, backend) as client:
        assistant = await client.beta.assistants.create(
            model="scripted",
            tools=SEARCH,  # type: ignore[arg-type]
            tool_resources=STORE,  # type: ignore[arg-type]
        )
        for text in texts:
            for size in (1, 2, 7, 40, 1000):
                backend.play(Script().calls(search).says(text).cut_by(size))
                thread = await client.beta.threads.create(
                    messages=[{"role": "user", "content": "How many?"}]
                )
                async with client.beta.threads.runs.stream(
                    thread_id=thread.id,
                    assistant_id=assistant.id,
                    event_handler=AsyncAssistantEventHandler(),
                ) as events:
                    await events.until_done()
                    (said,) = await events.get_final_messages()
                kept = await client.beta.threads.messages.retrieve(said.id, thread_id=thread.id)
                content = said.content[0].text  # type: ignore[union-attr]
                assert content.value == kept.content[0].text.value  # type: ignore[union-attr]
                assert [
                    (one.text, one.start_index, one.end_index) for one in content.annotations
                ] == [
                    (one.text, one.start_index, one.end_index)
                    for one in kept.content[0].text.annotations  # type: ignore[union-attr]
                ]
                assert len(content.annotations) >= 2
                # What clients do with them: each becomes a footnote.
                value = content.value
                for number, one in enumerate(content.annotations):
                    assert content.value[one.start_index : one.end_index] == one.text
                    value = value.replace(one.text, f" [{number}]")
                assert "【" not in value


# -- a stranger's kind ---------------------------------------------------------------------


class Notes:
    """Gives one note, and cites it as a test says."""

    type = "function"
    place: Literal["server", "client"] = "server"

    def __init__(self, fails_at: str = "") -> None:
        self._fails_at = fails_at

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name == "read_notes" else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        mark = Mark(text="[note 1]", file_id="file_note")
        span = SourceSpan(start=6, end=16, mark=mark)
        yield ToolOutput(text="note: It rained.", marks=(mark,), sources=(span,))

    async def citer(self, sources: Sequence[Source]) -> Citer | None:
        assert [source.text for source in sources] == ["It rained."]
        if self._fails_at == "citer":
            raise RuntimeError("no words")
        return self

    def cite(self, sentence: str) -> Sequence[Mark]:
        if self._fails_at == "cite":
            raise RuntimeError("no sentence")
        return [Mark(text="[note 1]", file_id="file_note")] if "rain" in sentence else []


@pytest.mark.parametrize("fails_at", ["", "citer", "cite"])
async def test_any_kind_can_cite_and_none_can_fail_a_run_by_it(
    fails_at: str, open_search: Any
) -> None:
    class Brings(Plugin[NoSettings]):
        """Brings the kind."""

        name = "brings_notes"

        @hookimpl
        def register_tools(self) -> list[ToolKind]:
            return [Notes(fails_at)]

    script = Script().calls(tool("read_notes", {})).says("There was rain. There was snow.")
    async with open_search(script, also=(Brings,)) as api:
        tools = [{"type": "function", "function": {"name": "read_notes"}}]
        run = await api.ran(await api.thread("How was it?"), await api.assistant(tools=tools))
        assert run["status"] == "completed"
        text = await api.answer(run)
        if fails_at:
            assert text == {"value": "There was rain. There was snow.", "annotations": []}
        else:
            assert text["value"] == "There was rain.[note 1] There was snow."
            assert places(text) == [("[note 1]", "file_note")]
