"""Whatever a URL is written like, nobody is reached who is not public."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st
from ops.hardening import ssrf

from famulus_fetch.hosts import name_or_address
from famulus_fetch.networks import METADATA, Networks, embedded, is_public
from famulus_fetch.settings import FetchSettings
from famulus_fetch.targets import target_of
from famulus_schemas.fetching import Fetched, NotFetched

pytestmark = pytest.mark.anyio


async def test_no_hostile_url_reaches_the_canary() -> None:
    assert len(ssrf.CASES) >= 60
    async with ssrf.standing() as servers:
        attack = ssrf.Attack(servers)
        assert isinstance(await attack.tried(ssrf.HARMLESS), Fetched)
        wrong = []
        for case in ssrf.CASES:
            outcome = await attack.tried(case)
            if servers.reached or isinstance(outcome, Fetched) != case.is_served:
                wrong.append((case, str(outcome)))
                servers.reached = 0
        assert wrong == []
        for head in servers.heard:
            assert b"authorization" not in head.lower()
            assert b"cookie" not in head.lower()


async def test_the_canary_hears_whoever_reaches_it() -> None:
    async with ssrf.standing() as servers:
        _, writer = await asyncio.open_connection("127.0.0.1", servers.canary)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0)
        assert servers.reached == 1


@given(st.ip_addresses())
def test_what_is_taken_for_public_is_global_to_python_too(
    address: IPv4Address | IPv6Address,
) -> None:
    if is_public(address):
        inner = embedded(address)
        assert address.is_global or (inner is not None and inner.is_global)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "::{}", "2002:{:x}::"]))
def test_no_other_address_may_hold_an_ipv4_one(inner: IPv4Address, form: str) -> None:
    number = f"{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}"
    text = f"2002:{number}::" if form.startswith("2002") else form.format(number)
    assert not is_public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_nat64_is_as_public_as_what_it_leads_to(inner: IPv4Address) -> None:
    assert is_public(ip_address(f"64:ff9b::{inner}")) == is_public(inner)


@pytest.mark.parametrize("address", sorted(METADATA, key=str), ids=str)
def test_no_setting_opens_what_tells_credentials(address: IPv4Address | IPv6Address) -> None:
    networks = Networks([str(address), "0.0.0.0/0", "::/0"], [])
    assert not networks.may_be_asked(address)
    if address.version == 4:
        assert not networks.may_be_asked(ip_address(f"::ffff:{address}"))
        assert not networks.may_be_asked(ip_address(f"64:ff9b::{address}"))


@pytest.mark.parametrize(
    ("address", "is_asked"),
    [
        ("10.1.2.3", True),
        ("10.1.3.1", False),
        ("93.184.216.34", True),
        ("198.20.0.5", False),
        ("64:ff9b::198.20.0.5", False),
        ("fd12::1", True),
        ("2a00::1", True),
        ("2a01::1", False),
    ],
)
def test_networks_can_be_opened_and_closed(address: str, is_asked: bool) -> None:
    networks = Networks(["10.1.2.0/24", "fd12::/16"], ["198.20.0.0/16", "2a01::/16"])
    assert networks.may_be_asked(ip_address(address)) is is_asked


@given(
    st.text(max_size=60), st.sampled_from(["", "http://", "https://a.example", "http://[", "//"])
)
def test_any_text_is_a_target_or_refused(text: str, before: str) -> None:
    try:
        target = target_of(before + text, FetchSettings())
    except NotFetched:
        return
    assert target.url.raw_host == str(target.host)
    assert name_or_address(str(target.host)) == target.host
    assert target.url.user is None
    assert target.url.port == target.port
    assert target.port in (80, 443)
    assert str(target.url).isascii()
    assert str(target.url).isprintable()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://a.example", "https://a.example/"),
        ("HTTPS://A.Example/B", "https://a.example/B"),
        ("https://a.example?x", "https://a.example/?x"),
        ("https://a.example/a%2Fb?sig=%2B%7E+x==#part", "https://a.example/a%2Fb?sig=%2B%7E+x=="),
        ("https://a.example:443/b", "https://a.example/b"),
        (
            "https://m\u00fcnchen.example/\u00fc?\u00fc",
            "https://xn--mnchen-3ya.example/%C3%BC?%C3%BC",
        ),
        ("https://93.184.216.34/", "https://93.184.216.34/"),
        ("https://[2A00:0::1]/", "https://[2a00::1]/"),
    ],
)
def test_ordinary_urls_are_asked_as_they_were_written(url: str, asked: str) -> None:
    made = str(target_of(url, FetchSettings()).url)
    assert made.replace(":443/", "/") == asked


def test_the_loop_that_servers_run_on_makes_no_difference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert uvloop.run(ssrf.main()) == 0
    assert "canary reached 0" in capsys.readouterr().out
