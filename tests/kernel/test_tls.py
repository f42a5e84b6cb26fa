"""HTTPS by the server itself."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.kernel.certificates import write_certificate

from famulus.kernel import Kernel
from famulus.mistakes import ConfigError
from famulus.server import Server
from famulus.testing import live_server, make_kernel
from famulus.tls import Tls

pytestmark = pytest.mark.anyio


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


def kernel(tmp_path: Path, files: tuple[Path, Path], **more: Any) -> Kernel:
    settings = {"tls_cert": str(files[0]), "tls_key": str(files[1]), **more}
    return make_kernel(data_dir=tmp_path / "data", settings={"server": settings})


def trusting(cert: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(cert)))


async def test_it_serves_https_and_says_so(tmp_path: Path, files: tuple[Path, Path]) -> None:
    async with live_server(kernel(tmp_path, files)) as url, trusting(files[0]) as client:
        assert url.startswith("https://127.0.0.1:")
        assert (await client.get(f"{url}/health/live")).status_code == 200


async def test_it_serves_nothing_in_clear_besides(tmp_path: Path, files: tuple[Path, Path]) -> None:
    async with live_server(kernel(tmp_path, files)) as url, httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(url.replace("https", "http") + "/health/live")


async def test_versions_that_are_broken_are_not_spoken(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    assert Tls(*files).context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_whoever_says_nothing_is_closed_while_others_are_served(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    async with live_server(kernel(tmp_path, files, tls_handshake_s=0.2, header_s=0.2)) as url:
        host, port = url.removeprefix("https://").split(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
        trusted = ssl.create_default_context(cafile=str(files[0]))
        encrypted = [await asyncio.open_connection(host, int(port), ssl=trusted) for _ in range(5)]
        async with trusting(files[0]) as client:
            assert (await client.get(f"{url}/health/live")).status_code == 200
        assert [await reader.read() for reader, _ in silent] == [b""] * 20
        # Encrypted, but with no headers: told, and closed.
        ends = [await reader.read() for reader, _ in encrypted]
        assert {end.split(b" ")[1] for end in ends} == {b"408"}
        for _, writer in (*silent, *encrypted):
            writer.close()


async def test_renewed_files_count_for_those_who_connect_from_then_on(tmp_path: Path) -> None:
    old = write_certificate(tmp_path)
    started = kernel(tmp_path, old)
    first = ssl.create_default_context(cafile=str(old[0]))
    async with live_server(started) as url, httpx.AsyncClient(verify=first) as before:
        assert (await before.get(f"{url}/health/live")).status_code == 200
    # As `kill -HUP` does, on the same server.
    server = Server(kernel(tmp_path, old), on_ready=print)
    new = write_certificate(tmp_path, "renewed")
    server.renew_tls()
    context = server._tls.context if server._tls else None
    assert context is not None
    assert await subject_of(context, new[0]) == "renewed"
    new[1].write_text("half a key")
    with pytest.raises(ConfigError, match="cannot be used"):
        server.renew_tls()
    assert await subject_of(context, new[0]) == "renewed"


async def subject_of(context: ssl.SSLContext, cert: Path) -> str:
    """The name of the certificate that is shown to whoever connects."""
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        trusted = ssl.create_default_context(cafile=str(cert))
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        shown = writer.get_extra_info("peercert")
        writer.close()
        return str(dict(pair[0] for pair in shown["subject"])["commonName"])


# --- what is refused at the start ----------------------------------------------------------------


async def test_a_key_that_everybody_can_read_is_refused(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    files[1].chmod(0o644)
    with pytest.raises(ConfigError, match=r"the TLS key .* can be read by everyone; chmod 600 it"):
        Server(kernel(tmp_path, files), on_ready=print)


@pytest.mark.parametrize("name", ["tls_cert", "tls_key"])
async def test_one_without_the_other_is_refused(
    name: str, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    with pytest.raises(ConfigError, match="are given together"):
        Server(kernel(tmp_path, files, **{name: None}), on_ready=print)


async def test_files_that_are_none_are_refused(tmp_path: Path, files: tuple[Path, Path]) -> None:
    files[0].write_text("no certificate")
    with pytest.raises(ConfigError, match=r"tls_cert .* cannot be used: "):
        Server(kernel(tmp_path, files), on_ready=print)
    files[1].unlink()
    with pytest.raises(ConfigError, match=r"the TLS key .* cannot be read: No such file"):
        Server(kernel(tmp_path, files), on_ready=print)
