"""Tries hostile URLs against the client that fetches what strangers name, and counts who is asked.

    python ops/hardening/ssrf.py

On 127.0.0.1 and ::1 stands a canary that nobody may reach, on a port that the client may ask; on
127.0.0.2 stands a server of the attacker's that the client takes for a public one. Prints the
figures, and ends with 1 if the canary heard anything.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from famulus.testing.kit import quiet_log
from famulus_fetch.plugin import Fetching
from famulus_fetch.settings import FetchSettings
from famulus_schemas.fetching import Fetched, NotFetched

ATTACKER = "127.0.0.2"
PICTURE = b"\x89PNG\r\n\x1a\nharmless"


class Case(NamedTuple):
    """One URL; `{canary}` is the canary's port, `{attacker}` the attacker's."""

    name: str
    url: str
    is_served: bool = False
    """Whether the attacker's own server may answer; the canary may not in any case."""


HOSTS = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.127.127.127",
    "0",
    "0.0.0.0",
    "00000000.0",
    "2130706433",
    "4294967295",
    "017700000001",
    "0177.0.0.1",
    "0177.0000.0000.0001",
    "00127.0.0.1",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "127.0.0.1.",
    "127.0.0.0x1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "a.localhost",
    "ip6-localhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::80ff:fffe]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[::1%25lo]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[fec0::1]",
    "[100::1]",
    "[::1",
    "[127.0.0.1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "loc\u00adalhost",
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
    "%31%32%37.0.0.1",
    "127.0.0.1%2f.public.example",
    "127.0.0.1%00.public.example",
    "inside.example",
    "mixed.example",
    "mapped.example",
    "metadata.google.internal",
    "",
    ".",
    "..",
    "-",
)
"""Ways to name what is not public."""

WHOLE = (
    Case("name and password before it", "http://public.example@127.0.0.1:{canary}/"),
    Case("name and password after it", "http://127.0.0.1:{canary}@public.example:{attacker}/"),
    Case("password alone", "http://:secret@public.example:{attacker}/"),
    Case("escaped at sign", "http://public.example%40127.0.0.1:{canary}/"),
    Case("backslash for slash", "http:\\\\127.0.0.1:{canary}\\"),
    Case("backslash before at", "http://public.example:{attacker}\\@127.0.0.1:{canary}/"),
    Case("backslash in the host", "http://127.0.0.1:{canary}\\.public.example/"),
    Case("fragment before at", "http://public.example#@127.0.0.1:{canary}/"),
    Case("question before at", "http://127.0.0.1:{canary}?@public.example:{attacker}/"),
    Case("semicolon", "http://127.0.0.1;public.example:{canary}/"),
    Case("comma", "http://127.0.0.1,public.example:{canary}/"),
    Case("two ports", "http://127.0.0.1:{canary}:{attacker}/"),
    Case("port past a space", "http://public.example:{attacker} 127.0.0.1:{canary}/"),
    Case("tab in the host", "http://127.0.0\t.1:{canary}/"),
    Case("line end in the host", "http://127.0.0.1:{canary}\r\n/"),
    Case("line end in the path", "http://public.example:{attacker}/\r\nHost: 127.0.0.1/"),
    Case("NUL in the host", "http://127.0.0.1\x00.public.example:{canary}/"),
    Case("blank before it", " http://127.0.0.1:{canary}/"),
    Case("three slashes", "http:///127.0.0.1:{canary}/"),
    Case("one slash", "http:/127.0.0.1:{canary}/"),
    Case("no scheme", "//127.0.0.1:{canary}/"),
    Case("scheme twice", "http://http://127.0.0.1:{canary}/"),
    Case("URL: before it", "url:http://127.0.0.1:{canary}/"),
    Case("port past the last", "http://public.example:65616/"),
    Case("port 0", "http://public.example:0/"),
    Case("negative port", "http://public.example:-80/"),
    Case("port in other digits", "http://127.0.0.1:\u0661\u0662/"),
    Case("port of mail", "http://public.example:25/"),
    Case("port of redis", "http://public.example:6379/"),
    Case("port of postgres", "http://public.example:5432/"),
    Case("file", "file:///etc/passwd"),
    Case("file of a host", "file://127.0.0.1/etc/passwd"),
    Case("ftp", "ftp://127.0.0.1:{canary}/"),
    Case("gopher", "gopher://127.0.0.1:{canary}/_GET%20/"),
    Case("dict", "dict://127.0.0.1:{canary}/stat"),
    Case("ldap", "ldap://127.0.0.1:{canary}/"),
    Case("data", "data:text/plain,hello"),
    Case("jar", "jar:http://127.0.0.1:{canary}!/"),
    Case("unix socket", "http+unix://%2Fvar%2Frun%2Fdocker.sock/"),
    Case("javascript", "javascript:alert(1)"),
    Case("web socket", "ws://127.0.0.1:{canary}/"),
    Case("a very long one", "http://127.0.0.1:{canary}/" + "a" * 10_000),
    Case("a very long name", "http://" + "a." * 200 + "example/"),
    Case("a very long label", "http://" + "a" * 64 + ".example/"),
    Case("name that flips to the canary", "http://flips.example:{attacker}/", is_served=True),
    Case(
        "name that flips while it is redirected",
        "http://flips-later.example:{attacker}/to?http://flips-later.example:{canary}/",
    ),
)

