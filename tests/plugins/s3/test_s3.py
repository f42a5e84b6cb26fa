"""The bucket of blobs keeps every promise of BLOBS, by a server that plays S3."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import conformance_for, kernel_with
from famulus.testing.blobs_conformance import KEY, OpenBlobs, large, pieces, read
from famulus_s3.names import escaped, name_of, parsed
from famulus_schemas.blobs import Blobs, BlobsUnavailable
from famulus_schemas.ports import BLOBS

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Uses blobs."""

    name = "user"
    blobs = need(BLOBS)


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that plays S3."""
    pytest.importorskip("moto", reason="NOT TESTED: moto is not installed, which plays S3")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        while not (found := re.search(r"Running on (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield found.group(1)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(s3_url: str) -> str:
    name = f"bucket-{secrets.token_hex(6)}"
    httpx.put(f"{s3_url}/{name}", headers={"authorization": "AWS any:any"}).raise_for_status()
    return name


@asynccontextmanager
async def opened(url: str, bucket: str, **settings: Any) -> AsyncIterator[Blobs]:
    table = {
        "bucket": bucket,
        "endpoint": url,
        "access_key_id": "any",
        "secret_access_key": "any",
        "retries_max": 0,
        "part_bytes": 5_242_880,
        **settings,
    }
    async with kernel_with("s3", "local_blobs", User, settings={"s3": table}) as server:
        assert server.state("s3") == ("running", "")
        assert server.state("local_blobs")[0] == "off"
        yield server.plugin("user").blobs


class TestS3(conformance_for(BLOBS)):  # type: ignore[misc]
    @pytest.fixture
    def open_blobs(self, s3_url: str, bucket: str) -> OpenBlobs:
        return lambda: opened(s3_url, bucket, prefix="a/b")


async def test_two_prefixes_of_a_bucket_are_two_stores(s3_url: str, bucket: str) -> None:
    async with opened(s3_url, bucket, prefix="a") as one:
        await one.put("p", KEY, pieces(b"abc"))
    async with opened(s3_url, bucket, prefix="b") as two:
        assert await two.find("p", KEY) is None


async def test_a_server_that_is_gone_is_said_to_be_so(s3_url: str, bucket: str) -> None:
    async with opened(s3_url, bucket, request_timeout_s=2.0) as blobs:
        async with httpx.AsyncClient() as client:
            await client.delete(f"{s3_url}/{bucket}", headers={"authorization": "AWS any:any"})
        for size in (3, 12_000_000):
            with pytest.raises(BlobsUnavailable):
                await blobs.put("p", KEY, pieces(large(size)))


async def test_a_bucket_that_is_not_there_is_why_the_plugin_fails(s3_url: str) -> None:
    table = {"bucket": "none", "endpoint": s3_url, "access_key_id": "a", "secret_access_key": "b"}
    async with kernel_with("s3", settings={"s3": table}) as server:
        state, reason = server.state("s3")
        assert state == "failed"
        assert "404 Not Found" in reason


async def test_without_a_bucket_the_folder_does_the_job() -> None:
    async with kernel_with("s3", "local_blobs", User) as server:
        assert server.state("s3") == ("off", "no bucket is set")
        await server.plugin("user").blobs.put("p", KEY, pieces(b"abc"))
        assert await read(server.plugin("user").blobs, "p", KEY) == b"abc"


async def test_a_server_that_does_not_answer_is_why_the_plugin_fails() -> None:
    table = {
        "bucket": "b",
        "endpoint": "http://127.0.0.1:9",
        "access_key_id": "any",
        "secret_access_key": "hidden-away",
        "retries_max": 0,
    }
    async with kernel_with("s3", settings={"s3": table}) as server:
        state, reason = server.state("s3")
        assert state == "failed"
        assert "BlobsUnavailable" in reason
        assert "hidden-away" not in reason


async def test_without_the_package_it_says_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    async with kernel_with("s3", settings={"s3": {"bucket": "b"}}) as server:
        state, reason = server.state("s3")
        assert state == "failed"
        assert 'pip install "famulus[s3]"' in reason


@pytest.mark.parametrize("project", ["default", "..", "a/b", "größe 漢", "!2F", "%2F"])
def test_a_name_tells_its_project_and_key(project: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_!-]+", escaped(project))
    assert parsed(name_of(project, KEY)) == (project, KEY)


@pytest.mark.parametrize("name", ["", "a", "a/b/c", "a/b.c", "!FF/key", "/"])
def test_what_is_no_blob_of_ours_is_passed_over(name: str) -> None:
    assert parsed(name) is None
