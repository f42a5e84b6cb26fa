"""The official client, unmodified: a table goes in, a picture comes out, streamed and polled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncAssistantEventHandler, AsyncOpenAI
from tests.plugins.code_interpreter.conftest import (
    BUBBLEWRAP,
    PICTURE,
    PLUGINS,
    SMALL,
    is_picture,
    runs_code,
)
from tests.plugins.code_interpreter.trusted_sandbox import TrustedSandbox

from famulus.testing import Script, ScriptedBackend, live_server, make_kernel

TABLE = b"city,visits\nOslo,3\nBergen,5\n"
READ = """
import csv
rows = list(csv.DictReader(open('visits.csv')))
total = sum(int(row['visits']) for row in rows)
print(total)
"""
PLOT = f"{PICTURE}\nopen('plot.png', 'wb').write(Picture()._repr_png_())\ndisplay(Picture())"
SAYS = "Here is [the plot](sandbox:/mnt/data/plot.png)."

on_each_sandbox = pytest.mark.parametrize("sandbox", [TrustedSandbox, BUBBLEWRAP])


@asynccontextmanager
async def client_of(tmp_path: Path, script: Script, sandbox: Any) -> AsyncIterator[AsyncOpenAI]:
    tables: dict[str, Any] = {"runs": {"poll_after_ms": 10}}
    if sandbox == "bubblewrap":
        tables["bubblewrap"] = SMALL
    kernel = make_kernel(
        *(*PLUGINS, sandbox),
        data_dir=tmp_path,
        backend=ScriptedBackend(script),
        settings=tables,
    )
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


@on_each_sandbox
async def test_a_table_goes_in_and_a_picture_comes_out(sandbox: Any, tmp_path: Path) -> None:
    script = Script().calls(*runs_code(READ)).calls(*runs_code(PLOT, id="b")).says(SAYS)
    script = script.calls(*runs_code("print(total * 2)")).says("16")
    async with client_of(tmp_path, script, sandbox) as client:
        table = await client.files.create(file=("visits.csv", TABLE), purpose="assistants")
        assistant = await client.beta.assistants.create(
            model="scripted", tools=[{"type": "code_interpreter"}]
        )
        thread = await client.beta.threads.create(
            messages=[
                {
                    "role": "user",
                    "content": "Plot the visits.",
                    "attachments": [{"file_id": table.id, "tools": [{"type": "code_interpreter"}]}],
                }
            ]
        )
        run = await client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id
        )
        assert run.status == "completed"
        (message, _) = (await client.beta.threads.messages.list(thread.id)).data
        image, text = message.content
        assert image.type == "image_file"
        assert text.type == "text"
        (annotation,) = text.text.annotations
        assert annotation.type == "file_path"
        assert annotation.text == "sandbox:/mnt/data/plot.png"
        for file_id in (image.image_file.file_id, annotation.file_path.file_id):
            content = (await client.files.content(file_id)).content
            assert is_picture(content, width=32, height=16)

        again = await client.beta.threads.runs.create_and_poll(
            thread_id=thread.id, assistant_id=assistant.id
        )
        steps = await client.beta.threads.runs.steps.list(
            run_id=again.id, thread_id=thread.id, order="asc"
        )
        details: Any = steps.data[0].step_details
        assert details.tool_calls[0].code_interpreter.outputs[0].logs == "16\n"


class Heard(AsyncAssistantEventHandler):
    """Notes what code and what outputs it is told, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[str] = []
        self.outputs: list[Any] = []
        self.images: list[str] = []
        self.created: list[str] = []

    async def on_tool_call_created(self, tool_call: Any) -> None:
        self.created.append(tool_call.type)

    async def on_tool_call_delta(self, delta: Any, snapshot: Any) -> None:
        if delta.code_interpreter.input:
            self.inputs.append(delta.code_interpreter.input)
        self.outputs += delta.code_interpreter.outputs or []

    async def on_image_file_done(self, image_file: Any) -> None:
        self.images.append(image_file.file_id)


@on_each_sandbox
async def test_the_event_handler_hears_code_and_outputs_as_they_come(
    sandbox: Any, tmp_path: Path
) -> None:
    code = PICTURE + "print('one')\ndisplay(Picture())\nprint('two')"
    script = Script().calls(*runs_code(code)).cut_by(40).says("Done.")
    async with client_of(tmp_path, script, sandbox) as client:
        assistant = await client.beta.assistants.create(
            model="scripted", tools=[{"type": "code_interpreter"}]
        )
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "go"}])
        heard = Heard()
        async with client.beta.threads.runs.stream(
            thread_id=thread.id, assistant_id=assistant.id, event_handler=heard
        ) as stream:
            await stream.until_done()
            steps = await stream.get_final_run_steps()
            messages = await stream.get_final_messages()
        assert heard.created == ["code_interpreter"]
        assert len(heard.inputs) > 3
        details: Any = steps[0].step_details
        call = details.tool_calls[0].code_interpreter
        assert call.input == code
        assert [output.type for output in heard.outputs if output.type == "image"] == ["image"]
        logs = [output.logs for output in call.outputs if output.type == "logs"]
        assert logs == ["one\n", "two\n"]
        (image,) = [output for output in call.outputs if output.type == "image"]
        assert heard.images == [image.image.file_id]
        assert messages[0].content[0].type == "image_file"
