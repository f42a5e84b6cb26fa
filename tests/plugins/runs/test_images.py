"""Pictures that messages hold reach models that can see; others get a clear error."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.runs.formed_tools import Code, Search, plugin_of

from famulus.testing import Script, ScriptedBackend, faults, kernel_with, tool

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 4
JPEG = b"\xff\xd8\xff\xe0" + b"pixels" * 4
GIF = b"GIF89a" + b"pixels" * 4
WEBP = b"RIFF\x20\x00\x00\x00WEBPVP8 " + b"pixels" * 4
FILES = ("local_blobs", "files")
PLUGINS = (
    "sqlite", "events", "jobs", "assistants", "threads", "models", "openai_compatible", "runs"
)  # fmt: skip


def as_data(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def by_file(id: str, **more: str) -> dict[str, Any]:
    return {"type": "image_file", "image_file": {"file_id": id, **more}}


def by_url(url: str, **more: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def asks(*images: dict[str, Any], text: str = "What is this?", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}, *images], **more}


async def uploaded(api: Any, content: bytes = PNG, purpose: str = "vision") -> str:
    answer = await api.server.client.post(
        "/v1/files", files={"file": ("a file", content)}, data={"purpose": purpose}
    )
    return str((await api.ok(answer))["id"])


async def asked_of(api: Any, *messages: Any, **run: Any) -> Any:
    """A run on a thread of these messages, at rest."""
    thread = await api.ok(await api.server.post("/v1/threads", {"messages": list(messages)}))
    return await api.ran(thread["id"], await api.assistant(), **run)


def shown(api: Any, chat: int = -1) -> list[Any]:
    """What the model was shown, less the role."""
    return [message.get("content") for message in api.backend.chats[chat].body["messages"]]


def error_of(answer: Any) -> tuple[str, str]:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    return error["param"], error["message"]


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
@pytest.mark.parametrize("purpose", ["vision", "assistants", "user_data"])
async def test_a_picture_in_a_file_is_shown_as_what_its_content_is(
    open_api: Any, content: bytes, media_type: str, purpose: str
) -> None:
    async with open_api(Script().says("A cat."), also=FILES) as api:
        file = await uploaded(api, content, purpose)
        run = await asked_of(api, asks(by_file(file, detail="low")))
        assert run["status"] == "completed"
        (content_of,) = shown(api)
        assert content_of == [
            {"type": "text", "text": "What is this?"},
            {
                "type": "image_url",
                "image_url": {"url": as_data(content, media_type), "detail": "low"},
            },
        ]


async def test_every_way_to_post_a_message_shows_its_pictures(open_api: Any) -> None:
    async with open_api(Script().says("ok").forever(), also=FILES) as api:
        file, assistant = await uploaded(api), await api.assistant()
        message = asks(by_file(file))
        posted, added = await api.thread(), await api.thread()
        await api.ok(await api.server.post(f"/v1/threads/{posted}/messages", message))
        await api.ran(posted, assistant)
        await api.ran(added, assistant, additional_messages=[message])
        body = {"assistant_id": assistant, "thread": {"messages": [message]}}
        await api.ended(await api.ok(await api.server.post("/v1/threads/runs", body)))
        for chat in range(3):
            assert shown(api, chat)[0][1]["image_url"]["url"] == as_data(PNG)


async def test_a_picture_is_shown_to_every_answer_of_a_run_and_to_later_runs(
    open_api: Any,
) -> None:
    async with open_api(Script().says("A cat.").says("A black one."), also=FILES) as api:
        message = asks(by_file(await uploaded(api)))
        run = await asked_of(api, message)
        body = {"role": "user", "content": "Which colour?"}
        await api.ok(await api.server.post(f"/v1/threads/{run['thread_id']}/messages", body))
        await api.ran(run["thread_id"], run["assistant_id"])
        assert shown(api)[0][1]["image_url"]["url"] == as_data(PNG)


async def test_a_deleted_picture_leaves_a_note_and_the_run_goes_on(open_api: Any) -> None:
    async with open_api(Script().says("ok"), also=FILES) as api:
        file = await uploaded(api)
        thread = await api.ok(
            await api.server.post("/v1/threads", {"messages": [asks(by_file(file))]})
        )
        await api.ok(await api.server.delete(f"/v1/files/{file}"))
        run = await api.ran(thread["id"], await api.assistant())
        assert run["status"] == "completed"
        assert shown(api) == [f"What is this?\n[image file {file}: it was deleted]"]


async def test_a_file_that_is_no_picture_fails_the_run_and_says_so(open_api: Any) -> None:
    async with open_api(Script().says("never"), also=FILES) as api:
        file = await uploaded(api, b"%PDF-1.7 and so on")
        run = await asked_of(api, asks(by_file(file)))
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "invalid_prompt"
        assert file in run["last_error"]["message"]
        assert "PNG, JPEG, GIF or WebP" in run["last_error"]["message"]
        assert not api.backend.chats


async def test_a_picture_that_is_too_large_is_not_even_read(open_api: Any) -> None:
    settings = {"image_bytes_max": len(PNG) - 1}
    async with open_api(Script().says("never"), also=FILES, settings=settings) as api:
        run = await asked_of(api, asks(by_file(await uploaded(api))))
        assert run["last_error"]["code"] == "invalid_prompt"
        assert f"has {len(PNG)} bytes" in run["last_error"]["message"]


@pytest.mark.parametrize(
    "settings", [{"prompt_images_max": 2}, {"prompt_image_bytes_max": 2 * len(PNG)}]
)
async def test_the_newest_pictures_are_shown_where_there_is_no_room_for_all(
    open_api: Any, settings: Any
) -> None:
    async with open_api(Script().says("ok"), also=FILES, settings=settings) as api:
        files = [await uploaded(api) for _ in range(3)]
        await asked_of(api, asks(by_file(files[0]), by_file(files[1])), asks(by_file(files[2])))
        older, newer = shown(api)
        assert older[1]["text"].startswith(f"[image file {files[0]}: left out")
        assert [part["type"] for part in (*older, *newer)].count("image_url") == 2


@pytest.mark.parametrize("purpose", ["batch", "fine-tune"])
async def test_a_file_of_another_purpose_is_no_picture(open_api: Any, purpose: str) -> None:
    async with open_api(also=FILES) as api:
        file = await uploaded(api, PNG, purpose)
        thread = await api.thread()
        answer = await api.server.post(f"/v1/threads/{thread}/messages", asks(by_file(file)))
        param, message = error_of(answer)
        assert param == "content[1].image_file.file_id"
        assert f"'{purpose}'" in message


async def test_what_an_assistant_made_is_told_by_its_id(open_api: Any) -> None:
    async with open_api(Script().says("ok"), also=FILES) as api:
        file = await uploaded(api)
        await asked_of(api, {**asks(by_file(file), text="Here."), "role": "assistant"})
        assert shown(api) == [f"Here.\n[image file {file}]"]


async def test_without_files_a_picture_is_told_by_its_id(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        await asked_of(api, asks(by_file("file-1")))
        assert shown(api) == ["What is this?\n[image file file-1]"]


# --- what is kept and counted ------------------------------------------------------------------


async def test_a_step_keeps_the_size_of_a_picture_and_not_its_content(open_api: Any) -> None:
    async with open_api(Script().says("ok"), also=FILES) as api:
        run = await asked_of(api, asks(by_file(await uploaded(api))))
        (step,) = await api.steps(run)
        path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/steps/{step['id']}"
        params = {"include[]": "famulus.prompt"}
        prompt = (await api.ok(await api.server.get(path, params=params)))["famulus"]["prompt"]
        url = prompt["messages"][0]["content"][1]["image_url"]["url"]
        assert url == f"data:image/png;base64,({len(PNG)} bytes)"


async def test_a_picture_is_counted_by_its_number_and_not_by_its_bytes(open_api: Any) -> None:
    large = PNG + b"\0" * 200_000
    script = Script().says("ok").without_usage()
    async with open_api(script, also=FILES, settings={"image_tokens": 300}) as api:
        run = await asked_of(api, asks(by_file(await uploaded(api, large)), text="Look"))
        assert run["usage"]["prompt_tokens"] == 301


async def test_older_turns_make_room_for_pictures(open_api: Any) -> None:
    backend = ScriptedBackend(Script().says("ok"), context_tokens=2_000)
    settings = {"image_tokens": 600, "answer_tokens_reserved": 100}
    async with open_api(backend, also=FILES, settings=settings) as api:
        image = by_file(await uploaded(api))
        said = [asks(image), {"role": "assistant", "content": "A cat."}] * 4
        await asked_of(api, *said, asks(image, text="And this?"))
        assert sum(isinstance(content, list) for content in shown(api)) == 3


async def test_a_prompt_with_pictures_that_is_refused_as_too_long_is_cut_once(
    open_api: Any,
) -> None:
    too_long = faults.too_long()
    async with open_api(Script().fails(too_long).fails(too_long), also=FILES) as api:
        run = await asked_of(api, asks(by_file(await uploaded(api))))
        assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}


# --- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"image_urls": "refuse"}, 'image_urls = "fetch"'), ({}, "adds the plugin 'fetch'")],
)
async def test_an_address_on_the_web_is_refused_where_nobody_fetches(
    open_api: Any, settings: Any, said: str
) -> None:
    async with open_api(Script().says("never"), settings=settings) as api:
        run = await asked_of(api, asks(by_url("http://169.254.169.254/latest")))
        assert run["last_error"]["code"] == "invalid_prompt"
        assert said in run["last_error"]["message"]
        assert not api.backend.chats


async def test_an_address_on_the_web_is_passed_on_where_the_operator_lets_it(
    open_api: Any,
) -> None:
    async with open_api(Script().says("ok"), settings={"image_urls": "pass"}) as api:
        await asked_of(api, asks(by_url("https://a.example/b.png", detail="high")))
        image = {"url": "https://a.example/b.png", "detail": "high"}
        assert shown(api)[0][1] == {"type": "image_url", "image_url": image}


async def test_a_picture_given_as_data_is_shown_under_its_true_type(open_api: Any) -> None:
    async with open_api(Script().says("ok")) as api:
        await asked_of(api, asks(by_url(as_data(JPEG, "image/png"))))
        assert shown(api)[0][1]["image_url"]["url"] == as_data(JPEG, "image/jpeg")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "'file:'"),
        ("ftp://a.example/b.png", "'ftp:'"),
        ("famulus-file:file-1", "'famulus-file:'"),
        ("data:image/png;base64,!!!!", "no PNG, JPEG, GIF or WebP"),
        ("data:text/html;base64,PGI+", "no PNG, JPEG, GIF or WebP"),
        ("data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=", "no PNG, JPEG, GIF or WebP"),
        (as_data(PNG)[:-1] + "!", "no PNG, JPEG, GIF or WebP"),
        ("data:image/png,plain", "no PNG, JPEG, GIF or WebP"),
    ],
)
async def test_an_address_that_shows_nothing_is_refused_with_the_message(
    open_api: Any, url: str, said: str
) -> None:
    async with open_api() as api:
        message = asks(by_url(url))
        thread, assistant = await api.thread(), await api.assistant()
        for path, body, within in (
            (f"/v1/threads/{thread}/messages", message, ""),
            ("/v1/threads", {"messages": [message]}, "messages[0]."),
            (
                f"/v1/threads/{thread}/runs",
                {"assistant_id": assistant, "additional_messages": [message]},
                "additional_messages[0].",
            ),
        ):
            param, text = error_of(await api.server.post(path, body))
            assert param == f"{within}content[1].image_url.url"
            assert said in text


async def test_a_message_holds_so_many_pictures_and_such_large_ones(open_api: Any) -> None:
    limits = {"message_images_max": 2, "image_data_bytes_max": len(PNG)}
    async with open_api(threads=limits) as api:
        path = f"/v1/threads/{await api.thread()}/messages"
        fine = by_url(as_data(PNG))
        await api.ok(await api.server.post(path, asks(fine, fine)))
        param, message = error_of(await api.server.post(path, asks(fine, fine, fine)))
        assert (param, "3 pictures" in message) == ("content", True)
        larger = by_url(as_data(PNG + b"more"))
        param, message = error_of(await api.server.post(path, asks(larger)))
        assert (param, "bytes" in message) == ("content[1].image_url.url", True)


# --- models that cannot see --------------------------------------------------------------------

BLIND = {"vision": {"scripted": False}}


async def test_a_model_that_is_known_to_see_nothing_is_not_asked(open_api: Any) -> None:
    async with open_api(Script().says("ok"), models=BLIND) as api:
        run = await asked_of(api, asks(by_url(as_data(PNG))))
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "invalid_prompt"
        assert "'scripted'" in run["last_error"]["message"]
        assert "cannot be shown pictures" in run["last_error"]["message"]
        assert not api.backend.chats
        assert (await asked_of(api, asks()))["status"] == "completed"


async def test_it_can_be_told_of_pictures_instead(open_api: Any) -> None:
    settings = {"unseen_images": "note"}
    async with open_api(Script().says("ok"), models=BLIND, settings=settings) as api:
        run = await asked_of(api, asks(by_url(as_data(PNG))))
        assert run["status"] == "completed"
        assert shown(api) == ["What is this?\n[image: the model cannot see it]"]


@pytest.mark.parametrize(
    "refusal",
    [
        faults.status(400, "At most 0 image(s) may be provided in one prompt."),
        faults.status(500, "image input is not supported - hint: you may need the mmproj"),
    ],
)
async def test_a_model_of_which_nobody_knows_is_tried(
    make_api: Any, tmp_path: Path, refusal: Any
) -> None:
    remote = ScriptedBackend(Script().fails(refusal))
    async with (
        remote.serve() as url,
        kernel_with(
            *PLUGINS, settings={"openai_compatible": {"backend": [url]}}, data_dir=tmp_path
        ) as server,
    ):
        run = await asked_of(make_api(server, remote), asks(by_url(as_data(PNG))))
        assert run["status"] == "failed"
        assert run["last_error"]["code"] == "invalid_prompt"
        assert refusal.message.rstrip(".") in run["last_error"]["message"]
        assert "Name a model that sees" in run["last_error"]["message"]
        (chat,) = remote.chats
        assert chat.body["messages"][0]["content"][1]["image_url"]["url"] == as_data(PNG)


async def test_the_stand_in_cannot_see_and_says_so(open_api: Any) -> None:
    async with open_api(also=("builtin",)) as api:
        thread = {"messages": [asks(by_url(as_data(PNG)))]}
        thread_id = (await api.ok(await api.server.post("/v1/threads", thread)))["id"]
        run = await api.ran(thread_id, await api.assistant(model="famulus-builtin"))
        assert run["last_error"]["code"] == "invalid_prompt"
        assert "'famulus-builtin'" in run["last_error"]["message"]


# --- files for code ----------------------------------------------------------------------------

CODE = {"type": "code_interpreter"}


def given_for(id: str, *types: str) -> dict[str, Any]:
    return {"file_id": id, "tools": [{"type": type} for type in types]}


class Noting(Code):
    """Notes what its calls may use."""

    def __init__(self) -> None:
        super().__init__()
        self.attachments: list[Any] = []

    async def run(self, call: Any, scope: Any) -> Any:
        self.attachments.append((await scope.resources()).attachments)
        async for output in super().run(call, scope):
            yield output


async def test_files_attached_for_code_are_listed_shown_and_given_to_the_kind(
    open_api: Any, tmp_path: Path
) -> None:
    kind = Noting()
    script = Script().calls(tool("python", {"code": "print 1"})).says("Done.")
    async with open_api(script, also=(*FILES, plugin_of(kind, Search()))) as api:
        table = await uploaded(api, b"a,b", "assistants")
        notes = await uploaded(api, b"# Notes", "assistants")
        attachments = [
            given_for(table, "code_interpreter", "file_search"),
            given_for(notes, "file_search"),
        ]
        message = {"role": "user", "content": "Add it up.", "attachments": attachments}
        thread = (await api.ok(await api.server.post("/v1/threads", {"messages": [message]})))["id"]
        (kept,) = await api.messages(thread)
        assert kept["attachments"] == attachments
        run = await api.ran(thread, await api.assistant(tools=[CODE]))
        assert run["status"] == "completed"
        assert shown(api, 0) == [f'Add it up.\n[file {table} for code_interpreter: "a file"]']
        (given,) = kind.attachments
        assert [(one.file_id, len(one.tools)) for one in given] == [(table, 2), (notes, 1)]


async def test_a_file_for_code_that_was_deleted_is_told_as_such(open_api: Any) -> None:
    async with open_api(Script().says("ok"), also=(*FILES, plugin_of(Code()))) as api:
        file = await uploaded(api, b"a,b", "assistants")
        body = {"role": "user", "content": "", "attachments": [given_for(file, "code_interpreter")]}
        thread = (await api.ok(await api.server.post("/v1/threads", {"messages": [body]})))["id"]
        await api.ok(await api.server.delete(f"/v1/files/{file}"))
        await api.ran(thread, await api.assistant(tools=[CODE]))
        assert shown(api)[-1].endswith(f"[file {file} for code_interpreter: it was deleted]")


async def test_a_run_that_cannot_run_code_is_told_of_no_files(open_api: Any) -> None:
    async with open_api(Script().says("ok"), also=(*FILES, plugin_of(Code()))) as api:
        file = await uploaded(api, b"a,b", "assistants")
        body = {"role": "user", "content": "Hi", "attachments": [given_for(file, CODE["type"])]}
        await asked_of(api, body)
        assert shown(api) == ["Hi"]


async def test_files_for_code_that_nobody_runs_fail_the_run(open_api: Any) -> None:
    async with open_api(Script().says("never"), also=FILES) as api:
        file = await uploaded(api, b"a,b", "assistants")
        body = {"role": "user", "content": "Hi", "attachments": [given_for(file, CODE["type"])]}
        run = await asked_of(api, body)
        assert run["status"] == "failed"
        assert "attached for the tool code_interpreter" in run["last_error"]["message"]
