"""What is told of limits, and what is taken for what a request will use."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_rate_limits.estimate import Estimate, estimate
from famulus_rate_limits.usage import Metered, used
from famulus_rate_limits.words import duration, wait_headers

pytestmark = pytest.mark.anyio

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0201, "21ms"),
        (0.9999, "1s"),
        (7.5, "7.5s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (3723, "1h2m3s"),
        (86_400, "24h0m0s"),
    ],
)
def test_a_time_is_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e6))
def test_no_time_is_written_as_less_than_it_is(seconds: float) -> None:
    parts = re.findall(r"([\d.]+)(h|ms|m|s)", duration(seconds))
    written = sum(float(number) * UNITS[unit] for number, unit in parts)
    assert seconds - 1e-5 <= written <= seconds + 0.0011
    headers = wait_headers(seconds)
    assert int(headers["retry-after"]) >= max(1, seconds)
    assert int(headers["retry-after-ms"]) >= seconds * 1000 - 1e-5


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"model": "m", "prompt": "x" * 38}, Estimate("m", 10, 7)),
        ({"model": "m", "prompt": "x" * 38, "max_tokens": 50}, Estimate("m", 10, 50)),
        ({"input": ["x" * 36], "max_completion_tokens": 3, "n": 4}, Estimate(None, 10, 12)),
        ({"messages": [], "max_tokens": "many", "n": -1, "model": 5}, Estimate(None, 1, 7)),
        ([], Estimate(None, 0, 7)),
    ],
)
def test_an_estimate_goes_by_the_text_and_the_answers_limit(body: object, found: Estimate) -> None:
    assert estimate(msgspec.json.encode(body), answer_tokens=7) == found


@given(st.binary(max_size=200))
def test_any_body_has_an_estimate(body: bytes) -> None:
    assert estimate(body, answer_tokens=7).tokens >= 7


def test_an_estimate_is_within_reason() -> None:
    assert estimate(b'{"max_tokens": 99999999999999}', answer_tokens=1).tokens == 100_000_000


def test_usage_is_not_read_out_of_what_a_model_says() -> None:
    said = msgspec.json.encode({"content": '{"total_tokens": 1}', "usage": {"total_tokens": 42}})
    assert used(said) == 42
    assert used(msgspec.json.encode({"content": '"total_tokens": 1'})) is None
    assert used(b'{"usage": {"total_tokens":  42}, "data": "' + b"x" * 10_000 + b'"}') == 42


async def frames(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("parts", "settled"),
    [
        ((b"data: a\n\n", b"data: b\n\ndata: [DONE]\n\n"), (None, 3)),
        ((b'data: {"usage":{"total_to', b'kens":12}}\n\n'), (12, 1)),
        ((), (None, 0)),
    ],
)
async def test_a_stream_is_passed_on_as_it_is_and_settled_once(
    parts: tuple[bytes, ...], settled: tuple[int | None, int]
) -> None:
    told: list[tuple[int | None, int]] = []

    async def settle(total: int | None, events: int) -> None:
        told.append((total, events))

    metered = Metered(frames(*parts), settle)
    assert tuple([part async for part in metered]) == parts
    await metered.aclose()
    await metered.aclose()
    assert told == [settled]


async def test_a_stream_that_is_left_before_its_end_is_settled_too() -> None:
    told: list[int] = []

    async def settle(total: int | None, events: int) -> None:
        told.append(events)

    metered = Metered(frames(b"data: a\n\n", b"data: b\n\n"), settle)
    await anext(metered)
    await metered.aclose()
    assert told == [1]
