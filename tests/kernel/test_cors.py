"""Pages of other origins: none reads an answer unless its origin is listed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from starlette.datastructures import Headers

from famulus import (
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
from famulus.mistakes import ConfigError
from famulus.testing import TestServer, kernel_with, live_server, make_kernel
from famulus_schemas.identity import Principal

pytestmark = pytest.mark.anyio

APP = "https://app.example.com"
ORIGINS = [
    None,
    "null",
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://evilapp.example.com",
    "*",
    "",
]
"""None of which is listed where APP is."""


class Text(msgspec.Struct):
    text: str


class Speaker(Plugin[NoSettings]):
    """Streams a word, and echoes; for whoever has the key `right`."""

    name = "keys"

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        if headers.get("authorization") != "Bearer right":
            return None
        return Principal(id="who", project="default")

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("POST", "/echo", action="echo.write")
    async def echo(self, call: Call, body: Text) -> Text:
        """Say it."""
        call.response_headers["x-ratelimit-remaining-requests"] = "7"
        return body

    @operation("GET", "/stream", action="echo.read")
    async def stream(self, call: Call) -> EventStream[Text]:
        """Say a word."""
        return EventStream(self._frames())

    async def _frames(self) -> AsyncIterator[bytes]:
        yield encode_event(b'"word"')


@asynccontextmanager
async def server(origins: list[str]) -> AsyncIterator[TestServer]:
    async with kernel_with(Speaker, settings={"server": {"cors_origins": origins}}) as started:
        yield started


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }


def said_of_origins(answer: httpx.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/echo", "/health/live", "/docs", "/nowhere"])
async def test_without_a_list_no_page_is_let_in(path: str) -> None:
    async with server([]) as famulus:
        for origin in [APP, "null", "*"]:
            asked = await famulus.client.options(path, headers=preflight(origin))
            assert asked.status_code in (401, 405)
            got = await famulus.get(path, headers={"origin": origin})
            assert said_of_origins(asked) == said_of_origins(got) == []


@pytest.mark.parametrize("origin", ORIGINS)
async def test_an_origin_that_is_not_listed_is_as_if_there_were_no_list(origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    async with server([APP]) as famulus:
        for path in ("/echo", "/stream", "/health/live"):
            got = await famulus.get(path, headers={**headers, "authorization": "Bearer right"})
            assert said_of_origins(got) == []
            if origin is not None:
                asked = await famulus.client.options(path, headers=preflight(origin))
                # No key, no answer.
                assert asked.status_code in (401, 405)
                assert said_of_origins(asked) == []


async def test_a_listed_origin_may_ask_with_a_key_and_is_told_so_without_one() -> None:
    async with server([APP]) as famulus:
        asked = await famulus.client.options("/echo", headers=preflight(APP))
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == APP
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "x-stainless-lang" in asked.headers["access-control-allow-headers"]
        assert "origin" in asked.headers["vary"].lower()
        # Never with cookies: a page sends its key itself.
        assert "access-control-allow-credentials" not in asked.headers


async def test_a_page_reads_the_answer_its_id_and_its_limits() -> None:
    async with server([APP]) as famulus:
        headers = {"origin": APP, "authorization": "Bearer right"}
        answer = await famulus.post("/echo", json={"text": "hello"}, headers=headers)
    assert answer.json() == {"text": "hello"}
    assert answer.headers["access-control-allow-origin"] == APP
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "openai-processing-ms", "x-ratelimit-remaining-requests"} <= set(
        exposed
    )
    assert answer.headers["vary"] == "Origin"


async def test_a_page_reads_errors_too() -> None:
    async with server([APP]) as famulus:
        answer = await famulus.post("/echo", json={"text": "hello"}, headers={"origin": APP})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == APP


async def test_a_cookie_is_no_key() -> None:
    async with server([APP]) as famulus:
        headers = {"origin": APP, "cookie": "authorization=Bearer right; key=right"}
        assert (await famulus.post("/echo", json={"text": ""}, headers=headers)).status_code == 401


async def test_a_form_of_another_page_changes_nothing() -> None:
    async with server([APP]) as famulus:
        answer = await famulus.client.post(
            "/echo", data={"text": "x"}, headers={"origin": "https://evil.example"}
        )
        assert answer.status_code == 401


async def test_a_stream_reaches_a_page_as_it_comes(tmp_path: Path) -> None:
    settings = {"server": {"cors_origins": [APP]}}
    kernel = make_kernel(Speaker, data_dir=tmp_path, settings=settings)
    async with live_server(kernel) as url, httpx.AsyncClient(base_url=url) as client:
        headers = {"origin": APP, "authorization": "Bearer right"}
        async with client.stream("GET", "/stream", headers=headers) as answer:
            assert answer.headers["access-control-allow-origin"] == APP
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert [line async for line in answer.aiter_lines()] == ['data: "word"', ""]


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "app.example.com", f"{APP}/", f"{APP}/page", "https://*.example.com", ""],
)
async def test_what_is_no_origin_is_refused_at_the_start(origin: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[server\] cors_origins: .* is no origin"):
        make_kernel(Speaker, data_dir=tmp_path, settings={"server": {"cors_origins": [origin]}})
