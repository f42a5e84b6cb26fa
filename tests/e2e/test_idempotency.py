"""A request that is sent again under its key after a crash between its effect and its answer.

For every POST that the server has: it is killed once the effect is on the disk, started again, and
sent the same request. Whoever adds an operation adds a case, or the first test fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.e2e.scripted_model import ENDLESS
from tests.e2e.serving import KEY, Served, serve

MODEL = "scripted"
WEATHER = {"type": "function", "function": {"name": "get_weather"}}
REPLAYED = "idempotent-replayed"
MARK = {"metadata": {"mark": "first"}}
GIVE_UP_S = 30.0
CONTENT = b"What was kept."


class Form(NamedTuple):
    """A form with one file."""

    file: str
    """The name of its field."""
    fields: dict[str, str] = {}


Request = tuple[str, dict[str, Any] | Form | None]
"""A path and a body."""


class Api:
    """A running server, asked with the key of the tests."""

    def __init__(self, served: Served) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        self._http = httpx.Client(base_url=served.url, headers=headers, timeout=60)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        """The JSON there."""
        return self._http.get(path).raise_for_status().json()

    def text(self, path: str) -> str:
        """All that is told there."""
        return self._http.get(path).raise_for_status().text

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """The answer to a POST."""
        if isinstance(body, Form):
            file = {body.file: ("notes.txt", CONTENT)}
            return self._http.post(path, data=body.fields, files=file, headers=headers)
        return self._http.post(path, json=body, headers=headers)

    def made(self, path: str, body: Any = None) -> str:
        """The id of what a POST made."""
        return str(self.post(path, body).raise_for_status().json()["id"])

    def assistant(self) -> str:
        return self.made("/v1/assistants", {"model": MODEL, "tools": [WEATHER]})

    def thread(self, text: str = "Say hello") -> str:
        return self.made("/v1/threads", {"messages": [{"role": "user", "content": text}]})

    def run(self, text: str, until: str) -> dict[str, Any]:
        """A run that was asked that, once it is in a status."""
        body = {"assistant_id": self.assistant()}
        path = f"/v1/threads/{self.thread(text)}/runs"
        path = f"{path}/{self.made(path, body)}"
        give_up = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up:
            run: dict[str, Any] = self.get(path)
            if run["status"] == until:
                return {**run, "path": path}
            time.sleep(0.02)
        raise AssertionError(f"the run is {run['status']}, not {until}")


Prepare = Callable[[Api], Request]


class Case(NamedTuple):
    """One way to send an operation's request."""

    operation: str
    prepare: Prepare
    point: str = "answer_before_kept"
    """Where the server is killed."""
    has_effect: bool = True
    is_stream: bool = False

    def __str__(self) -> str:
        kind = "-streamed" if self.is_stream else ""
        name = self.prepare.__name__.strip("_<>")
        return f"{self.operation.removeprefix('/v1/')}{kind}-{self.point}-{name}"


def _create_assistant(api: Api) -> Request:
    return "/v1/assistants", {"model": MODEL, **MARK}


def _modify_assistant(api: Api) -> Request:
    return f"/v1/assistants/{api.assistant()}", MARK


def _create_thread(api: Api) -> Request:
    return "/v1/threads", {"messages": [{"role": "user", "content": "hi"}], **MARK}


def _modify_thread(api: Api) -> Request:
    return f"/v1/threads/{api.thread()}", MARK


def _create_message(api: Api) -> Request:
    return f"/v1/threads/{api.thread()}/messages", {"role": "user", "content": "hi", **MARK}


def _modify_message(api: Api) -> Request:
    path = f"/v1/threads/{api.thread()}/messages"
    return f"{path}/{api.get(path)['data'][0]['id']}", MARK


def _create_run(api: Api, **more: Any) -> Request:
    return f"/v1/threads/{api.thread()}/runs", {"assistant_id": api.assistant(), **MARK, **more}


def _create_thread_and_run(api: Api, **more: Any) -> Request:
    thread = {"messages": [{"role": "user", "content": "Say hello"}]}
    return "/v1/threads/runs", {"assistant_id": api.assistant(), "thread": thread, **MARK, **more}


def _modify_run(api: Api) -> Request:
    return str(api.run("Say hello", "completed")["path"]), MARK


def _submit(api: Api, **more: Any) -> Request:
    run = api.run("What is the weather in Oslo?", "requires_action")
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": call["id"], "output": "sunny"} for call in calls]
    return f"{run['path']}/submit_tool_outputs", {"tool_outputs": outputs, **more}


