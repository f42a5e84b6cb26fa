"""Where a request ends is beyond doubt, or it is refused: others on the way might read on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.kernel.test_trailers import KNOWN, answer, serving

pytestmark = pytest.mark.anyio

HEAD = f"POST /told HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{KNOWN}"
CHUNKS = "2\r\n{}\r\n0\r\n\r\n"
DOUBTFUL = {
    "a coding that is none": ("transfer-encoding: xchunked", CHUNKS),
    "a coding in quotes": ('transfer-encoding: "chunked"', CHUNKS),
    "no coding at all": ("transfer-encoding: identity", "{}"),
    "chunks that are not last": ("transfer-encoding: chunked, identity", CHUNKS),
    "chunks of chunks": ("transfer-encoding: chunked, chunked", CHUNKS),
    "codings in two headers": (
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        CHUNKS,
    ),
    "chunks in the second header": (
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        CHUNKS,
    ),
    "chunks of what is packed": ("transfer-encoding: gzip, chunked", CHUNKS),
    "chunks of a coding that is none": ("transfer-encoding: xchunked, chunked", CHUNKS),
    "chunks of nothing": ("transfer-encoding: , chunked", CHUNKS),
    "a coding with parameters": ("transfer-encoding: chunked;q=1", CHUNKS),
    "a coding without a name": ("transfer-encoding:", CHUNKS),
    "a coding without a name, and a length": ("transfer-encoding:\r\ncontent-length: 2", "{}"),
    "a coding that goes on": ("transfer-encoding: chunked\r\n , identity", CHUNKS),
    "another header that goes on": ("x-some: 1\r\n 2\r\ncontent-length: 2", "{}"),
    "a length twice": ("content-length: 2\r\ncontent-length: 2", "{}"),
    "a length and chunks": ("content-length: 2\r\ntransfer-encoding: chunked", CHUNKS),
    "chunks and a length": ("transfer-encoding: chunked\r\ncontent-length: 2", CHUNKS),
    "two lengths": ("content-length: 2\r\ncontent-length: 3", "{}"),
    "a length with a sign": ("content-length: +2", "{}"),
    "a length that is a list": ("content-length: 2, 2", "{}"),
    "a name with a space": ("transfer-encoding : chunked", CHUNKS),
    "a value on the next line": ("transfer-encoding:\r\n chunked", CHUNKS),
    "a value behind a tab": ("transfer-encoding: \x0bchunked", CHUNKS),
    "a line that ends early": ("x-some: 1\ntransfer-encoding: chunked", CHUNKS),
    "a size that is no number": ("transfer-encoding: chunked", "0x2\r\n{}\r\n0\r\n\r\n"),
    "a size below nothing": ("transfer-encoding: chunked", "-2\r\n{}\r\n0\r\n\r\n"),
    "a size beyond all": ("transfer-encoding: chunked", "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer": ("transfer-encoding: chunked", "1\r\n{}\r\n0\r\n\r\n"),
    "lines of chunks that end early": ("transfer-encoding: chunked", "2\n{}\n0\n\n"),
}
NEXT = "GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize("doubtful", DOUBTFUL)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in pieces"])
async def test_a_request_of_doubtful_length_is_answered_400_and_nothing_after_it(
    tmp_path: Path, doubtful: str, at_once: bool
) -> None:
    head, body = DOUBTFUL[doubtful]
    pieces = [f"{HEAD}{head}\r\n\r\n", body, NEXT]
    async with serving(tmp_path) as port:
        said = await answer(port, *(["".join(pieces)] if at_once else pieces))
    assert said.count(b"HTTP/1.1 ") == 1
    assert said.startswith(b"HTTP/1.1 400 ")
    problem = msgspec.json.decode(said.partition(b"\r\n\r\n")[2])["error"]
    assert problem["code"] == "invalid_http"


async def test_it_is_refused_to_strangers_too(tmp_path: Path) -> None:
    strangers = HEAD.replace(KNOWN, "")
    async with serving(tmp_path) as port:
        said = {
            doubtful: (await answer(port, f"{strangers}{head}\r\n\r\n{body}"))[:13]
            for doubtful, (head, body) in DOUBTFUL.items()
        }
    assert said == dict.fromkeys(DOUBTFUL, b"HTTP/1.1 400 ")


@pytest.mark.parametrize("coding", ["xchunked", "identity", "gzip, chunked", "identity, chunked"])
async def test_nothing_of_a_body_is_waited_for_whose_end_is_in_doubt(
    tmp_path: Path, coding: str
) -> None:
    async with serving(tmp_path, body_s=300.0, linger_s=300.0) as port:
        said = await answer(port, f"{HEAD}transfer-encoding: {coding}\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
@pytest.mark.parametrize("more", ["", "connection: keep-alive\r\n"], ids=["", "kept"])
async def test_another_version_is_refused(tmp_path: Path, version: str, more: str) -> None:
    request = f"{HEAD}{more}content-length: 2\r\n\r\n{{}}".replace("HTTP/1.1", f"HTTP/{version}")
    async with serving(tmp_path) as port:
        said = await answer(port, request + NEXT)
    assert said.count(b"HTTP/1.1 ") == 1
    assert said.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("more", ["", "connection: keep-alive\r\n"], ids=["", "kept"])
async def test_before_http_1_1_there_were_no_chunks(tmp_path: Path, more: str) -> None:
    head = HEAD.replace("HTTP/1.1", "HTTP/1.0")
    async with serving(tmp_path) as port:
        chunks = await answer(port, f"{head}{more}transfer-encoding: chunked\r\n\r\n{CHUNKS}{NEXT}")
        length = await answer(port, f"{head}{more}content-length: 2\r\n\r\n{{}}")
    assert chunks.startswith(b"HTTP/1.1 400 ")
    assert chunks.count(b"HTTP/1.1 ") == 1
    assert length.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "\tchunked", "chunked  "])
async def test_chunks_are_known_however_they_are_written(tmp_path: Path, coding: str) -> None:
    head = f"{HEAD}connection: close\r\ntransfer-encoding: {coding}\r\n\r\n"
    async with serving(tmp_path) as port:
        assert (await answer(port, head + CHUNKS)).startswith(b"HTTP/1.1 200 ")


async def test_what_follows_a_whole_request_is_not_taken_for_its_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        said = await answer(port, NEXT, "no request\r\n\r\n")
    # Either the first is answered before, or the connection ends; 400 is never its answer.
    assert said == b"" or said.startswith(b"HTTP/1.1 200 ")


async def test_one_that_waits_for_another_is_not_answered_before_it(tmp_path: Path) -> None:
    head, body = DOUBTFUL["a coding that is none"]
    async with serving(tmp_path) as port:
        said = await answer(port, f"{NEXT}{HEAD}{head}\r\n\r\n{body}")
    assert said == b"" or said.startswith(b"HTTP/1.1 200 ")
