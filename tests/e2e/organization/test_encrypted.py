"""Both processes speak TLS behind a proxy that says for whom it asks, and believe nobody else."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.organization.organization import Organization, eventually
from tests.e2e.serving import Served
from tests.kernel.certificates import write_certificate

CLIENT = "203.0.113.9"
SPOOFED = "198.51.100.7"
WRONG_PER_MINUTE = 5
TRUSTED = {"FAMULUS_SERVER__TRUSTED_PROXIES": "127.0.0.1"}
FOR = "x-forwarded-for"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls"))[0]


@pytest.fixture(scope="module")
def settings(certificate: Path) -> Mapping[str, str]:
    return {
        "FAMULUS_SERVER__TLS_CERT": str(certificate),
        "FAMULUS_SERVER__TLS_KEY": str(certificate.with_name("key.pem")),
        "FAMULUS_RATE_LIMITS__FAILED_LOGINS_PER_MINUTE": str(WRONG_PER_MINUTE),
    }


@pytest.fixture(scope="module")
def of_one() -> Mapping[str, str]:
    """Process one alone is behind a proxy: whoever tests it comes from the proxy's address."""
    return TRUSTED


def test_whoever_trusts_the_certificate_is_served_and_nobody_in_clear(
    organization: Organization,
) -> None:
    for at in organization.processes:
        assert at.url.startswith("https://")
        assert organization.client(organization.writer, at).models.list().data
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{at.url}/health/live", verify=ssl.create_default_context())
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{at.url.removeprefix('https://')}/health/live")


def test_the_audit_log_has_the_address_that_the_proxy_saw(organization: Organization) -> None:
    # What the client itself had sent stands before what the proxy added.
    event = made(organization, organization.one, {FOR: f"{SPOOFED}, {CLIENT}"})
    assert event["ip_address"] == CLIENT
    assert SPOOFED not in str(event)


@pytest.mark.parametrize("header", [FOR, "x-real-ip", "forwarded", "x-client-ip"])
def test_a_header_of_a_client_that_is_no_proxy_says_nothing(
    organization: Organization, header: str
) -> None:
    value = f"for={SPOOFED}" if header == "forwarded" else SPOOFED
    event = made(organization, organization.two, {header: value})
    assert event["ip_address"] == "127.0.0.1"
    assert SPOOFED not in str(event)


def test_refusals_have_the_address_too(organization: Organization) -> None:
    for at, address in ((organization.one, CLIENT), (organization.two, "127.0.0.1")):
        request_id = f"req-refused-at-{address}"
        headers = {FOR: f"{SPOOFED}, {CLIENT}", "x-request-id": request_id}
        told = organization.ask("GET", "/v1/models", "sk-canary-wrong", at, headers=headers)
        assert told.status_code == 401
        events = eventually(lambda id=request_id: of_request(organization, id, "login.failed"))
        assert [each["ip_address"] for each in events] == [address]


def test_a_spoofed_address_is_no_way_around_the_limit_on_wrong_keys(
    organization: Organization,
) -> None:
    def guesses(at: Served) -> list[int]:
        return [
            organization.ask(
                "GET", "/v1/models", f"sk-canary-{n}", at, headers={FOR: f"198.51.100.{n + 10}"}
            ).status_code
            for n in range(WRONG_PER_MINUTE + 3)
        ]

    # Behind the proxy these are as many clients; elsewhere they are one that lies.
    assert set(guesses(organization.one)) == {401}
    assert guesses(organization.two)[-1] == 429
    assert organization.client(organization.writer, organization.one).models.list().data


def made(organization: Organization, at: Served, headers: dict[str, str]) -> dict[str, Any]:
    """The event of an assistant that was made so, as the other process tells it."""
    told = organization.ask(
        "POST",
        "/v1/assistants",
        organization.writer,
        at,
        headers=headers,
        json={"model": "scripted", "name": "canary"},
    )
    assert told.status_code == 200, told.text
    [other] = [each for each in organization.processes if each is not at]
    logs = organization.admin(other).audit_logs
    [event] = logs.list(resource_ids=[told.json()["id"]]).data
    return dict(event.to_dict())


def of_request(organization: Organization, id: str, kind: Any) -> list[dict[str, Any]]:
    logs = organization.admin(organization.two).audit_logs
    events = [dict(each.to_dict()) for each in logs.list(event_types=[kind]).data]
    return [each for each in events if each.get("request_id") == id]
