"""One request through the server: in which order it is judged, and what every answer says."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from starlette.datastructures import Headers

from famulus import (
    Bytes,
    Call,
    EventStream,
    NoSettings,
    Operation,
    Plugin,
    Problem,
    Wire,
    encode_event,
    hookimpl,
    operation,
    operations,
)
from famulus.kernel import Kernel
from famulus.log import make_log
from famulus.testing import TestServer, kernel_with
from famulus_schemas.errors import Fault
from famulus_schemas.identity import Principal
from famulus_schemas.inference import BackendFault
from famulus_schemas.records import StoreUnavailable, UnknownCursor

pytestmark = pytest.mark.anyio

KEY = {"authorization": "Bearer good"}


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """A body, and an answer."""

    name: str
    size: int = 1


class Page(msgspec.Struct):
    """A query."""

    limit: int = 20


FAILURES: dict[str, Exception] = {
    "bug": ZeroDivisionError("division by zero in line 7 of /srv/secret.py"),
    "problem": Problem(Fault(409, "busy", "Come back."), headers={"retry-after": "3"}, param="x"),
    "store": StoreUnavailable("the disk is full"),
    "cursor": UnknownCursor("after", "thing_9"),
    "unreachable": BackendFault("unreachable", "connection refused", backend="gpu"),
    "overloaded": BackendFault("overloaded", "too many", backend="gpu", retry_after_s=7),
    "refused": BackendFault("refused", "max_tokens is too large", param="max_tokens"),
    "not_found": BackendFault("not_found", "gpt-9"),
}


class Things(Plugin[NoSettings]):
    """Operations of every kind."""

    name = "things"
    story: list[str]

    @hookimpl
    def register_operations(self) -> list[Operation]:
        self.story = getattr(self, "story", [])
        return operations(self)

    @operation("POST", "/things", action="things.write")
    async def create_thing(self, call: Call, body: Thing) -> Thing:
        """Make a thing."""
        self.story.append(f"called {body.name}")
        return body

    @operation("GET", "/things", action="things.read")
    async def list_things(self, call: Call, query: Page) -> Wire[list[Thing]]:
        """List things, as JSON that is there already."""
        return Wire(b'[{"name":"n","size":%d}]' % query.limit)

    @operation("GET", "/things/{thing_id}", action="things.read")
    async def get_thing(self, call: Call, thing_id: str) -> Thing:
        """Get a thing."""
        call.response_headers["x-thing"] = thing_id
        return Thing(name=thing_id)

    @operation("DELETE", "/things/{thing_id}", action="things.write")
    async def delete_thing(self, call: Call, thing_id: str) -> Thing:
        """Delete a thing."""
        return Thing(name=thing_id)

    @operation("POST", "/optional", action="things.write")
    async def optional(self, call: Call, body: Thing | None) -> Thing:
        """Take a body or none."""
        return body or Thing(name="none")

    @operation("POST", "/large", action="things.write", body_bytes_max=200)
    async def large(self, call: Call, body: Thing) -> Thing:
        """Take a larger body than others."""
        return Thing(name="large", size=len(call.body))

    @operation("GET", "/fails/{how}", action="things.read")
    async def fails(self, call: Call, how: str) -> Thing:
        """Fail."""
        raise FAILURES[how]

    @operation("GET", "/unsendable", action="things.read")
    async def unsendable(self, call: Call) -> Thing:
        """Answer what is no JSON."""
        return Thing(name=object())  # type: ignore[arg-type]

    @operation("GET", "/file", action="things.read")
    async def file(self, call: Call) -> Bytes:
        """Answer a file."""
        return Bytes(b"\x00\x01", "application/octet-stream")

    @operation("GET", "/events", action="things.read")
    async def events(self, call: Call) -> EventStream[Thing]:
        """Answer events without end."""
        return EventStream(self._frames())

    async def _frames(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield encode_event(b"{}", name="tick")
                await asyncio.sleep(0)
        finally:
            self.story.append("frames closed")


class Keys(Plugin[NoSettings]):
    """Knows one key, and writes down what it is asked."""

    name = "keys"

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        if headers.get("authorization") != KEY["authorization"]:
            return None
        return Principal(id="good", project="p1")

    @hookimpl
    async def authorize(self, principal: Principal, action: str, resource: str | None) -> None:
        if resource == "forbidden" or action == "nothing":
            raise Problem(Fault(403, "no", "No."))


class Asked:
    """A request driven message by message, and what came of it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.received = 0

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


