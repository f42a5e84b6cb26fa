"""The official client, unmodified but for its base URL, runs assistants on a real socket."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncAssistantEventHandler, AsyncOpenAI
from tests.plugins.runs.formed_tools import Code, Search, plugin_of

from famulus.testing import Script, ScriptedBackend, live_server, make_kernel, tool

PLUGINS = (
    "sqlite",
    "events",
    "jobs",
    "keys",
    "assistants",
    "threads",
    "models",
    "functions",
    "runs",
)
KEY = "sk-test-key-of-the-sdk-suite"


@asynccontextmanager
async def client_of(
    tmp_path: Path, script: Script | ScriptedBackend, *plugins: Any
) -> AsyncIterator[AsyncOpenAI]:
    kernel = make_kernel(
        *PLUGINS,
        *plugins,
        data_dir=tmp_path,
        backend=script if isinstance(script, ScriptedBackend) else ScriptedBackend(script),
        settings={"keys": {"api_key": KEY}, "runs": {"poll_after_ms": 10}},
    )
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client,
    ):
        yield client


async def test_create_and_poll_gives_the_answer(tmp_path: Path) -> None:
    async with client_of(tmp_path, Script().says("Paris.").uses(9, 1)) as client:
        assistant = await client.beta.assistants.create(model="scripted", name="Guide")
        thread = await client.beta.threads.create(
            messages=[{"role": "user", "content": "Capital of France?"}]
        )
        run = await client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id
        )
        assert run.status == "completed"
        assert run.usage is not None
        assert run.usage.total_tokens == 10
        messages = [m async for m in client.beta.threads.messages.list(thread.id)]
        assert messages[0].content[0].text.value == "Paris."  # type: ignore[union-attr]


async def test_create_and_run_poll_gives_the_answer(tmp_path: Path) -> None:
    async with client_of(tmp_path, Script().says("Hello.")) as client:
        assistant = await client.beta.assistants.create(model="scripted")
        run = await client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hi"}]}
        )
        assert run.status == "completed"


class Heard(AsyncAssistantEventHandler):
    """Notes every callback."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.text = ""

    async def on_text_created(self, text: Any) -> None:
        self.calls.append("text_created")

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.text += delta.value or ""
        assert snapshot.value == self.text

    async def on_text_done(self, text: Any) -> None:
        self.calls.append("text_done")
        assert text.value == self.text

    async def on_run_step_created(self, run_step: Any) -> None:
        self.calls.append("run_step_created")

    async def on_run_step_done(self, run_step: Any) -> None:
        self.calls.append("run_step_done")

    async def on_message_done(self, message: Any) -> None:
        self.calls.append("message_done")

    async def on_end(self) -> None:
        self.calls.append("end")


async def test_a_stream_drives_the_event_handler(tmp_path: Path) -> None:
    async with client_of(tmp_path, Script().says("It streams, word by word.")) as client:
        assistant = await client.beta.assistants.create(model="scripted")
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "go"}])
        heard = Heard()
        async with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=heard
        ) as stream:
            await stream.until_done()
            run = await stream.get_final_run()
            steps = await stream.get_final_run_steps()
            messages = await stream.get_final_messages()
        assert heard.text == "It streams, word by word."
        assert heard.calls == [
            "run_step_created",
            "text_created",
            "text_done",
            "message_done",
            "run_step_done",
            "end",
        ]
        assert run.status == "completed"
        assert len(steps) == len(messages) == 1


async def test_the_handler_of_deltas_hears_all_arguments_of_a_call(tmp_path: Path) -> None:
    class Calls(AsyncAssistantEventHandler):
        """Notes what it is told of arguments: of a call's first delta, a client tells nothing."""

        arguments = ""

        async def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
            self.arguments += delta.function.arguments

    script = Script().calls(tool("book_table", {"seats": 2}))
    async with client_of(tmp_path, script) as client:
        assistant = await client.beta.assistants.create(
            model="scripted", tools=[{"type": "function", "function": {"name": "book_table"}}]
        )
        thread = await client.beta.threads.create()
        calls = Calls()
        async with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=calls
        ) as stream:
            await stream.until_done()
        assert calls.arguments == '{"seats":2}'


