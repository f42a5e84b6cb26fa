"""Whoever comes with a token of an issuer is one of the organization, beside those with keys."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from tests.e2e.organization.organization import Organization
from tests.plugins.oidc.issuer import AUDIENCE, LocalIssuer, SigningKey, local_issuer

WRONG_PER_MINUTE = 5
SETTINGS = {"FAMULUS_RATE_LIMITS__FAILED_LOGINS_PER_MINUTE": str(WRONG_PER_MINUTE)}
CONFIG = """
[[plugins.oidc.issuers]]
name = "home"
issuer = "{url}"
audience = "{audience}"
project_claim = "team"
roles_claim = "roles"
roles = {{ staff = "member", viewer = "reader" }}
"""


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as made:
        yield made


@pytest.fixture(scope="module")
def config(issuer: LocalIssuer) -> str:
    return CONFIG.format(url=issuer.url, audience=AUDIENCE)


def token(organization: Organization, issuer: LocalIssuer, role: str, sub: str) -> str:
    """A token for the project of support."""
    made = issuer.token(team=organization.support, roles=[role], sub=sub)
    organization.secrets.append(made)
    return made


def test_tokens_and_keys_of_a_project_share_what_is_in_it(
    organization: Organization, issuer: LocalIssuer
) -> None:
    by_token = organization.client(token(organization, issuer, "staff", "ada"), organization.one)
    by_key = organization.client(organization.writer, organization.two)
    made = by_token.beta.assistants.create(model="scripted", name="canary")
    assert by_key.beta.assistants.retrieve(made.id) == made
    changed = by_key.beta.assistants.update(made.id, name="another canary")
    assert by_token.beta.assistants.retrieve(made.id) == changed
    for stranger in (organization.biller, issuer.token(team=organization.billing, roles=["staff"])):
        with pytest.raises(openai.NotFoundError):
            organization.client(stranger, organization.one).beta.assistants.retrieve(made.id)


def test_a_reader_reads_at_both_processes_and_writes_at_neither(
    organization: Organization, issuer: LocalIssuer
) -> None:
    thread = organization.client(organization.writer).beta.threads.create()
    viewer = token(organization, issuer, "viewer", "vera")
    for at in organization.processes:
        threads = organization.client(viewer, at).beta.threads
        assert threads.retrieve(thread.id) == thread
        with pytest.raises(openai.PermissionDeniedError, match=r"api\.threads\.write"):
            threads.create()
        with pytest.raises(openai.PermissionDeniedError, match=r"api\.threads\.write"):
            threads.delete(thread.id)


def test_a_token_of_a_role_or_a_project_that_is_none_does_nothing(
    organization: Organization, issuer: LocalIssuer
) -> None:
    for at in organization.processes:
        stranger = token(organization, issuer, "guest", "gus")
        assert organization.ask("GET", "/v1/assistants", stranger, at).status_code == 403
        lost = issuer.token(team="proj_of_nobody", roles=["staff"])
        assert organization.ask("GET", "/v1/assistants", lost, at).status_code in (401, 403)
        admin = "/v1/organization/projects"
        staff = token(organization, issuer, "staff", "ada")
        assert organization.ask("GET", admin, staff, at).status_code == 403


def test_what_a_token_did_is_told_by_its_name_and_never_by_the_token(
    organization: Organization, issuer: LocalIssuer
) -> None:
    ada = token(organization, issuer, "staff", "ada")
    made = organization.client(ada, organization.two).beta.assistants.create(model="scripted")
    for at in organization.processes:
        logs = organization.admin(at).audit_logs
        [event] = logs.list(resource_ids=[made.id]).data
        assert (event.type, event.project.id) == ("assistant.created", organization.support)
        assert "home:ada" in event.to_json()
        assert not any(part in event.to_json() for part in ada.split("."))


def test_forged_tokens_are_counted_as_wrong_keys_and_keep_nobody_else_out(
    organization: Organization, issuer: LocalIssuer
) -> None:
    two = organization.two
    ada = token(organization, issuer, "staff", "ada")
    for right in (ada, organization.writer):
        assert organization.ask("GET", "/v1/models", right, two).status_code == 200
    forger = SigningKey(issuer.key.id)
    claims = issuer.claims(team=organization.support, roles=["staff"])
    statuses = [
        organization.ask(
            "GET", "/v1/models", forger.token({**claims, "jti": str(number)}), two
        ).status_code
        for number in range(WRONG_PER_MINUTE + 3)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert statuses == sorted(statuses)
    for right in (ada, organization.writer):
        assert organization.ask("GET", "/v1/models", right, two).status_code == 200