def _cancel(api: Api) -> Request:
    return f"{api.run(ENDLESS, 'in_progress')['path']}/cancel", None


def _cancel_at_rest(api: Api) -> Request:
    return f"{api.run('What is the weather in Oslo?', 'requires_action')['path']}/cancel", None


def _chat(api: Api) -> Request:
    return "/v1/chat/completions", {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
    }


def _complete(api: Api) -> Request:
    return "/v1/completions", {"model": MODEL, "prompt": "hi"}


def _embed(api: Api) -> Request:
    return "/v1/embeddings", {"model": MODEL, "input": "hi", "encoding_format": "float"}


def _create_file(api: Api) -> Request:
    return "/v1/files", Form("file", {"purpose": "assistants"})


def _create_upload(api: Api) -> Request:
    return "/v1/uploads", {
        "filename": "notes.txt",
        "purpose": "assistants",
        "bytes": len(CONTENT),
        "mime_type": "text/plain",
    }


def _add_part(api: Api) -> Request:
    return f"/v1/uploads/{api.made(*_create_upload(api))}/parts", Form("data")


def _complete_upload(api: Api) -> Request:
    path, part = _add_part(api)
    upload = path.removesuffix("/parts")
    return f"{upload}/complete", {"part_ids": [api.made(path, part)]}


def _cancel_upload(api: Api) -> Request:
    return f"/v1/uploads/{api.made(*_create_upload(api))}/cancel", None


STORES = "/v1/vector_stores"
PREFIXES = (
    *("asst_", "thread_", "msg_", "run_", "file-", "upload_", "part_"),
    *("vs_", "vsfb_", "cntr_", "cfile_"),
)
WITH_STORE = {"file_search": {"vector_stores": [{}]}}
SEARCHES = [{"type": "file_search"}]


def _create_assistant_with_store(api: Api) -> Request:
    return "/v1/assistants", {
        "model": MODEL,
        "tools": SEARCHES,
        "tool_resources": WITH_STORE,
        **MARK,
    }


def _create_thread_with_store(api: Api) -> Request:
    return "/v1/threads", {"tool_resources": WITH_STORE, **MARK}


def _attach(api: Api) -> Request:
    attachment = {"file_id": api.made(*_create_file(api)), "tools": SEARCHES}
    message = {"role": "user", "content": "hi", "attachments": [attachment], **MARK}
    return f"/v1/threads/{api.thread()}/messages", message


def _create_store(api: Api) -> Request:
    return STORES, {"file_ids": [api.made(*_create_file(api))], **MARK}


def _store(api: Api) -> str:
    return f"{STORES}/{api.made(STORES, {})}"


def _modify_store(api: Api) -> Request:
    return _store(api), MARK


def _search_store(api: Api) -> Request:
    return f"{_store(api)}/search", {"query": "What was kept?"}


def _add_to_store(api: Api) -> Request:
    return f"{_store(api)}/files", {"file_id": api.made(*_create_file(api))}


def _modify_file_of_store(api: Api) -> Request:
    path, body = _add_to_store(api)
    return f"{path}/{api.made(path, body)}", {"attributes": {"mark": "first"}}


def _add_batch(api: Api) -> Request:
    return f"{_store(api)}/file_batches", {"file_ids": [api.made(*_create_file(api))]}


def _cancel_batch(api: Api) -> Request:
    path, body = _add_batch(api)
    return f"{path}/{api.made(path, body)}/cancel", None


def _create_container(api: Api) -> Request:
    return "/v1/containers", {"name": "first"}


def _add_to_container(api: Api) -> Request:
    return f"/v1/containers/{api.made(*_create_container(api))}/files", Form("file")


def _streamed(prepare: Callable[..., Request]) -> Prepare:
    return lambda api: prepare(api, stream=True)