REDIRECTS = (
    "http://127.0.0.1:{canary}/",
    "//127.0.0.1:{canary}/",
    "http://localhost:{canary}/",
    "http://[::1]:{canary}/",
    "http://[::ffff:127.0.0.1]:{canary}/",
    "http://2130706433:{canary}/",
    "http://public.example@127.0.0.1:{canary}/",
    "http:\\\\127.0.0.1:{canary}/",
    "\\\\127.0.0.1:{canary}/",
    "http://inside.example:{canary}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://public.example:{attacker}/to?http://127.0.0.1:{canary}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{canary}/",
    "data:image/png;base64,AAAA",
    "http://public.example:6379/",
    "?",
    "",
)
"""Where the attacker's server, which may be asked, redirects to."""

CASES = (
    *(Case(f"host {host!r}", f"http://{host}:{{canary}}/") for host in HOSTS),
    *WHOLE,
    *(
        Case(f"redirect to {target!r}", f"http://public.example:{{attacker}}/to?{target}")
        for target in REDIRECTS
        if not target.startswith("\\")
    ),
)

HARMLESS = Case("a picture", "http://public.example:{attacker}/a.png", is_served=True)

ANSWERS: dict[str, list[list[str]]] = {
    "public.example": [[ATTACKER]],
    "inside.example": [["127.0.0.1"]],
    "mixed.example": [[ATTACKER, "127.0.0.1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "metadata.google.internal": [["169.254.169.254"]],
    "flips.example": [[ATTACKER], ["127.0.0.1"]],
    "flips-later.example": [[ATTACKER], ["127.0.0.1"]],
}
"""What names resolve to, first and later; others are asked of the machine's own resolver."""


class Resolver:
    """A resolver that the attacker has a say in."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The next answer of a name."""
        turn = self.asked[host] = self.asked.get(host, 0) + 1
        if answers := ANSWERS.get(host):
            return answers[min(turn, len(answers)) - 1]
        loop = asyncio.get_running_loop()
        return [str(each[4][0]) for each in await loop.getaddrinfo(host, port)]


class Servers:
    """The canary and the attacker's server, and what they heard."""

    def __init__(self) -> None:
        self.canary = self.attacker = 0
        self.reached = 0
        self.heard: list[bytes] = []

    def url(self, case: Case) -> str:
        """The case's URL with the ports in it."""
        ports = {"{canary}": self.canary, "{attacker}": self.attacker}
        url = case.url
        for name, port in ports.items():
            url = url.replace(name, str(port))
        return url

    async def ring(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count whoever connects, before anything is said."""
        self.reached += 1
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Redirect to what stands after `/to?`, or give a picture."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heard.append(head)
        path = head.split(b" ")[1]
        if path.startswith(b"/to"):
            writer.write(b"HTTP/1.1 302 Found\r\nlocation: " + path[4:] + b"\r\n")
            writer.write(b"content-length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(PICTURE), PICTURE))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def standing() -> AsyncIterator[Servers]:
    """Both servers, on ports that the machine chose."""
    servers = Servers()
    async with AsyncExitStack() as stack:
        first = await asyncio.start_server(servers.ring, "127.0.0.1", 0)
        servers.canary = first.sockets[0].getsockname()[1]
        await stack.enter_async_context(first)
        if socket.has_ipv6:
            try:
                second = await asyncio.start_server(servers.ring, "::1", servers.canary)
                await stack.enter_async_context(second)
            except OSError:
                print("no IPv6 on this machine: the canary stands on 127.0.0.1 alone")
        attacker = await asyncio.start_server(servers.answer, ATTACKER, 0)
        servers.attacker = attacker.sockets[0].getsockname()[1]
        await stack.enter_async_context(attacker)
        yield servers


class Attack:
    """The client as the server has it, which may ask the attacker's address, and all the ports."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self._resolver = Resolver()
        settings = FetchSettings(
            networks=(f"{ATTACKER}/32",),
            ports=(80, 443, servers.canary, servers.attacker),
            total_s=5.0,
            connect_s=2.0,
        )
        self._client = Fetching(settings, self._resolver, quiet_log())

    async def tried(self, case: Case) -> Fetched | NotFetched:
        """What becomes of one URL."""
        self._resolver.asked.clear()
        try:
            return await self._client.get("p", self.servers.url(case), bytes_max=1_000)
        except NotFetched as refusal:
            return refusal


async def main() -> int:
    """Try all, and print the figures."""
    async with standing() as servers:
        attack = Attack(servers)
        plain = await attack.tried(HARMLESS)
        assert isinstance(plain, Fetched), f"the client fetches nothing at all: {plain}"
        refused = served = wrong = 0
        for case in CASES:
            before = servers.reached
            outcome = await attack.tried(case)
            is_served = isinstance(outcome, Fetched)
            served += is_served
            refused += not is_served
            if servers.reached > before or is_served != case.is_served:
                wrong += 1
                print(f"WRONG {case.name}: {outcome}")
        print(f"tried {len(CASES)}, refused {refused}, answered by the attacker's own {served}")
        print(f"canary reached {servers.reached}")
        return 1 if servers.reached or wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
