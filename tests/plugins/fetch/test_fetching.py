"""What is fetched comes whole or not at all, within limits, and nothing of ours goes out."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.fetch.conftest import Names
from tests.plugins.strange_host import ADDRESS, StrangeHost, moved, ok

from famulus.testing import kernel_with
from famulus_schemas.fetching import Fetched, NotFetched
from famulus_schemas.ports import FETCH

pytestmark = pytest.mark.anyio
PATH = "/a.png"


async def refusal_of(client: Any, url: str, bytes_max: int = 1_000, project: str = "p") -> str:
    with pytest.raises(NotFetched) as refusal:
        await client.get(project, url, bytes_max=bytes_max)
    return str(refusal.value)


@pytest.fixture
def url(host: StrangeHost) -> str:
    host.says[PATH] = ok(b"content")
    return f"http://pictures.example:{host.port}{PATH}"


# --- what comes ----------------------------------------------------------------------------------


async def test_a_content_comes_with_its_media_type(fetching: Any, url: str) -> None:
    found = await fetching().get("p", url, bytes_max=7)
    assert found == Fetched(content=b"content", media_type="image/png")


async def test_an_address_may_stand_in_place_of_a_name(
    fetching: Any, host: StrangeHost, names: Names
) -> None:
    host.says[PATH] = ok(b"x", "Image/PNG; charset=x")
    found = await fetching().get("p", host.url + PATH, bytes_max=1)
    assert (found.media_type, names.asked) == ("image/png", [])


async def test_a_content_without_a_length_ends_with_its_connection(
    fetching: Any, host: StrangeHost, url: str
) -> None:
    host.says[PATH] = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    found = await fetching().get("p", url, bytes_max=9)
    assert found == Fetched(content=b"all of it", media_type="")


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "it answered with status 404"),
        (b"HTTP/1.1 206 Part\r\ncontent-length: 1\r\n\r\nx", "it answered with status 206"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its host does not answer as a web server does"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 99_999, "its host does not answer as a web server"),
        (ok(b"x")[:-1], "its host"),
        (b"", "its host cannot be connected to"),
        (b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", "it redirects without saying where"),
        (moved("http://[::1"), "its URL is not well formed"),
    ],
)
async def test_what_is_no_whole_content_is_none(
    fetching: Any, host: StrangeHost, url: str, says: bytes, reason: str
) -> None:
    host.says[PATH] = says
    assert reason in await refusal_of(fetching(), url)


async def test_a_host_that_is_not_there_and_one_that_is_private_are_told_alike(
    fetching: Any, host: StrangeHost, names: Names
) -> None:
    names.known["inside.example"] = ["10.0.0.1"]
    told = {
        await refusal_of(fetching(hosts_denied=("denied.example",)), f"http://{name}/")
        for name in ("inside.example", "nowhere.example", "10.0.0.1", "[::1]", "denied.example")
    }
    assert told == {"its host is none that this server asks"}
    assert host.heard == []


# --- limits --------------------------------------------------------------------------------------


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "says", [ok(b"x" * 101), endless, b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"]
)
async def test_more_than_is_wanted_is_not_read(
    fetching: Any, host: StrangeHost, url: str, says: Any
) -> None:
    host.says[PATH] = says
    assert await refusal_of(fetching(), url, 100) == "it has more than 100 bytes"
    assert await refusal_of(fetching(bytes_max=50), url, 100) == "it has more than 50 bytes"


async def test_what_comes_packed_is_not_unpacked(
    fetching: Any, host: StrangeHost, url: str
) -> None:
    packed = gzip.compress(b"0" * 1_000_000)
    host.says[PATH] = ok(packed, more="content-encoding: gzip\r\n")
    assert "compressed" in await refusal_of(fetching(), url, 10_000)
    assert "accept-encoding: identity" in host.heard[0].lower()


async def trickling(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
    for _ in range(900):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def moving_slowly(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.1)
    writer.write(moved(PATH))


@pytest.mark.parametrize("says", [silent, dripping, trickling, moving_slowly])
async def test_all_of_it_takes_no_longer_than_it_may(
    fetching: Any, host: StrangeHost, url: str, says: Any
) -> None:
    host.says[PATH] = says
    client = fetching(total_s=0.3, redirects_max=1_000)
    assert await refusal_of(client, url) == "it takes longer than 0.3 s"


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
        (b"", b"\r\n"),
        (b"HTTP/1.1 200 ", b"OK"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y"),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 8_000 + b"\r\n"),
        (CHUNKED, b"0"),
        (CHUNKED + b"1;", b"a"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED, b"1;" + b"a" * 500 + b"\r\nx\r\n"),
        (CHUNKED + b"0\r\n", b"x: y\r\n"),
    ],
)
async def test_of_what_is_no_content_only_so_much_is_read(
    fetching: Any, host: StrangeHost, url: str, begin: bytes, again: bytes
) -> None:
    """It is over long before its time, and before as much has come as content may have."""

    async def flooding(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            writer.write(again * (65_536 // len(again)))
            await writer.drain()

    host.says[PATH] = flooding
    client = fetching(total_s=600)
    assert "not answer as a web server does" in await refusal_of(client, url, 20_000_000)


async def test_content_in_small_chunks_is_content(
    fetching: Any, host: StrangeHost, url: str
) -> None:
    host.says[PATH] = (
        CHUNKED + b"a\r\n" + b"\r\na\r\n".join([b"x" * 10] * 50_000) + b"\r\n0\r\n\r\n"
    )
    assert (await fetching().get("p", url, bytes_max=500_000)).content == b"x" * 500_000


async def test_headers_may_be_as_large_as_they_are_elsewhere(
    fetching: Any, host: StrangeHost, url: str
) -> None:
    host.says[PATH] = ok(b"x", more="".join(f"x-{n}: {'y' * 1000}\r\n" for n in range(50)))
    assert (await fetching().get("p", url, bytes_max=9)).content == b"x"
    assert "as a web server does" in await refusal_of(fetching(overhead_bytes_max=20_000), url)


# --- resolvers -----------------------------------------------------------------------------------


class Hanging(Names):
    """Knows the same, but of some names only once it is let."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self.known = names.known
        self.let = asyncio.Event()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        found = await super().__call__("pictures.example", port)
        if host.startswith("slow"):
            await self.let.wait()
        return found


