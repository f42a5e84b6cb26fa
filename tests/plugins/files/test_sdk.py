"""Files and uploads through the official client, over a real socket, on both stores."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.plugins.files.conftest import PLUGINS

from famulus.testing import live_server, make_kernel

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(tmp_path: Path, store: dict[str, Any]) -> AsyncIterator[AsyncOpenAI]:
    plugins = [*PLUGINS, *(["postgres"] if store else [])]
    ports = {"records": "postgres", "events": "postgres"} if store else {}
    settings = {"postgres": store} if store else {}
    kernel = make_kernel(*plugins, data_dir=tmp_path / "data", settings=settings, ports=ports)
    async with (
        live_server(kernel) as url,
        AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


async def test_a_file_is_given_in_every_way_that_the_client_knows(
    client: AsyncOpenAI, tmp_path: Path
) -> None:
    path = tmp_path / "größe.txt"
    path.write_bytes(b"by path")
    by_path = await client.files.create(file=path, purpose="assistants")
    by_bytes = await client.files.create(file=b"by bytes", purpose="user_data")
    by_tuple = await client.files.create(file=("a.txt", b"by tuple"), purpose="vision")
    typed = await client.files.create(file=("b", b"typed", "text/x-y"), purpose="fine-tune")
    with path.open("rb") as opened:
        by_handle = await client.files.create(file=opened, purpose="evals")
    assert by_path.filename == by_handle.filename == "größe.txt"
    assert (by_tuple.filename, typed.filename) == ("a.txt", "b")
    for made, content in (
        (by_path, b"by path"),
        (by_bytes, b"by bytes"),
        (by_tuple, b"by tuple"),
        (typed, b"typed"),
        (by_handle, b"by path"),
    ):
        assert await client.files.retrieve(made.id) == made
        assert (await client.files.content(made.id)).content == content


async def test_a_file_lives_from_create_to_delete(client: AsyncOpenAI) -> None:
    made = await client.files.create(
        file=("a.jsonl", b"{}"),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert made.expires_at == made.created_at + 3600
    assert (await client.files.wait_for_processing(made.id)).status == "processed"
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "file", True)
    with pytest.raises(openai.NotFoundError) as missing:
        await client.files.retrieve(made.id)
    assert missing.value.body == {
        "message": f"No such File object: {made.id}",
        "type": "invalid_request_error",
        "param": "id",
        "code": None,
    }


async def test_the_client_pages_through_all_files(client: AsyncOpenAI) -> None:
    made = [
        (await client.files.create(file=(f"{n}", b"x"), purpose="assistants")).id for n in range(7)
    ]
    assert [one.id async for one in client.files.list(limit=2, order="asc")] == made
    assert [one.id async for one in client.files.list(purpose="assistants")] == made[::-1]
    assert [one.id async for one in client.files.list(purpose="vision")] == []


async def test_a_download_is_streamed(client: AsyncOpenAI, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    made = await client.files.create(file=("a", data), purpose="assistants")
    async with client.files.with_streaming_response.content(made.id) as response:
        assert response.headers["content-length"] == str(len(data))
        await response.stream_to_file(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data


async def test_a_refusal_is_the_clients_own_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.files.create(file=b"x", purpose="nonsense")  # type: ignore[arg-type]
    assert refused.value.param == "purpose"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.files.create(file=("../x", b"x"), purpose="vision")
    assert refused.value.param == "file"


async def test_an_upload_is_made_of_parts(client: AsyncOpenAI) -> None:
    upload = await client.uploads.create(
        bytes=11, filename="a.txt", mime_type="text/plain", purpose="assistants"
    )
    parts = [
        await client.uploads.parts.create(upload.id, data=data) for data in (b"hello ", b"world")
    ]
    done = await client.uploads.complete(
        upload.id,
        part_ids=[part.id for part in parts],
        md5=hashlib.md5(b"hello world").hexdigest(),
    )
    assert done.status == "completed"
    assert done.file is not None
    assert (await client.files.content(done.file.id)).content == b"hello world"
    with pytest.raises(openai.BadRequestError, match="with status 'completed'"):
        await client.uploads.cancel(upload.id)


async def test_an_upload_is_cancelled(client: AsyncOpenAI) -> None:
    upload = await client.uploads.create(
        bytes=1, filename="a.txt", mime_type="text/plain", purpose="vision"
    )
    assert (await client.uploads.cancel(upload.id)).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="with status 'cancelled'"):
        await client.uploads.parts.create(upload.id, data=b"x")


async def test_the_client_uploads_in_chunks_by_itself(client: AsyncOpenAI, tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_bytes(bytes(range(256)) * 4000)
    done = await client.uploads.upload_file_chunked(
        file=path, mime_type="text/plain", purpose="assistants", part_size=300_000
    )
    assert done.file is not None
    assert (await client.files.content(done.file.id)).content == path.read_bytes()
    again = await client.uploads.upload_file_chunked(
        file=path.read_bytes(),
        filename="x",
        bytes=path.stat().st_size,
        mime_type="text/plain",
        purpose="assistants",
    )
    assert again.status == "completed"


async def test_a_file_that_is_too_large_is_the_clients_own_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        await client.post(
            "/uploads/upload_x/parts",
            cast_to=object,
            body={},
            files={"data": ("x", b"x" * 70_000_000)},
            options={"headers": {"content-type": "multipart/form-data"}},
        )
    assert refused.value.status_code == 413
