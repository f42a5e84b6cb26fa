"""Where metrics are read, by whom, and in which form."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from famulus.testing import kernel_with

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
