"""What every answer says to browsers and caches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from famulus import (
    Bytes,
    Call,
    EventStream,
    NoSettings,
    Operation,
    Plugin,
    encode_event,
    hookimpl,
    operation,
    operations,
)
from famulus.api_page import api_page_policy
from famulus.downloads import download
from famulus.testing import TestServer, kernel_with, live_server, make_kernel

pytestmark = pytest.mark.anyio

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
NO_PAGE = "default-src 'none'; frame-ancestors 'none'; sandbox"


class Text(msgspec.Struct):
    text: str


class Answers(Plugin[NoSettings]):
    """Answers in every form that there is."""

    name = "answers"

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/json", action="a.read")
    async def json(self, call: Call) -> Text:
        """A struct."""
        return Text("x")

    @operation("GET", "/page", action="a.read", documented_answer={"text/html": str})
    async def page(self, call: Call) -> Bytes:
        """What a browser would run, if it were let."""
        return Bytes(b"<script>alert(1)</script>", "text/html")

    @operation("GET", "/kept", action="a.read", documented_answer={"text/plain": str})
    async def kept(self, call: Call) -> Bytes:
        """What may be kept, and says so."""
        call.response_headers["cache-control"] = "max-age=60"
        call.response_headers["content-security-policy"] = "default-src 'self'"
        return Bytes(b"x", "text/plain")

    @operation("GET", "/file", action="a.read", documented_answer={"text/plain": str})
    async def file(self, call: Call) -> Bytes:
        """A stored file."""

        async def open(start: int, end: int) -> AsyncIterator[bytes]:
            async def chunks() -> AsyncIterator[bytes]:
                yield b"x" * (end - start)

            return chunks()

        return await download(call, open, size=3, filename='a"\r\nb.html', etag="e")

    @operation("GET", "/stream", action="a.read")
    async def stream(self, call: Call) -> EventStream[Text]:
        """Events."""

        async def frames() -> AsyncIterator[bytes]:
            yield encode_event(b'"x"')

        return EventStream(frames())

    @operation("GET", "/broken", action="a.read")
    async def broken(self, call: Call) -> Text:
        """A bug."""
        raise RuntimeError("a bug")


ROWS: list[tuple[str, int, dict[str, str | None]]] = [
    ("/json", 200, {"content-security-policy": None}),
    ("/page", 200, {"content-security-policy": NO_PAGE}),
    (
        "/kept",
        200,
        {"cache-control": "max-age=60", "content-security-policy": "default-src 'self'"},
    ),
    (
        "/file",
        200,
        {
            "content-security-policy": NO_PAGE,
            "content-type": "application/octet-stream",
            "content-disposition": 'attachment; filename="a___b.html"; '
            "filename*=UTF-8''a%22%0D%0Ab.html",
        },
    ),
    ("/stream", 200, {"x-accel-buffering": "no"}),
    ("/broken", 500, {}),
    ("/nowhere", 404, {}),
    ("/docs", 200, {"content-security-policy": api_page_policy()}),
    ("/openapi.json", 200, {}),
    ("/health/live", 200, {}),
    ("/health/ready", 200, {}),
]


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async with kernel_with(Answers) as started:
        yield started


@pytest.mark.parametrize(("path", "status", "special"), ROWS, ids=[row[0] for row in ROWS])
async def test_every_answer_says_how_it_may_be_used(
    server: TestServer, path: str, status: int, special: dict[str, str | None]
) -> None:
    answer = await server.get(path)
    assert answer.status_code == status
    for name, value in {**SAFE, **special}.items():
        assert answer.headers.get_list(name) == ([] if value is None else [value])
    # What would tell an attacker what to look up.
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


def test_the_page_of_docs_may_do_nothing_but_show_itself() -> None:
    policy = dict(part.split(" ", 1) for part in api_page_policy().split("; "))
    nothing = {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert all(policy[name] == "'none'" for name in nothing)
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in api_page_policy()


async def test_what_is_refused_before_it_is_a_request_says_the_same(tmp_path: Path) -> None:
    settings = {"server": {"header_bytes_max": 1000}}
    kernel = make_kernel(Answers, data_dir=tmp_path, settings=settings)
    async with live_server(kernel) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/json", headers={"x-large": "x" * 2000})
    assert answer.status_code == 431
    assert {name: answer.headers[name] for name in SAFE} == SAFE


@pytest.mark.parametrize(
    ("server_settings", "scheme", "said"),
    [
        ({"host": "0.0.0.0"}, "https", "max-age=31536000"),
        ({"host": "0.0.0.0"}, "http", None),
        ({"host": "0.0.0.0", "hsts_s": 60}, "https", "max-age=60"),
        ({"host": "0.0.0.0", "hsts_s": 0}, "https", None),
        # It would bind every other server of a developer's machine.
        ({}, "https", None),
        ({"trusted_proxies": ["127.0.0.1"]}, "https", "max-age=31536000"),
    ],
)
async def test_browsers_are_kept_to_https_where_they_came_by_it(
    server_settings: dict[str, Any], scheme: str, said: str | None
) -> None:
    async with kernel_with(Answers, settings={"server": server_settings}) as started:
        for path in ("/json", "/stream", "/nowhere", "/health/live"):
            answer = await started.get(f"{scheme}://famulus.test{path}")
            assert answer.headers.get("strict-transport-security") == said