async def ask(
    kernel: Kernel,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    chunks: list[bytes] | None = None,
    then: str = "wait",
    query: bytes = b"",
) -> Asked:
    """Send a request's chunks one message at a time; after the last, wait or leave."""
    asked = Asked()
    waiting = list(chunks or [])
    total = len(waiting)

    async def receive() -> dict[str, Any]:
        asked.received += 1
        if waiting:
            body = waiting.pop(0)
            more = bool(waiting) or then != "end"
            return {"type": "http.request", "body": body, "more_body": more}
        if not total and then == "end":
            return {"type": "http.request", "body": b"", "more_body": False}
        if then == "leave":
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            asked.status = message["status"]
            asked.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            asked.body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
    }
    await kernel(scope, receive, send)
    return asked


def server(**limits: Any) -> Any:
    return kernel_with(Things, Keys, settings={"server": limits})


JSON = {**KEY, "content-type": "application/json"}
BODY = b'{"name":"x"}'


# --- the order of judging ------------------------------------------------------------------------


async def test_without_a_key_nothing_of_the_body_is_read() -> None:
    async with server() as at:
        answer = await ask(
            at.kernel, "POST", "/things", headers={"content-length": str(1 << 30)}, chunks=[b"{"]
        )
        assert (answer.status, answer.received) == (401, 0)
        assert answer.headers["connection"] == "close"


async def test_a_body_larger_by_its_own_word_is_refused_unread() -> None:
    async with server(body_bytes_max=50) as at:
        headers = {**JSON, "content-length": "51"}
        answer = await ask(at.kernel, "POST", "/things", headers=headers, chunks=[b"{"])
        assert (answer.status, answer.received) == (413, 0)
        assert "limit of 50 bytes" in answer.error["message"]
        assert answer.headers["connection"] == "close"


async def test_a_chunked_body_is_read_no_further_than_the_limit() -> None:
    async with server(body_bytes_max=50) as at:
        headers = {**JSON, "transfer-encoding": "chunked"}
        chunks = [b"x" * 20] * 100
        answer = await ask(at.kernel, "POST", "/things", headers=headers, chunks=chunks)
        assert (answer.status, answer.received) == (413, 3)


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    body = b'{"name":"' + b"x" * 39 + b'"}'
    async with server(body_bytes_max=len(body)) as at:
        headers = {**JSON, "content-length": str(len(body))}
        answer = await ask(at.kernel, "POST", "/things", headers=headers, chunks=[body], then="end")
        assert answer.status == 200


async def test_an_operation_may_take_a_larger_body_than_others() -> None:
    body = b'{"name":"' + b"x" * 150 + b'"}'
    async with server(body_bytes_max=50) as at:
        headers = {**JSON, "content-length": str(len(body))}
        answer = await ask(at.kernel, "POST", "/large", headers=headers, chunks=[body], then="end")
        assert json.loads(answer.body)["size"] == len(body)


async def test_a_body_that_does_not_arrive_is_408() -> None:
    async with server(body_s=0.05) as at:
        headers = {**JSON, "content-length": "100"}
        answer = await ask(at.kernel, "POST", "/things", headers=headers, chunks=[b'{"na'])
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")
        assert "within 0.05 seconds" in answer.error["message"]