RUN = "/v1/threads/{thread_id}/runs/{run_id}"
CASES = [
    Case("/v1/assistants", _create_assistant),
    Case("/v1/assistants", _create_assistant, "assistant_created"),
    Case("/v1/assistants/{assistant_id}", _modify_assistant),
    Case("/v1/threads", _create_thread),
    Case("/v1/threads", _create_thread, "thread_created"),
    Case("/v1/threads/{thread_id}", _modify_thread),
    Case("/v1/threads/{thread_id}/messages", _create_message),
    Case("/v1/threads/{thread_id}/messages", _create_message, "message_created"),
    Case("/v1/threads/{thread_id}/messages/{message_id}", _modify_message),
    Case("/v1/threads/{thread_id}/runs", _create_run),
    Case("/v1/threads/{thread_id}/runs", _streamed(_create_run), is_stream=True),
    Case("/v1/threads/runs", _create_thread_and_run),
    Case("/v1/threads/runs", _streamed(_create_thread_and_run), "run_created", is_stream=True),
    Case(RUN, _modify_run),
    Case(RUN, _modify_run, "modified"),
    Case(f"{RUN}/submit_tool_outputs", _submit),
    Case(f"{RUN}/submit_tool_outputs", _submit, "submit_committed"),
    Case(f"{RUN}/submit_tool_outputs", _streamed(_submit), is_stream=True),
    Case(f"{RUN}/cancel", _cancel),
    Case(f"{RUN}/cancel", _cancel, "cancel_marked"),
    Case(f"{RUN}/cancel", _cancel, "cancel_done"),
    Case(f"{RUN}/cancel", _cancel_at_rest, "rest_committed"),
    Case("/v1/files", _create_file),
    Case("/v1/uploads", _create_upload),
    Case("/v1/uploads/{upload_id}/parts", _add_part),
    Case("/v1/uploads/{upload_id}/complete", _complete_upload),
    Case("/v1/uploads/{upload_id}/cancel", _cancel_upload),
    Case("/v1/assistants", _create_assistant_with_store, "assistant_created"),
    Case("/v1/threads", _create_thread_with_store, "thread_created"),
    Case("/v1/threads/{thread_id}/messages", _attach, "message_created"),
    Case(STORES, _create_store),
    Case(f"{STORES}/{{vector_store_id}}", _modify_store),
    Case(f"{STORES}/{{vector_store_id}}/search", _search_store, has_effect=False),
    Case(f"{STORES}/{{vector_store_id}}/files", _add_to_store),
    Case(f"{STORES}/{{vector_store_id}}/files/{{file_id}}", _modify_file_of_store),
    Case(f"{STORES}/{{vector_store_id}}/file_batches", _add_batch),
    Case(f"{STORES}/{{vector_store_id}}/file_batches/{{batch_id}}/cancel", _cancel_batch),
    Case("/v1/containers", _create_container),
    Case("/v1/containers/{container_id}/files", _add_to_container),
    Case("/v1/chat/completions", _chat, has_effect=False),
    Case("/v1/completions", _complete, has_effect=False),
    Case("/v1/embeddings", _embed, has_effect=False),
]


class Life:
    """A data folder, and the servers that live on it one after the other."""

    def __init__(self, folder: Path, model_url: str) -> None:
        self._folder = folder
        self._model_url = model_url
        self.requests: dict[str, Request] = {}

    def serve(self, **environment: str) -> Any:
        """A server that begins now."""
        return serve(
            self._folder,
            arguments=["--backend", self._model_url],
            environment={
                "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
                "FAMULUS_RUNS__FINISH_S": "0",
                # A run that one case leaves behind meets the deaths of all that follow.
                "FAMULUS_RUNS__ATTEMPTS_MAX": "1000",
                **environment,
            },
        )

    def die_in(self, case: Case) -> None:
        """Send the case's request to a server that is killed while it serves it."""
        with self.serve(FAMULUS_FAILPOINT=case.point) as served, Api(served) as api:
            path, body = self.requests[str(case)] = case.prepare(api)
            with pytest.raises(httpx.HTTPError):
                api.post(path, body, **_key(case))
            served.process.wait(GIVE_UP_S)


def _key(case: Case) -> dict[str, str]:
    return {"idempotency-key": str(case)}


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, scripted_url: str) -> Life:
    """Every case's request, lost by a server of its own."""
    life = Life(tmp_path_factory.mktemp("lives"), scripted_url)
    for case in CASES:
        life.die_in(case)
    return life


@pytest.fixture(scope="module")
def api(life: Life) -> Iterator[Api]:
    """The server that lives on."""
    with life.serve() as served, Api(served) as api:
        yield api


def test_every_post_that_is_served_has_a_case(api: Api) -> None:
    paths = api.get("/openapi.json")["paths"]
    # The administration takes no such keys: what it answers with is kept nowhere.
    posts = {
        path
        for path, methods in paths.items()
        if "post" in methods and not path.startswith("/v1/organization/")
    }
    assert posts == {case.operation for case in CASES}


