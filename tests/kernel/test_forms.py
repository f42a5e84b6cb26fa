"""Forms with files: in any order, of any form that a client or an attacker may give them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import msgspec
import pytest

from famulus import (
    Bytes,
    Call,
    FileField,
    FilePart,
    Form,
    NoSettings,
    Operation,
    Plugin,
    hookimpl,
    operation,
    operations,
)
from famulus.downloads import attachment, download
from famulus.operations import OperationError
from famulus.testing import TestServer, kernel_with, live_server, make_kernel

pytestmark = pytest.mark.anyio

EDGE = "edge"
TYPE = {"content-type": f"multipart/form-data; boundary={EDGE}"}
DATA = bytes(range(256)) * 40


class Expiry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A struct inside a form."""

    anchor: Literal["created_at"]
    seconds: int


class SendThing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form."""

    file: FileField
    purpose: Literal["one", "two"]
    expires_after: Expiry | None = None
    tags: list[str] = []


class NamesThing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body."""

    name: str


class SendsOrNames(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form that may be without a file."""

    file: FileField | msgspec.UnsetType = msgspec.UNSET
    name: str | None = None


class Got(msgspec.Struct):
    """What came of a form."""

    name: str
    content_type: str
    bytes: int
    sha256: str
    purpose: str
    seconds: int | None
    tags: list[str]


class Things(Plugin[NoSettings]):
    """Takes forms, and gives a file."""

    name = "things"
    taken: list[int]

    @hookimpl
    def register_operations(self) -> list[Operation]:
        self.taken = []
        return operations(self)

    @operation("POST", "/things", action="things.write", body_bytes_max=100_000)
    async def send_thing(self, call: Call, form: Form[SendThing]) -> Got:
        """Take a file."""

        async def save(part: FilePart) -> tuple[str, int, str]:
            digest, size = hashlib.sha256(), 0
            async for chunk in part:
                digest.update(chunk)
                size += len(chunk)
                self.taken.append(size)
            return part.content_type, size, digest.hexdigest()

        fields, files = await form.read(save, file_bytes_max=50_000)
        content_type, size, digest = files["file"]
        seconds = fields.expires_after.seconds if fields.expires_after else None
        return Got(fields.file, content_type, size, digest, fields.purpose, seconds, fields.tags)

    @operation("POST", "/things/either", action="things.write", body_bytes_max=20_000_000)
    async def send_either(
        self, call: Call, body: NamesThing | None, form: Form[SendsOrNames] | None
    ) -> dict[str, str]:
        """Take a file, or the name of one."""
        if form is None:
            assert body is not None
            return {"named": body.name}

        async def save(part: FilePart) -> int:
            return sum([len(chunk) async for chunk in part])

        fields, files = await form.read(save)
        assert body is None
        sizes = {name: str(size) for name, size in files.items()}
        return {**sizes, "named": fields.name or "nobody"}

    @operation("GET", "/things/content", action="things.read")
    async def content(self, call: Call) -> Bytes:
        """Give a file."""

        async def open(start: int, end: int) -> AsyncIterator[bytes]:
            async def chunks() -> AsyncIterator[bytes]:
                for at in range(start, end, 1000):
                    yield DATA[at : min(at + 1000, end)]

            return chunks()

        return await download(call, open, size=len(DATA), filename='a"b\r\nc.txt', etag="e1")


def part(name: str, content: bytes | str, *, filename: str | None = None) -> bytes:
    head = f'content-disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"\r\ncontent-type: text/plain'
    data = content.encode() if isinstance(content, str) else content
    return f"--{EDGE}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{EDGE}--\r\n".encode()


FILE = part("file", "hello", filename="a.txt")
PURPOSE = part("purpose", "one")


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async with kernel_with(Things) as server:
        yield server


async def sent(server: TestServer, body: bytes, headers: dict[str, str] = TYPE) -> httpx.Response:
    return await server.post("/things", content=body, headers=headers)


def error_of(response: httpx.Response, status: int = 400) -> tuple[str | None, str | None, str]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error["param"], error["code"], error["message"]


# --- what is right -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(FILE, PURPOSE), (PURPOSE, FILE)], ids=["file first", "last"])
async def test_fields_and_the_file_come_in_any_order(
    server: TestServer, order: tuple[bytes, ...]
) -> None:
    got = (await sent(server, form(*order))).json()
    assert got == {
        "name": "a.txt",
        "content_type": "text/plain",
        "bytes": 5,
        "sha256": hashlib.sha256(b"hello").hexdigest(),
        "purpose": "one",
        "seconds": None,
        "tags": [],
    }


async def test_a_struct_and_a_list_are_given_with_brackets(server: TestServer) -> None:
    body = form(
        part("expires_after[seconds]", "3600"),
        part("tags[]", "x"),
        FILE,
        part("tags[]", "y"),
        part("expires_after[anchor]", "created_at"),
        PURPOSE,
    )
    got = (await sent(server, body)).json()
    assert (got["seconds"], got["tags"]) == (3600, ["x", "y"])


async def test_a_file_may_hold_anything_even_most_of_the_boundary(server: TestServer) -> None:
    content = b"\r\n--edg\r\n--\r\r\n\r\n--EDGE\r\n\0\xff" * 500
    got = (await sent(server, form(part("file", content, filename="x"), PURPOSE))).json()
    assert got["sha256"] == hashlib.sha256(content).hexdigest()


async def test_a_name_is_kept_as_it_is_given(server: TestServer) -> None:
    body = form(part("file", "x", filename="größe 漢字.txt"), PURPOSE)
    assert (await sent(server, body)).json()["name"] == "größe 漢字.txt"


async def test_what_stands_behind_the_end_is_ignored(server: TestServer) -> None:
    assert (await sent(server, form(FILE, PURPOSE) + b"\r\nmore")).status_code == 200


async def test_a_body_that_comes_byte_by_byte_is_the_same(tmp_path: Any) -> None:
    body = form(PURPOSE, FILE)

    async def bytewise() -> AsyncIterator[bytes]:
        for at in range(len(body)):
            yield body[at : at + 1]

    kernel = make_kernel(Things, data_dir=tmp_path)
    async with live_server(kernel) as url, httpx.AsyncClient() as client:
        got = await client.post(f"{url}/things", content=bytewise(), headers=TYPE)
    assert got.json()["name"] == "a.txt"


# --- what is wrong -------------------------------------------------------------------------------

BAD: dict[str, tuple[bytes, str | None, str]] = {
    "no file": (form(PURPOSE), "file", "Missing required parameter: 'file'."),
    "no field": (form(FILE), "purpose", "Missing required parameter: 'purpose'."),
    "nothing": (form(), "file", "Missing required parameter: 'file'."),
    "a wrong value": (
        form(FILE, part("purpose", "three")),
        "purpose",
        "Invalid value: 'three'. Supported values are: 'one' and 'two'.",
    ),
    "a wrong value inside": (
        form(
            FILE, PURPOSE, part("expires_after[anchor]", "x"), part("expires_after[seconds]", "1")
        ),
        "expires_after.anchor",
        "Invalid value: 'x'. Supported values are: 'created_at'.",
    ),
    "no number": (
        form(
            FILE,
            PURPOSE,
            part("expires_after[anchor]", "created_at"),
            part("expires_after[seconds]", "x"),
        ),
        "expires_after.seconds",
        "Invalid type for 'expires_after.seconds': expected an integer, but got a string instead.",
    ),
    "a half struct": (
        form(FILE, PURPOSE, part("expires_after[anchor]", "created_at")),
        "expires_after.seconds",
        "Missing required parameter: 'expires_after.seconds'.",
    ),
    "an unknown field": (form(FILE, PURPOSE, part("x", "y")), "x", "Unknown parameter: 'x'."),
    "an unknown file": (
        form(part("x", "y", filename="z"), FILE, PURPOSE),
        "x",
        "Unknown parameter: 'x'.",
    ),
    "a file for a text": (
        form(FILE, part("purpose", "one", filename="z")),
        "purpose",
        "Invalid type for 'purpose': expected a text field, but got a file instead.",
    ),
    "a text for a file": (
        form(part("file", "x"), PURPOSE),
        "file",
        "Invalid type for 'file': expected a file, but got a text field instead.",
    ),
    "two files": (
        form(FILE, FILE, PURPOSE),
        "file",
        "The parameter 'file' is given more than once.",
    ),
    "a field twice": (
        form(PURPOSE, FILE, PURPOSE),
        "purpose",
        "The parameter 'purpose' is given more than once.",
    ),
    "a name that is no UTF-8": (
        form(FILE.replace(b"a.txt", b"\xff\xfe"), PURPOSE),
        "file",
        "Invalid 'file': its name is not valid UTF-8.",
    ),
    "a field that is no UTF-8": (
        form(FILE, part("purpose", b"\xff")),
        "purpose",
        "Invalid 'purpose': the text is not valid UTF-8.",
    ),
    "a NUL in a name": (
        form(part("file", "x", filename="a\0b"), PURPOSE),
        "file",
        "Invalid 'file': the text holds a NUL character (%00).",
    ),
    "a long field": (
        form(FILE, part("purpose", "x" * 70_000)),
        "purpose",
        "Invalid 'purpose': it is longer than 65536 bytes.",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_wrong_with_a_form_is_said_by_name(server: TestServer, case: str) -> None:
    body, param, message = BAD[case]
    assert error_of(await sent(server, body))[::2] == (param, message)


BROKEN: dict[str, bytes] = {
    "cut in a file": form(PURPOSE, FILE)[:-30],
    "cut in a header": form(PURPOSE, FILE)[:20],
    "cut before the last boundary": PURPOSE + FILE,
    "empty": b"",
    "another boundary": form(PURPOSE, FILE).replace(b"--edge", b"--egde"),
    "line feeds alone": form(PURPOSE, FILE).replace(b"\r\n", b"\n"),
    "a huge file name": form(part("file", "x", filename="n" * 20_000), PURPOSE),
    "many headers": form(PURPOSE.replace(b"\r\n\r\n", b"\r\nx-a: b" * 9 + b"\r\n\r\n"), FILE),
    "an endless header": b"--edge\r\nx: " + b"y" * 90_000,
    "many parts": form(*(part(f"tags[{at}]", "x") for at in range(65))),
    "no name": form(FILE.replace(b"form-data", b"attachment"), PURPOSE),
    "a flood and no boundary": b"x" * 90_000,
    "no form at all": b'{"file": "x"}',
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_no_form_is_a_400(server: TestServer, case: str) -> None:
    param, code, message = error_of(await sent(server, BROKEN[case]))
    assert (param, code) == (None, "invalid_form")
    assert message.startswith("We could not parse the multipart form data of your request: ")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 300,
    ],
)
async def test_a_boundary_must_be_named(server: TestServer, content_type: str) -> None:
    response = await sent(server, form(FILE, PURPOSE), {"content-type": content_type})
    assert error_of(response)[1] == "invalid_form"


async def test_another_content_type_is_a_415(server: TestServer) -> None:
    response = await server.post("/things", {"file": "x"})
    assert error_of(response, 415)[1] == "unsupported_content_type"


async def test_a_file_over_the_limit_is_refused_once_it_is_over_it(server: TestServer) -> None:
    body = form(part("file", b"x" * 60_000, filename="x"), PURPOSE)
    assert error_of(await sent(server, body), 413)[:2] == ("file", "file_too_large")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(server: TestServer) -> None:
    body = form(part("file", b"x" * 100_001, filename="x"), PURPOSE)
    assert error_of(await sent(server, body), 413)[1] == "request_too_large"
    assert server.plugin("things").taken == []


# --- how it comes --------------------------------------------------------------------------------


async def endless(start: bytes) -> AsyncIterator[bytes]:
    yield start
    for _ in range(100):
        yield b"x" * 1000
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("start", "status", "code"),
    [
        (PURPOSE + FILE[:-2], 413, "file_too_large"),
        (PURPOSE + part("tags[]", "")[:-2], 400, "invalid_value"),
        (b"--edge\r\nx: ", 400, "invalid_form"),
        (b"", 400, "invalid_form"),
    ],
    ids=["file", "field", "header", "nothing"],
)
async def test_what_does_not_end_is_refused_at_its_limit(
    tmp_path: Any, start: bytes, status: int, code: str
) -> None:
    kernel = make_kernel(Things, data_dir=tmp_path)
    async with live_server(kernel) as url, httpx.AsyncClient() as client:
        got = await client.post(f"{url}/things", content=endless(start), headers=TYPE)
    assert error_of(got, status)[1] == code
    assert got.headers["connection"] == "close"


async def test_who_is_not_known_is_refused_before_a_form_is_read(tmp_path: Any) -> None:
    async with kernel_with("sqlite", "keys", Things) as server:
        got = await sent(server, form(FILE, PURPOSE))
        assert got.status_code == 401
        assert got.headers["connection"] == "close"
        assert server.plugin("things").taken == []


async def test_who_is_refused_while_still_sending_reads_why(tmp_path: Any) -> None:
    body = form(part("file", b"x" * 3_000_000, filename="x"), PURPOSE)
    kernel = make_kernel("sqlite", "keys", Things, data_dir=tmp_path)
    async with live_server(kernel) as url, httpx.AsyncClient() as client:
        for _ in range(3):
            got = await client.post(f"{url}/things", content=body, headers=TYPE)
            assert got.status_code == 401


async def test_a_form_that_stops_coming_is_a_408(tmp_path: Any) -> None:
    settings = {"server": {"stream_idle_s": 0.05}}
    async with live_server(make_kernel(Things, data_dir=tmp_path, settings=settings)) as url:
        got = await _stalled(url, then=0)
    assert b"408" in got
    assert b"The request body came too slowly: nothing came for 0.05 seconds." in got


async def test_a_form_that_trickles_in_is_a_408(tmp_path: Any) -> None:
    settings = {"server": {"body_s": 0.05, "stream_bytes_per_s_min": 1_000_000}}
    async with live_server(make_kernel(Things, data_dir=tmp_path, settings=settings)) as url:
        got = await _stalled(url, then=1000)
    assert b"fewer than 1000000 bytes came each second." in got


async def _stalled(url: str, *, then: int) -> bytes:
    """The answer to half a form that goes on by single bytes, so many times, and then not."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /things HTTP/1.1\r\nhost: x\r\ncontent-type: {TYPE['content-type']}\r\n"
    writer.write(head.encode() + b"content-length: 90000\r\n\r\n" + FILE[:-5])
    answer = asyncio.ensure_future(reader.read())
    for _ in range(then):
        if answer.done():
            break
        writer.write(b"x")
        await asyncio.sleep(0.002)
    got = await answer
    writer.close()
    return got


# --- what goes out -------------------------------------------------------------------------------


async def test_a_download_is_whole_unless_a_range_is_asked_for(server: TestServer) -> None:
    got = await server.get("/things/content")
    assert (got.status_code, got.content) == (200, DATA)
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["content-length"] == str(len(DATA))
    assert got.headers["accept-ranges"] == "bytes"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "\n" not in got.headers["content-disposition"]
    assert got.headers["content-disposition"].startswith("attachment; filename=")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-2004", 5, 2005),
        ("bytes=10000-", 10_000, len(DATA)),
        ("bytes=-7", len(DATA) - 7, len(DATA)),
        ("bytes=-999999", 0, len(DATA)),
        ("bytes=10-999999", 10, len(DATA)),
    ],
)
async def test_a_range_is_what_was_asked_for(
    server: TestServer, asked: str, start: int, end: int
) -> None:
    got = await server.get("/things/content", headers={"range": asked})
    assert (got.status_code, got.content) == (206, DATA[start:end])
    assert got.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=-", "lines=1-2", "bytes=9-3", "x"])
