"""Lines of requests wait for each other; no line overtakes another, and none is lost."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
import structlog

from famulus.log import Log, TellRequest, flush, make_log, request_log
from famulus.log_lines import WAITING_MAX, Lines
from famulus_schemas.notices import RequestServed

pytestmark = pytest.mark.anyio


class Counted(io.StringIO):
    """A stream that counts what it is asked to write."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def served(number: int = 1, *, request_id: str = "", ended_at: float = 0.0) -> RequestServed:
    return RequestServed(
        operation="hello",
        status=200,
        seconds=0.00146,
        request_id=request_id or f"req_{number}",
        ended_at=ended_at,
        project="default",
        method="GET",
    )


def tell(log: Log) -> TellRequest:
    found = request_log(log)
    assert found is not None
    return found


def ids(out: io.StringIO) -> list[str]:
    return [json.loads(line)["request_id"] for line in out.getvalue().splitlines()]


async def test_what_comes_soon_is_written_together_and_before_what_comes_at_once() -> None:
    out = Counted()
    lines = Lines(out)
    lines.soon(served(1))
    lines.soon(served(2))
    assert out.writes == 0
    lines.msg('{"request_id":"at once"}')
    lines.soon(served(3))
    assert (ids(out), out.writes) == (["req_1", "req_2", "at once"], 1)
    lines.flush()
    assert ids(out)[-1] == "req_3"


async def test_what_comes_soon_is_written_without_anybody_asking() -> None:
    out = Counted()
    Lines(out).soon(served())
    async with asyncio.timeout(20):
        while not out.writes:
            await asyncio.sleep(0.01)
    assert ids(out) == ["req_1"]


async def test_no_more_than_so_many_lines_wait() -> None:
    out = Counted()
    lines = Lines(out)
    for number in range(WAITING_MAX + 1):
        lines.soon(served(number))
    assert out.writes == 1
    assert ids(out) == [f"req_{number}" for number in range(WAITING_MAX)]


def test_without_a_loop_nothing_waits() -> None:
    out = Counted()
    Lines(out).soon(served())
    assert ids(out) == ["req_1"]


def test_a_line_tells_its_time_to_the_microsecond() -> None:
    out = io.StringIO()
    for ended_at in (0.0, 1_700_000_000.25, 1_700_000_000.999999):
        Lines(out).soon(served(ended_at=ended_at))
    assert [json.loads(line)["timestamp"] for line in out.getvalue().splitlines()] == [
        "1970-01-01T00:00:00Z",
        "2023-11-14T22:13:20.250000Z",
        "2023-11-14T22:13:20.999999Z",
    ]


async def test_a_request_is_told_like_any_other_event() -> None:
    out = io.StringIO()
    log = make_log("info", "json", stream=out)
    tell(log)(served())
    log.info("request_served", request_id="req_1")
    quick, usual = map(json.loads, out.getvalue().splitlines())
    assert (quick["event"], quick["level"]) == (usual["event"], usual["level"])
    assert quick["request_id"] == usual["request_id"]
    assert (quick["status"], quick["ms"], quick["principal"]) == (200, 1.5, None)


@pytest.mark.parametrize("log_format", ["json", "pretty"])
async def test_a_client_cannot_have_its_key_logged_as_its_requests_id(log_format: str) -> None:
    out = io.StringIO()
    log = make_log("info", log_format, stream=out)  # type: ignore[arg-type]
    tell(log)(served(request_id="sk-abcdefghijklmnop"))
    flush(log)
    assert "request_served" in out.getvalue()
    assert "efghij" not in out.getvalue()


@pytest.mark.parametrize("log_format", ["json", "pretty"])
async def test_a_request_is_below_the_level_of_warnings(log_format: str) -> None:
    out = io.StringIO()
    log = make_log("warning", log_format, stream=out)  # type: ignore[arg-type]
    assert request_log(log) is None


async def test_anothers_logger_is_told_by_its_own_ways() -> None:
    told: list[dict[str, object]] = []

    def note(_: object, __: str, event: dict[str, object]) -> dict[str, object]:
        told.append(event)
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, processors=[note])
    tell(log)(served())
    flush(log)
    [event] = told
    assert (event["event"], event["operation"]) == ("request_served", "hello")