async def test_a_resolver_that_hangs_is_not_asked_more_often_than_a_project_may(
    fetching: Any, names: Names, url: str
) -> None:
    """It cannot be told to stop: a place is taken until it does, whoever has given up."""
    hanging = Hanging(names)
    client = fetching(resolver=hanging, total_s=0.2, at_once_per_project_max=2)
    slow = url.replace("pictures", "slow")
    for _ in range(4):
        assert await refusal_of(client, slow, project="slow") == "it takes longer than 0.2 s"
    assert len(hanging.asked) == 2
    assert client.counts == {("busy",): 2, ("waiting",): 0}
    assert (await client.get("other", url, bytes_max=9)).content == b"content"
    hanging.let.set()
    while client.counts[("busy",)]:
        await asyncio.sleep(0.01)
    assert (await client.get("slow", url, bytes_max=9)).content == b"content"


async def test_the_end_waits_for_no_resolver(fetching: Any, names: Names, url: str) -> None:
    client = fetching(resolver=Hanging(names), total_s=0.1)
    await refusal_of(client, url.replace("pictures", "slow"))
    await client.close()
    assert client.counts == {("busy",): 0, ("waiting",): 0}


def test_a_process_ends_though_the_systems_resolver_does_not_answer() -> None:
    code = (
        "import asyncio, socket, threading\n"
        "from famulus_fetch.resolving import resolve_by_system\n"
        "asked = threading.Event()\n"
        "def hang(*_, **__):\n"
        "    asked.set()\n"
        "    threading.Event().wait()\n"
        "socket.getaddrinfo = hang\n"
        "async def main():\n"
        "    task = asyncio.ensure_future(resolve_by_system('slow.example', 80))\n"
        "    await asyncio.to_thread(asked.wait)\n"
        "    task.cancel()\n"
        "    print('ends')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("ends\n", "")


async def test_slow_hosts_of_one_project_hold_up_no_other(
    fetching: Any, host: StrangeHost, url: str
) -> None:
    host.says["/slow"] = silent
    client = fetching(at_once_max=3, at_once_per_project_max=2, total_s=20)
    slow = url.replace(PATH, "/slow")
    waiting = [asyncio.create_task(client.get("slow", slow, bytes_max=9)) for _ in range(5)]
    while host.open < 2:
        await asyncio.sleep(0.01)
    assert (await client.get("other", url, bytes_max=9)).content == b"content"
    assert host.paths.count("/slow") == 2
    assert client.counts == {("busy",): 2, ("waiting",): 3}
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert client.counts == {("busy",): 0, ("waiting",): 0}
    assert (await client.get("slow", url, bytes_max=9)).content == b"content"


async def test_so_many_wait_and_no_more(fetching: Any, host: StrangeHost, url: str) -> None:
    host.says[PATH] = silent
    client = fetching(at_once_per_project_max=1, waiting_max=1)
    waiting = []
    for busy in (1, 1):
        waiting.append(asyncio.create_task(client.get("p", url, bytes_max=9)))
        while client.counts[("busy",)] + client.counts[("waiting",)] < len(waiting) or busy > 1:
            await asyncio.sleep(0.01)
    assert "try again" in await refusal_of(client, url)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


# --- redirects -----------------------------------------------------------------------------------


async def test_redirects_are_followed_up_to_a_number(
    fetching: Any, host: StrangeHost, url: str
) -> None:
    host.says["/1"] = moved("/2?a=%2F", 301)
    host.says["/2"] = moved(f"//pictures.example:{host.port}/3", 307)
    host.says["/3"] = moved(url, 303)
    first = url.replace(PATH, "/1")
    assert (await fetching().get("p", first, bytes_max=9)).content == b"content"
    assert host.paths == ["/1", "/2?a=%2F", "/3", PATH]
    assert await refusal_of(fetching(redirects_max=2), first) == "it redirects more than 2 times"
    host.says["/4"] = moved("/4")
    again = await refusal_of(fetching(), url.replace(PATH, "/4"))
    assert again == "it redirects more than 3 times"
    assert not [head for head in host.heard if "cookie" in head.lower()]


async def test_each_hop_is_held_to_the_hosts_that_may_be_asked(
    fetching: Any, host: StrangeHost, names: Names, url: str
) -> None:
    names.known["other.example"] = [ADDRESS]
    host.says["/1"] = moved(url.replace("pictures", "other"))
    client = fetching(hosts=("*.pictures.example", "pictures.example"))
    assert "none that this server asks" in await refusal_of(client, url.replace(PATH, "/1"))
    assert (await client.get("p", url, bytes_max=9)).content == b"content"
    assert host.paths == ["/1", PATH]


async def test_a_name_is_asked_for_once_a_hop_and_its_answer_is_where_it_connects(
    fetching: Any, host: StrangeHost, names: Names, url: str
) -> None:
    answers = iter([[ADDRESS], ["127.0.0.1"]])

    class Flipping(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            return True

        def __getitem__(self, key: str) -> Any:
            return next(answers)

    names.known = Flipping()
    assert (await fetching().get("p", url, bytes_max=9)).content == b"content"
    assert len(names.asked) == 1


# --- what goes out -------------------------------------------------------------------------------


async def test_nothing_of_the_servers_environment_goes_out(
    fetching: Any, host: StrangeHost, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine pictures.example login me password sk-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    await fetching().get("p", url, bytes_max=9)
    lines = host.heard[0].lower().split("\r\n")
    assert sorted(line.partition(":")[0] for line in lines[1:] if line) == [
        "accept",
        "accept-encoding",
        "connection",
        "host",
        "user-agent",
    ]
    assert f"host: pictures.example:{host.port}" in lines
    assert "user-agent: famulus" in lines


async def test_a_key_of_a_model_server_is_never_sent_to_a_host_of_a_clients(
    host: StrangeHost, tmp_path: Path
) -> None:
    """Not even where that host is the model server's own, and redirects to it."""
    host.says["/1"] = moved(f"{host.url}{PATH}")
    host.says[PATH] = ok(b"x")
    settings = {
        "openai_compatible": {"backends": [{"url": host.url, "api_key": "sk-provider"}]},
        "fetch": {"networks": [f"{ADDRESS}/32"], "ports": [host.port]},
    }
    plugins = ("fetch", "models", "openai_compatible")
    async with kernel_with(*plugins, settings=settings, data_dir=tmp_path) as server:
        fetch = server.kernel.lifecycle.services.get(FETCH)
        await fetch.get("default", f"{host.url}/1", bytes_max=9)
    asked = [head for head in host.heard if head.startswith(("GET /1 ", f"GET {PATH} "))]
    assert len(asked) == 2
    assert not [head for head in asked if "sk-provider" in head or "authorization" in head.lower()]
