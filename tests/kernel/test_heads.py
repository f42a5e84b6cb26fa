"""Our quicker way of writing answers writes what uvicorn's own would, to the byte."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from famulus.heads import Cycle, head_of
from famulus.safe_headers import CONSTANT
from famulus.written_heads import WrittenHead

pytestmark = pytest.mark.anyio

NAMES = st.sampled_from(
    [b"x-thing", b"X-Thing", b"content-length", b"connection", b"transfer-encoding", b"bad name"]
) | st.binary(min_size=1, max_size=6)
VALUES = st.sampled_from(
    [b"", b"0", b"5", b"close", b"keep-alive", b"chunked", b"a\r\nb: c", b"a\tb", b"\xff"]
) | st.binary(max_size=6)
HEADERS = st.lists(st.sampled_from(CONSTANT) | st.tuples(NAMES, VALUES), max_size=6)
BODIES = st.lists(
    st.tuples(st.sampled_from([b"", b"hello", b"hello!"]), st.booleans()), min_size=1, max_size=3
)


class Written:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.said = b""
        self.writes = 0
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.said += data
        self.writes += 1

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def answered(
    kind: type[RequestResponseCycle],
    messages: list[dict[str, Any]],
    *,
    method: str,
    keep_alive: bool,
    transport: Written | None = None,
) -> tuple[Any, ...]:
    """What is written, how it ends, and what went wrong."""
    transport, ended = transport or Written(), []
    cycle = kind(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=transport,  # type: ignore[arg-type]
        flow=FlowControl(transport),  # type: ignore[arg-type]
        logger=logging.getLogger("test"),
        access_logger=logging.getLogger("test"),
        access_log=False,
        default_headers=[(b"date", b"now")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: ended.append(True),
    )
    fault = ""
    for message in messages:
        try:
            await cycle.send(message)  # type: ignore[arg-type]
        except (RuntimeError, ValueError) as error:
            fault = f"{type(error).__name__}: {error}"
            break
    state = cycle.response_started, cycle.response_complete, cycle.keep_alive
    return transport.said, transport.is_closed, ended, state, fault


@given(
    status=st.sampled_from([200, 204, 304, 404]),
    headers=HEADERS,
    bodies=BODIES,
    method=st.sampled_from(["GET", "HEAD"]),
    keep_alive=st.booleans(),
)
async def test_an_answer_is_written_as_uvicorn_writes_it(
    status: int,
    headers: list[tuple[bytes, bytes]],
    bodies: list[tuple[bytes, bool]],
    method: str,
    keep_alive: bool,
) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "http.response.start", "status": status, "headers": headers},
        *({"type": "http.response.body", "body": body, "more_body": m} for body, m in bodies),
    ]
    of_both = [
        await answered(kind, messages, method=method, keep_alive=keep_alive)
        for kind in (Cycle, RequestResponseCycle)
    ]
    assert of_both[0] == of_both[1]


@given(
    status=st.sampled_from([200, 404]),
    said=st.lists(st.sampled_from([b"x-a: 1", b"x-b: ", b"x-c: a: b"])),
    body=st.sampled_from([b"", b"hello"]),
    method=st.sampled_from(["GET", "HEAD"]),
    keep_alive=st.booleans(),
)
async def test_lines_are_written_as_the_headers_that_they_are(
    status: int, said: list[bytes], body: bytes, method: str, keep_alive: bool
) -> None:
    lines = b"".join(b"%s\r\n" % line for line in (*said, b"content-length: %d" % len(body)))
    head = WrittenHead(lines, len(body))
    of_all = [
        await answered(
            kind,
            [
                {"type": "http.response.start", "status": status, "headers": headers},
                {"type": "http.response.body", "body": body},
            ],
            method=method,
            keep_alive=keep_alive,
        )
        for kind, headers in ((Cycle, head), (Cycle, list(head)), (RequestResponseCycle, head))
    ]
    assert of_all[0] == of_all[1] == of_all[2]


async def test_a_small_answer_is_one_write_and_a_stream_begins_at_once() -> None:
    small = [
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]},
        {"type": "http.response.body", "body": b"hello"},
    ]
    stream = [{"type": "http.response.start", "status": 200, "headers": []}]
    for messages in (small, stream):
        transport = Written()
        await answered(Cycle, messages, method="GET", keep_alive=True, transport=transport)
        assert transport.writes == 1


@given(status=st.just(200), value=st.binary(max_size=8))
async def test_no_value_begins_a_line_of_its_own(status: int, value: bytes) -> None:
    made = head_of(status, [(b"x-thing", value), (b"x-other", b"1")])
    if made is None:
        return
    lines, _ = made
    assert b"".join(lines).count(b"\n") == 3


async def test_what_every_answer_has_is_known() -> None:
    lines, length = head_of(200, [*CONSTANT, (b"content-length", b"2")]) or ([], None)
    assert length == 2
    assert b"".join(lines).startswith(b"HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\n")