async def test_a_client_that_leaves_while_it_sends_is_no_request() -> None:
    async with server() as at:
        headers = {**JSON, "content-length": "100"}
        answer = await ask(
            at.kernel, "POST", "/things", headers=headers, chunks=[b'{"na'], then="leave"
        )
        assert (answer.status, answer.body) == (0, b"")
        assert at.plugin("things").story == []


async def test_a_body_is_decoded_before_it_is_asked_whether_the_action_is_allowed() -> None:
    async with server() as at:
        wrong = await at.post("/things", {"name": 3}, headers=KEY)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "name")
        assert at.plugin("things").story == []


async def test_what_is_not_allowed_is_not_called() -> None:
    async with server() as at:
        answer = await at.get("/things/forbidden", headers=KEY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no")


async def test_another_content_type_is_415() -> None:
    async with server() as at:
        answer = await at.client.post(
            "/things", content=b"name=x", headers={**KEY, "content-type": "text/plain"}
        )
        assert answer.status_code == 415
        assert "got 'text/plain'" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/x+json"]
)
async def test_json_is_taken_under_each_of_its_names(content_type: str) -> None:
    async with server() as at:
        headers = {**KEY, "content-type": content_type}
        answer = await at.client.post("/things", content=BODY, headers=headers)
        assert answer.status_code == 200


async def test_a_body_may_be_left_out_where_the_operation_says_so() -> None:
    async with server() as at:
        assert (await at.post("/optional", headers=KEY)).json()["name"] == "none"
        assert (await at.post("/optional", {"name": "x"}, headers=KEY)).json()["name"] == "x"
        assert (await at.post("/things", headers=KEY)).status_code == 400


async def test_a_query_is_decoded_and_refused_like_a_body() -> None:
    async with server() as at:
        assert (await at.get("/things?limit=7", headers=KEY)).json()[0]["size"] == 7
        wrong = await at.get("/things?limit=many", headers=KEY)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "limit")


# --- paths and methods ---------------------------------------------------------------------------


async def test_an_unknown_path_is_401_without_a_key_and_404_with_one() -> None:
    async with server() as at:
        assert (await at.get("/nowhere")).status_code == 401
        answer = await at.get("/nowhere", headers=KEY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
        assert answer.json()["error"]["message"] == "Unknown request URL: GET /nowhere."


async def test_another_method_is_405_and_lists_those_that_are_allowed() -> None:
    async with server() as at:
        answer = await at.client.put("/things/1", headers=KEY)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "DELETE, GET, HEAD"


@pytest.mark.parametrize("path", ["/things/1", "/things", "/file", "/health/live"])
async def test_head_is_get_without_the_body(path: str) -> None:
    async with server() as at:
        got = await at.get(path, headers=KEY)
        head = await at.client.head(path, headers=KEY)
        assert head.status_code == got.status_code == 200
        assert head.content == b""
        assert got.content
        for name in ("content-length", "content-type"):
            assert head.headers[name] == got.headers[name]


async def test_head_of_a_stream_ends_at_its_headers() -> None:
    async with server() as at:
        head = await at.client.head("/events", headers=KEY)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")


async def test_head_of_what_has_no_get_is_405() -> None:
    async with server() as at:
        head = await at.client.head("/optional", headers=KEY)
        assert (head.status_code, head.headers["allow"]) == (405, "POST")


async def test_a_path_that_differs_by_its_last_slash_is_redirected() -> None:
    async with server() as at:
        answer = await at.get("/things/?limit=3", headers=KEY)
        assert (answer.status_code, answer.headers["location"]) == (307, "/things?limit=3")
        followed = await at.get("/things/?limit=3", headers=KEY, follow_redirects=True)
        assert followed.json()[0]["size"] == 3
        assert (await at.get("/things/")).status_code == 401


@pytest.mark.parametrize("path", ["//things/", "/things//", "//evil.example/"])
async def test_a_redirect_leads_nowhere_else(path: str) -> None:
    async with server() as at:
        answer = await ask(at.kernel, "GET", path, headers=KEY)
        assert (answer.status, "location" in answer.headers) == (404, False)


async def test_a_redirect_is_encoded_as_a_path_must_be() -> None:
    async with server() as at:
        answer = await ask(at.kernel, "GET", "/things/a\r\nx: y/", headers=KEY)
        assert (answer.status, answer.headers["location"]) == (307, "/things/a%0D%0Ax%3A%20y")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/openapi.json", "/docs"])
async def test_public_paths_need_no_key(path: str) -> None:
    async with server() as at:
        assert (await at.get(path)).status_code == 200


async def test_whatever_else_the_kernel_serves_needs_one() -> None:
    async with server() as at:
        assert (await at.get("/-/plugins")).status_code == 401
        assert (await at.get("/-/plugins", headers=KEY)).status_code == 200


# --- what every answer says ----------------------------------------------------------------------


async def test_every_answer_has_a_request_id_and_openais_headers() -> None:
    async with server() as at:
        answers = [
            await at.get("/things/1", headers=KEY),
            await at.get("/nowhere", headers=KEY),
            await at.get("/things/1"),
            await at.get("/fails/bug", headers=KEY),
        ]
        for answer in answers:
            assert answer.headers["x-request-id"].startswith("req_")
            assert answer.headers["openai-version"] == "2020-10-01"
            assert answer.headers["openai-processing-ms"].isdigit()
        assert len({answer.headers["x-request-id"] for answer in answers}) == 4


async def test_a_request_id_that_the_client_gives_is_kept() -> None:
    async with server() as at:
        answer = await at.get("/things/1", headers={**KEY, "x-request-id": "my-own.1"})
        assert answer.headers["x-request-id"] == "my-own.1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>"])
