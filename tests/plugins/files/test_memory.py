"""Files of any size go in and out in constant memory: measured at a server of its own process.

The size is 64 MB, or as many as FAMULUS_FILE_MB says.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.serving import KEY, Served, serve

MB = 1_048_576
SIZE = int(os.environ.get("FAMULUS_FILE_MB", "64")) * MB
MARGIN = 24 * MB
"""Less than half of the smallest file, and more than what the allocator plays with."""
PART = 16 * MB
AUTHORIZATION = {"authorization": f"Bearer {KEY}"}
BLOCK = hashlib.shake_256(b"block").digest(MB)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    environment = {
        "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
        "FAMULUS_FILES__FILE_BYTES_MAX": str(2 * SIZE),
    }
    with serve(tmp_path, environment=environment) as served:
        yield served


def peak(served: Served) -> int:
    """The most memory that the server has had so far."""
    for line in Path(f"/proc/{served.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    pytest.skip("NOT TESTED: this system does not tell a process's peak memory")


def blocks(size: int) -> Iterator[bytes]:
    for at in range(0, size, MB):
        yield BLOCK[: min(MB, size - at)]


def form(name: str, size: int) -> Iterator[bytes]:
    """A form with a large file, and its other field behind it."""
    yield f'--e\r\ncontent-disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode()
    yield from blocks(size)
    if name == "file":
        yield b'\r\n--e\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants'
    yield b"\r\n--e--\r\n"


def send(client: httpx.Client, path: str, name: str, size: int) -> str:
    headers = {"content-type": "multipart/form-data; boundary=e"}
    answer = client.post(path, content=form(name, size), headers=headers)
    answer.raise_for_status()
    id: str = answer.json()["id"]
    return id


def hold(client: httpx.Client, id: str) -> None:
    """Make sure that a file is what was sent."""
    got, sent = hashlib.sha256(), hashlib.sha256()
    with client.stream("GET", f"/v1/files/{id}/content") as answer:
        assert int(answer.headers["content-length"]) == SIZE
        for chunk in answer.iter_bytes():
            got.update(chunk)
    for block in blocks(SIZE):
        sent.update(block)
    assert got.digest() == sent.digest()


def test_a_large_file_takes_no_memory(served: Served) -> None:
    with httpx.Client(base_url=served.url, headers=AUTHORIZATION, timeout=600) as client:
        hold_small = send(client, "/v1/files", "file", MB)
        client.get(f"/v1/files/{hold_small}/content")
        before = peak(served)
        hold(client, send(client, "/v1/files", "file", SIZE))
        assert peak(served) - before < MARGIN


def test_a_large_upload_takes_no_memory(served: Served) -> None:
    with httpx.Client(base_url=served.url, headers=AUTHORIZATION, timeout=600) as client:
        send(client, "/v1/files", "file", MB)
        before = peak(served)
        body = {"filename": "a", "purpose": "assistants", "bytes": SIZE, "mime_type": "text/x"}
        upload = client.post("/v1/uploads", json=body).json()["id"]
        parts = [
            send(client, f"/v1/uploads/{upload}/parts", "data", min(PART, SIZE - at))
            for at in range(0, SIZE, PART)
        ]
        digest = hashlib.md5()
        for block in blocks(SIZE):
            digest.update(block)
        done = client.post(
            f"/v1/uploads/{upload}/complete", json={"part_ids": parts, "md5": digest.hexdigest()}
        )
        hold(client, done.json()["file"]["id"])
        assert peak(served) - before < MARGIN
