"""Whatever a file is called and whatever a body is: an answer, and nothing outside its place."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plugins.files.conftest import server_of

from famulus.testing import TestServer

NASTY = st.sampled_from(
    [
        *("../", "..\\", "/", "\0", "\r\n", '"', "\u202e", "%2e%2e%2f", "~", "C:\\", "CON"),
        *("\x7f", ".", "x" * 4_096, "\u202e" * 512),
    ]
)
NAMES = st.lists(st.one_of(NASTY, st.text(max_size=20)), max_size=8).map("".join)
PIECES = st.one_of(
    st.sampled_from(
        [
            b"--e\r\n",
            b"--e--\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b'content-disposition: form-data; name="file"; filename="a"\r\n',
            b'content-disposition: form-data; name="purpose"\r\n',
            b"content-disposition: form-data\r\n",
            b"content-type: text/plain\r\n",
            b"assistants",
            b"x" * 9000,
            b"--",
        ]
    ),
    st.binary(max_size=30),
)
FEW = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def quoted(name: str) -> bytes:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()


async def sent(server: TestServer, body: bytes) -> int:
    answer = await server.client.post(
        "/v1/files",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=e"},
    )
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert set(msgspec.json.decode(answer.content)["error"]) == {
            "message",
            "type",
            "param",
            "code",
        }
    return answer.status_code


@FEW
@given(st.lists(NAMES, min_size=10, max_size=40))
def test_no_name_puts_a_file_elsewhere(names: list[str]) -> None:
    async def run(folder: Path) -> None:
        async with server_of(data_dir=folder / "data") as server:
            kept = 0
            for name in names:
                head = b'--e\r\ncontent-disposition: form-data; name="file"; filename="'
                body = head + quoted(name) + b'"\r\n\r\nMINE\r\n--e\r\n'
                body += b'content-disposition: form-data; name="purpose"\r\n\r\nvision\r\n--e--\r\n'
                kept += await sent(server, body) == 200
            for one in (await server.get("/v1/files")).json()["data"]:
                content = await server.get(f"/v1/files/{one['id']}/content")
                assert content.content == b"MINE"
                assert "\n" not in content.headers["content-disposition"]
                assert content.headers["content-disposition"].startswith("attachment;")
                assert content.headers["x-content-type-options"] == "nosniff"
        assert [path.name for path in folder.iterdir()] == ["data"]
        mine = [path for path in folder.rglob("*") if path.is_file() and b"MINE" in head_of(path)]
        assert len(mine) == kept
        assert all(path.is_relative_to(folder / "data" / "blobs" / "default") for path in mine)

    with TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def head_of(path: Path) -> bytes:
    return path.read_bytes()[:4]


@FEW
@given(st.lists(st.lists(PIECES, max_size=20).map(b"".join), min_size=10, max_size=60))
def test_no_body_is_more_than_a_400(bodies: list[bytes]) -> None:
    async def run() -> None:
        async with server_of() as server:
            kept = [await sent(server, body) for body in bodies].count(200)
            assert len((await server.get("/v1/files")).json()["data"]) == kept
            stored = [blob async for blob in server.plugin("user").blobs.stored()]
            assert len(stored) == kept

    asyncio.run(run())