async def test_a_request_id_that_would_not_be_safe_to_log_is_replaced(given: str) -> None:
    async with server() as at:
        answer = await at.get("/things/1", headers={**KEY, "x-request-id": given})
        assert answer.headers["x-request-id"].startswith("req_")


async def test_an_operation_may_add_headers() -> None:
    async with server() as at:
        assert (await at.get("/things/7", headers=KEY)).headers["x-thing"] == "7"


async def test_bytes_are_sent_under_their_own_type() -> None:
    async with server() as at:
        answer = await at.get("/file", headers=KEY)
        assert (answer.content, answer.headers["content-type"]) == (
            b"\x00\x01",
            "application/octet-stream",
        )


# --- failures ------------------------------------------------------------------------------------


async def failed(how: str, log: io.StringIO | None = None) -> tuple[Any, TestServer]:
    logged = None if log is None else make_log("info", "json", stream=log)
    async with kernel_with(Things, Keys, log=logged) as at:
        return await at.get(f"/fails/{how}", headers=KEY), at


async def test_a_bug_is_500_under_its_request_id_and_leaks_nothing() -> None:
    log = io.StringIO()
    answer, _ = await failed("bug", log)
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "internal_error"
    assert answer.headers["x-request-id"] in error["message"]
    assert "division" not in answer.text
    assert "secret.py" not in answer.text
    line, request = [json.loads(each) for each in log.getvalue().splitlines()]
    assert (line["event"], request["event"]) == ("request_failed", "request_served")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["plugin"], line["operation"]) == ("things", "fails")
    assert "ZeroDivisionError: division by zero" in line["exception"]


async def test_each_request_is_one_line_of_the_log_that_tells_nothing_of_what_it_held() -> None:
    log = io.StringIO()
    async with kernel_with(Things, Keys, log=make_log("info", "json", stream=log)) as at:
        served = await at.get("/things/told?limit=3&told=told", headers={**KEY, "x-told": "told"})
        refused = await at.get("/things/told", headers={"authorization": "Bearer told"})
        await at.get("/health/live")
    lines = [json.loads(each) for each in log.getvalue().splitlines()]
    assert [each.pop("request_id") for each in lines] == [
        each.headers["x-request-id"] for each in (served, refused)
    ]
    for each in lines:
        assert each.pop("ms") >= 0
        del each["timestamp"]
    common = {"event": "request_served", "level": "info", "method": "GET"}
    who = {"project": "p1", "principal": "good"}
    nobody = {"project": None, "principal": None}
    assert lines == [
        {**common, "operation": "get_thing", "status": served.status_code, **who},
        {**common, "operation": "unknown", "status": refused.status_code, **nobody},
    ]