@pytest.mark.parametrize("case", [case for case in CASES if not case.is_stream], ids=str)
def test_what_had_its_effect_is_answered_and_not_done_again(
    life: Life, api: Api, case: Case
) -> None:
    path, body = life.requests[str(case)]
    if is_change := body == MARK:
        api.post(path, {"metadata": {"mark": "second"}}).raise_for_status()
    again = api.post(path, body, **_key(case))
    assert again.status_code == 200, again.text
    assert (again.headers.get(REPLAYED) == "true") is case.has_effect
    answer = again.json()
    if not case.has_effect:
        searched = "vector_store.search_results.page"
        assert answer["object"] in ("chat.completion", "text_completion", "list", searched)
        return
    # Equal, however often it is sent.
    assert api.post(path, body, **_key(case)).content == again.content
    assert answer["id"].startswith(PREFIXES)
    if path.endswith(("/runs", "/submit_tool_outputs")):
        assert again.headers["openai-poll-after-ms"] == "100"
    if is_change:
        assert answer["metadata"] == {"mark": "first"}
        assert api.get(path)["metadata"] == {"mark": "second"}
    elif path.startswith(("/v1/files", "/v1/uploads")):
        listed = api.get("/v1/files")["data"]
        assert all(each["bytes"] == len(CONTENT) for each in listed)
        made = [each for each in listed if each["id"] == answer["id"]]
        assert len(made) == (path == "/v1/files")
        if path.endswith("/complete"):
            assert answer["file"] in listed
    elif path.startswith((STORES, "/v1/containers")):
        _is_there_once(api, path, answer)
    elif path.endswith("/cancel"):
        assert answer["status"] in ("cancelling", "cancelled")
        _ended(api, path.removesuffix("/cancel"), "cancelled")
    elif path.endswith("/submit_tool_outputs"):
        assert answer["status"] == "queued"
        _ended(api, path.removesuffix("/submit_tool_outputs"), "completed")
    else:
        assert answer["metadata"] == {"mark": "first"}


@pytest.mark.parametrize("case", [case for case in CASES if case.is_stream], ids=str)
def test_a_stream_that_was_lost_is_told_from_its_own_first_event_to_its_end(
    life: Life, api: Api, case: Case
) -> None:
    path, body = life.requests[str(case)]
    again = api.post(path, body, **_key(case))
    assert again.status_code == 303
    assert again.headers[REPLAYED] == "true"
    names = _names(api, again.headers["location"])
    first = {
        "/v1/threads/runs": ["thread.created", "thread.run.created"],
        RUN.removesuffix("/{run_id}"): ["thread.run.created", "thread.run.queued"],
        f"{RUN}/submit_tool_outputs": ["thread.run.step.completed", "thread.run.queued"],
    }[case.operation]
    assert names[:2] == first
    assert names[-2:] == ["thread.run.completed", "done"]


@pytest.mark.parametrize("path", ["/v1/assistants", "/v1/threads/{thread_id}/messages"])
def test_what_is_created_again_is_there_once(life: Life, api: Api, path: str) -> None:
    for case in CASES:
        if case.operation != path:
            continue
        listed, body = life.requests[str(case)]
        api.post(listed, body, **_key(case))
        found = api.get(f"{listed}?limit=100")["data"]
        marked = [one["id"] for one in found if one["metadata"] == MARK["metadata"]]
        same = api.post(listed, body, **_key(case)).json()["id"]
        assert marked.count(same) == 1
        cases = [one for one in CASES if one.operation == path]
        assert len(marked) == (len(cases) if path == "/v1/assistants" else 1)


def _is_there_once(api: Api, path: str, answer: dict[str, Any]) -> None:
    if path.endswith("/cancel"):
        # It may have been read before.
        assert answer["status"] in ("cancelled", "completed")
    elif path.endswith("/file_batches"):
        assert answer["file_counts"]["total"] == 1
        assert len(api.get(path.replace("/file_batches", "/files"))["data"]) == 1
    elif "/files/" in path:
        assert answer["attributes"] == {"mark": "first"}
    else:
        listed = [one["id"] for one in api.get(f"{path}?limit=100")["data"]]
        assert listed.count(answer["id"]) == 1


def _ended(api: Api, path: str, status: str) -> None:
    give_up = time.monotonic() + GIVE_UP_S
    while (run := api.get(path))["status"] != status:
        assert time.monotonic() < give_up, json.dumps(run)
        assert run["status"] in ("queued", "in_progress", "cancelling"), json.dumps(run)
        time.sleep(0.05)


def _names(api: Api, path: str) -> list[str]:
    lines = api.text(path).splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