class HeardTools(AsyncAssistantEventHandler):
    """Notes what it is told of tool calls and of what a message holds."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.done: dict[str, Any] = {}
        self.texts: list[Any] = []
        self.snapshot: Any = None
        self.images: list[str] = []

    async def on_tool_call_created(self, tool_call: Any) -> None:
        self.calls.append(("created", tool_call.type))

    async def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        self.calls.append(("delta", delta.type))
        assert snapshot.id

    async def on_tool_call_done(self, tool_call: Any) -> None:
        self.done[tool_call.id] = tool_call

    async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.snapshot = snapshot

    async def on_text_done(self, text: Any) -> None:
        self.texts.append(text)

    async def on_image_file_done(self, image_file: Any) -> None:
        self.images.append(image_file.file_id)


async def test_searches_and_code_drive_the_event_handler(tmp_path: Path) -> None:
    lines = "print one\nplot\nprint two"
    says = "Ada【0:0†notes.md】 drew sandbox:/mnt/data/plot.png."
    script = (
        Script()
        .calls(tool("file_search", {"queries": ["who"]}), tool("python", {"code": lines}))
        .cut_by(6)
        .says(says)
        .cut_by(4)
    )
    async with client_of(tmp_path, script, plugin_of(Search(), Code())) as client:
        assistant = await client.beta.assistants.create(
            model="scripted", tools=[{"type": "file_search"}, {"type": "code_interpreter"}]
        )
        thread = await client.beta.threads.create(
            messages=[{"role": "user", "content": "who?"}],
            tool_resources={"file_search": {"vector_store_ids": ["vs_1"]}},
        )
        heard = HeardTools()
        async with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=heard
        ) as stream:
            told = [event async for event in stream]
            run = await stream.get_final_run()
        snapshots = [
            event.data.step_details.tool_calls
            for event in told
            if event.event == "thread.run.step.completed"
            and event.data.step_details.type == "tool_calls"
        ]
        assert run.status == "completed"
        assert heard.calls[:2] == [("created", "file_search"), ("created", "code_interpreter")]
        assert set(heard.calls[2:]) == {("delta", "code_interpreter")}
        stored = [
            step async for step in client.beta.threads.runs.steps.list(run.id, thread_id=thread.id)
        ]
        search, code = stored[-1].step_details.tool_calls  # type: ignore[union-attr]
        assert snapshots == [[search, code]]
        assert search.file_search.results[0].file_id == "file_notes"  # type: ignore[union-attr]
        done = heard.done[code.id].code_interpreter
        assert done.input == code.code_interpreter.input == lines  # type: ignore[union-attr]
        logs = [(one.type, getattr(one, "logs", None)) for one in done.outputs]
        assert logs == [("logs", "one\n"), ("image", None), ("logs", "two\n")]
        message = (await client.beta.threads.messages.list(thread.id)).data[0]
        assert heard.images == ["file_plot"]
        assert heard.texts == [message.content[1].text]  # type: ignore[union-attr]
        assert heard.texts[0].value == heard.snapshot.value == says
        places = [(one.start_index, one.end_index) for one in heard.texts[0].annotations]
        assert [(one.start_index, one.end_index) for one in heard.snapshot.annotations] == places
        assert [one.type for one in heard.texts[0].annotations] == ["file_citation", "file_path"]


async def test_steps_and_runs_are_paged_through(tmp_path: Path) -> None:
    async with client_of(tmp_path, Script().says("ok").forever()) as client:
        assistant = await client.beta.assistants.create(model="scripted")
        thread = await client.beta.threads.create()
        made = []
        for _ in range(5):
            run = await client.beta.threads.runs.create_and_poll(
                thread_id=thread.id, assistant_id=assistant.id
            )
            made.append(run.id)
        listed = [run.id async for run in client.beta.threads.runs.list(thread.id, limit=2)]
        assert listed == made[::-1]
        steps = [
            step async for step in client.beta.threads.runs.steps.list(made[0], thread_id=thread.id)
        ]
        one = await client.beta.threads.runs.steps.retrieve(
            steps[0].id, thread_id=thread.id, run_id=made[0]
        )
        assert one == steps[0]


async def test_errors_have_the_clients_classes(tmp_path: Path) -> None:
    async with client_of(tmp_path, Script().says("ok")) as client:
        assistant = await client.beta.assistants.create(model="scripted")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.beta.threads.runs.create("thread_x", assistant_id=assistant.id)
        assert missing.value.request_id is not None
        thread = await client.beta.threads.create()
        with pytest.raises(openai.BadRequestError) as bad:
            await client.beta.threads.runs.create(
                thread.id, assistant_id=assistant.id, temperature=9
            )
        assert bad.value.param == "temperature"
        assert bad.value.code == "decimal_above_max_value"
        wrong = client.with_options(api_key="sk-wrong")
        with pytest.raises(openai.AuthenticationError) as refused:
            await wrong.beta.threads.create()
        assert refused.value.code == "invalid_api_key"


async def test_pictures_are_uploaded_and_shown(tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + b"pixels" * 1_000
    backend = ScriptedBackend(Script().says("A cat."))
    async with client_of(tmp_path, backend, "local_blobs", "files") as client:
        file = await client.files.create(file=("cat.png", picture), purpose="vision")
        assistant = await client.beta.assistants.create(model="scripted")
        run = await client.beta.threads.create_and_run_poll(
            assistant_id=assistant.id,
            thread={
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "What is this?"},
                            {"type": "image_file", "image_file": {"file_id": file.id}},
                        ],
                    }
                ]
            },
        )
        assert run.status == "completed"
        _, image = backend.chats[0].body["messages"][0]["content"]
        data = image["image_url"]["url"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(data) == picture