async def test_lines_of_requests_can_be_left_out() -> None:
    log = io.StringIO()
    settings = {"server": {"log_requests": False}}
    quiet = make_log("info", "json", stream=log)
    async with kernel_with(Things, Keys, log=quiet, settings=settings) as at:
        assert (await at.get("/things/1", headers=KEY)).status_code == 200
    assert log.getvalue() == ""


async def test_an_answer_that_cannot_be_encoded_is_a_500_like_any_bug() -> None:
    async with server() as at:
        answer = await at.get("/unsendable", headers=KEY)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")


async def test_a_problem_is_answered_as_it_is_worded() -> None:
    answer, _ = await failed("problem")
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "3")
    assert answer.json() == {
        "error": {
            "message": "Come back.",
            "type": "invalid_request_error",
            "param": "x",
            "code": "busy",
        }
    }


@pytest.mark.parametrize(
    ("how", "status", "code", "text"),
    [
        ("store", 503, "storage_unavailable", "the disk is full"),
        ("cursor", 400, None, "thing_9"),
        ("unreachable", 503, "backend_unavailable", "'gpu' did not answer: connection refused"),
        ("overloaded", 429, "rate_limit_exceeded", "too many"),
        ("refused", 400, None, "max_tokens is too large"),
        ("not_found", 404, "model_not_found", "gpt-9"),
    ],
)
async def test_what_a_port_raises_has_words_of_its_own(
    how: str, status: int, code: str | None, text: str
) -> None:
    answer, _ = await failed(how)
    assert answer.status_code == status
    assert text in answer.json()["error"]["message"]
    if code is not None:
        assert answer.json()["error"]["code"] == code


async def test_a_model_server_that_says_when_to_come_back_is_passed_on() -> None:
    answer, _ = await failed("overloaded")
    assert answer.headers["retry-after"] == "7"


# --- sockets that are none of ours ---------------------------------------------------------------


async def test_a_websocket_is_closed() -> None:
    async with server() as at:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await at.kernel({"type": "websocket", "path": "/"}, receive, send)
        assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_kernel_that_was_not_started_says_so(tmp_path: Any) -> None:
    from famulus.testing import make_kernel

    with pytest.raises(RuntimeError, match="has not been started"):
        await ask(make_kernel(data_dir=tmp_path), "GET", "/things")


# --- operations that cannot be -------------------------------------------------------------------


async def no_call(self: Any, body: Thing) -> Thing: ...  # type: ignore[empty-body]
async def no_path_name(self: Any, call: Call) -> Thing: ...  # type: ignore[empty-body]
async def surplus(self: Any, call: Call, id: str, other: int) -> Thing: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_call, "must take call first"),
        (no_path_name, "every name of the path ['id']"),
        (surplus, "parameter 'other' is not in the path, nor known"),
    ],
)
async def test_a_function_that_cannot_be_an_operation_fails_its_plugin_and_says_why(
    function: Callable[..., Any], message: str
) -> None:
    def register_operations(self: Any) -> list[Operation]:
        return operations(self)

    marked = operation("GET", "/odd/{id}", action="odd.read")(function)
    body = {"name": "odd", "odd": marked, "register_operations": hookimpl(register_operations)}
    odd = type("Odd", (Plugin,), {**body, "__doc__": "Odd."})
    async with kernel_with(odd, Things) as at:
        state, reason = at.state("odd")
        assert state == "failed"
        assert "(GET /odd/{id})" in reason
        assert message in reason
        assert (await at.get("/things/1")).status_code == 200