async def test_a_range_that_means_nothing_is_no_range(server: TestServer, asked: str) -> None:
    got = await server.get("/things/content", headers={"range": asked})
    assert (got.status_code, len(got.content)) == (200, len(DATA))


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
async def test_a_range_outside_is_a_416(server: TestServer, asked: str) -> None:
    got = await server.get("/things/content", headers={"range": asked})
    assert error_of(got, 416)[1] == "range_not_satisfiable"
    assert got.headers["content-range"] == f"bytes */{len(DATA)}"


async def test_a_range_of_what_was_another_file_is_not_served(server: TestServer) -> None:
    headers = {"range": "bytes=0-1", "if-range": '"e0"'}
    assert (await server.get("/things/content", headers=headers)).status_code == 200


async def test_head_tells_the_length_alone(server: TestServer) -> None:
    got = await server.client.head("/things/content")
    assert (got.content, got.headers["content-length"]) == (b"", str(len(DATA)))


@pytest.mark.parametrize("name", ["a\r\nx: y", "../../etc/passwd", '"; x="', "\u202egnp.exe", ""])
def test_a_name_cannot_leave_its_header(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert ".." not in header.partition(";")[2] or name == ""


# --- how it is declared --------------------------------------------------------------------------


async def test_the_document_tells_of_the_form(server: TestServer) -> None:
    document = (await server.get("/openapi.json")).json()
    body = document["paths"]["/things"]["post"]["requestBody"]
    assert list(body["content"]) == ["multipart/form-data"]
    schema = document["components"]["schemas"]["SendThing"]
    assert schema["properties"]["file"] == {"type": "string", "format": "binary"}
    assert schema["required"] == ["file", "purpose"]


# --- a form, or a body ---------------------------------------------------------------------------


async def either(server: TestServer, body: bytes, kind: str) -> httpx.Response:
    headers = {"content-type": kind}
    return await server.client.post("/things/either", content=body, headers=headers)


async def test_where_an_operation_takes_both_each_comes_as_what_it_is(server: TestServer) -> None:
    as_form = TYPE["content-type"]
    assert (await either(server, b'{"name": "ada"}', "application/json")).json() == {"named": "ada"}
    sent = await either(server, form(FILE), as_form)
    assert sent.json() == {"file": "5", "named": "nobody"}
    sent = await either(server, form(part("name", "ada")), as_form)
    assert sent.json() == {"named": "ada"}


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "application/json", 400, "missing_required_parameter"),
        (b"{}", "application/json", 400, "missing_required_parameter"),
        (b"hello", "text/plain", 415, "unsupported_content_type"),
        (b'{"name": "%b"}' % (b"a" * 11_000_000), "application/json", 413, "request_too_large"),
    ],
)
async def test_what_is_neither_is_refused(
    body: bytes, kind: str, status: int, code: str, server: TestServer
) -> None:
    refused = await either(server, body, kind)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


async def test_the_document_tells_of_both(server: TestServer) -> None:
    document = (await server.get("/openapi.json")).json()
    body = document["paths"]["/things/either"]["post"]["requestBody"]
    assert body["required"] is True
    assert list(body["content"]) == ["application/json", "multipart/form-data"]
    schema = document["components"]["schemas"]["SendsOrNames"]
    assert schema["properties"]["file"] == {"type": "string", "format": "binary"}
    assert schema.get("required", []) == []


def test_a_form_and_a_body_are_both_declared_to_be_left_out() -> None:
    class Wrong:
        @operation("POST", "/x", action="x.write")
        async def both(self, call: Call, body: NamesThing, form: Form[SendThing] | None) -> Got:
            raise NotImplementedError

    with pytest.raises(OperationError, match="each must be"):
        operations(Wrong())


def test_a_form_is_declared_as_one() -> None:
    class Wrong:
        @operation("POST", "/x", action="x.write")
        async def bare(self, call: Call, form: SendThing) -> Got:
            raise NotImplementedError

    with pytest.raises(OperationError, match=r"Form\[Struct\]"):
        operations(Wrong())
