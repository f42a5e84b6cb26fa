"""Where metrics are read, by whom, and in which form."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from famulus.testing import TestServer, kernel_with

pytestmark = pytest.mark.anyio

KEY = "sk-reads-everything"
OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
KEYED = {"keys": {"api_key": KEY}}


async def test_a_key_is_needed_at_the_servers_own_port() -> None:
    async with kernel_with("metrics", "keys", "sqlite", settings=KEYED) as server:
        assert (await server.get("/metrics")).status_code == 401
        wrong = {"authorization": "Bearer sk-wrong-wrong-wrong"}
        assert (await server.get("/metrics", headers=wrong)).status_code == 401
        right = await server.get("/metrics", headers={"authorization": f"Bearer {KEY}"})
        assert right.status_code == 200
        assert "famulus_info" in right.text


async def test_no_port_is_opened_unless_one_is_set() -> None:
    async with kernel_with("metrics") as server:
        assert server.plugin("metrics").url is None


async def test_it_is_text_or_openmetrics_as_is_asked_for() -> None:
    async with kernel_with("metrics") as server:
        plain = await server.get("/metrics")
        asked = await server.get("/metrics", headers={"accept": OPEN})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert asked.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")
    names = {each.name for each in parse(plain.text)}
    assert {"famulus_requests", "famulus_plugin_state", "process_open_fds"} <= names
    assert {each.name for each in parse_open(asked.text)} == names


async def test_an_own_port_serves_metrics_without_a_key_and_nothing_else() -> None:
    settings = {**KEYED, "metrics": {"port": 0, "with_key": False}}
    async with kernel_with("metrics", "keys", "sqlite", settings=settings) as server:
        url = server.plugin("metrics").url
        assert url.startswith("http://127.0.0.1:")
        root = url.removesuffix("/metrics")
        async with httpx.AsyncClient() as client:
            answer = await client.get(url, headers={"accept": OPEN})
            assert answer.status_code == 200
            assert answer.text.endswith("# EOF\n")
            head = await client.head(url)
            assert (head.status_code, head.content) == (200, b"")
            assert (await client.post(url)).status_code == 405
            for path in ("/", "/v1/models", "/-/plugins", "/metrics/more"):
                assert (await client.get(root + path)).status_code == 404
        right = {"authorization": f"Bearer {KEY}"}
        assert (await server.get("/metrics", headers=right)).status_code == 404
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_port_that_is_taken_fails_the_plugin_and_not_the_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with kernel_with("metrics", "models", settings={"metrics": {"port": port}}) as server:
            state, reason = server.state("metrics")
            assert state == "failed"
            assert f"could not listen on 127.0.0.1:{port}" in reason
            assert (await server.get("/v1/models")).status_code == 200
            assert (await server.get("/metrics")).status_code == 503


# --- what an own port holds its readers to ------------------------------------------------------


async def own_port(server: TestServer, *begins: bytes) -> list[bytes]:
    """What is answered, to its end, to each who connects at once and sends a beginning."""
    port = int(server.plugin("metrics").url.removesuffix("/metrics").rpartition(":")[2])
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in begins]
    for (_, writer), sent in zip(opened, begins, strict=True):
        writer.write(sent)
        await writer.drain()
    answers = [await reader.read() for reader, _ in opened]
    for _, writer in opened:
        writer.close()
    return answers


def of_own_port(**more: Any) -> dict[str, Any]:
    return {"metrics": {"port": 0, **more}}


def asked_by(host: str) -> bytes:
    return f"GET /metrics HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("host", "hosts", "status"),
    [
        ("localhost:9400", [], b"200"),
        ("127.0.0.1", [], b"200"),
        ("evil.example:9400", [], b"421"),
        ("evil.example", ["famulus.example"], b"421"),
        ("famulus.example", ["famulus.example"], b"200"),
        ("anything.example", ["*"], b"200"),
    ],
)
async def test_an_own_port_answers_to_its_names_only(
    host: str, hosts: list[str], status: bytes
) -> None:
    async with kernel_with("metrics", settings=of_own_port(hosts=hosts)) as server:
        [answer] = await own_port(server, asked_by(host))
    assert answer.split(b" ")[1] == status
    assert (b"famulus_info" in answer) is (status == b"200")


async def test_what_is_no_host_is_refused_by_the_name_of_its_setting() -> None:
    async with kernel_with("metrics", settings=of_own_port(hosts=["http://x"])) as server:
        state, reason = server.state("metrics")
    assert state == "failed"
    assert "[plugins.metrics] hosts: 'http://x' is no host" in reason


@pytest.mark.parametrize("begin", [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nx: "])
async def test_an_own_port_closes_who_does_not_finish_asking(begin: bytes) -> None:
    async with kernel_with("metrics", settings=of_own_port(header_s=0.2)) as server:
        answers = await own_port(server, *[begin] * 10)
    assert {answer.split(b" ")[1] for answer in answers} == {b"408"}


async def test_whoever_is_one_too_many_at_an_own_port_is_turned_away() -> None:
    settings = of_own_port(connections_max=2, header_s=60.0)
    async with kernel_with("metrics", settings=settings) as server:
        port = int(server.plugin("metrics").url.removesuffix("/metrics").rpartition(":")[2])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        [answer] = await own_port(server, asked_by("localhost"))
        assert answer.split(b" ")[1] == b"503"
        silent[0][1].close()
        # There is one place again.
        while b"famulus_info" not in answer:
            [answer] = await own_port(server, asked_by("localhost"))
        silent[1][1].close()


async def test_an_own_port_lets_nobody_keep_a_connection() -> None:
    begin = b"POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\nx"
    async with kernel_with("metrics", settings=of_own_port()) as server:
        answers = await own_port(server, asked_by("localhost"), begin)
    assert [answer.split(b" ")[1] for answer in answers] == [b"200", b"405"]
    for answer in answers:
        assert b"connection: close" in answer.lower()
        assert b"x-content-type-options: nosniff" in answer.lower()


async def test_figures_of_all_projects_are_not_for_every_key() -> None:
    async with kernel_with("metrics", "keys", "sqlite") as server:

        async def status(*scopes: str) -> int:
            _, token = await server.plugin("keys").create(scopes=scopes)
            answer = await server.get("/metrics", headers={"authorization": f"Bearer {token}"})
            if answer.status_code == 403:
                assert "api.metrics.read" in answer.json()["error"]["message"]
            return int(answer.status_code)

        assert await status("*") == 403
        assert await status("*.read", "*.write") == 403
        assert await status("plugins.read") == 403
        assert await status("metrics.read") == 200
        assert await status("*", "metrics.read") == 200


async def test_many_read_at_once_and_each_reads_a_whole() -> None:
    async with kernel_with("metrics") as server:
        answers = await asyncio.gather(*(server.get("/metrics") for _ in range(20)))
    assert all("process_max_fds" in each.text for each in answers)


def test_the_library_is_not_imported_before_somebody_reads() -> None:
    code = (
        "import asyncio, sys\n"
        "from famulus.testing import kernel_with\n"
        "async def main():\n"
        "    async with kernel_with('metrics') as server:\n"
        "        print('prometheus_client' in sys.modules)\n"
        "        await server.get('/metrics')\n"
        "        print('prometheus_client' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False", "True"]
