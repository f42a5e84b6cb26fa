"""What the claims of a token mean: whose it is, in which project, with which role."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.oidc.conftest import KEY, house, trusting
from tests.plugins.oidc.issuer import LocalIssuer

from famulus_oidc.claims import at as claim_at
from famulus_oidc.claims import texts_at
from famulus_oidc.grants import grant
from famulus_oidc.settings import Issuer
from famulus_schemas.errors import Problem
from famulus_schemas.identity import SERVER, SYSTEM_PROJECT
from famulus_schemas.keys import ORGANIZATION, missing_scope

pytestmark = pytest.mark.anyio

ASSISTANT = {"json": {"model": "m"}}
ORG = "/v1/organization/projects"


async def refused(at: Any, token: str, **more: Any) -> tuple[int, str, str]:
    answer = await at.ask(token, **more)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


async def test_a_project_must_be_there_and_not_be_archived(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer, project_claim="tenant.id")) as at:
        keys = at.server.plugin("keys").service
        project = await keys.create_project("Billing", by=SERVER)
        token = issuer.token(tenant={"id": project.id})
        assert await at.status(token, "POST", **ASSISTANT) == 200
        [kept] = (await at.ask(token)).json()["data"]
        assert await at.status(KEY, path=f"/v1/assistants/{kept['id']}") == 404
        unknown = await refused(at, issuer.token(tenant={"id": "proj_unknown"}))
        assert unknown[:2] == (403, "no_project")
        assert "'proj_unknown', which this server does not have" in unknown[2]
        await keys.archive_project(project.id, by=SERVER)
        assert (await refused(at, token))[:2] == (401, "not_authorized_invalid_project")


async def test_projects_can_be_made_when_they_are_first_named(issuer: LocalIssuer) -> None:
    table = trusting(issuer, project_claim="tid", project_template="team-{value}")
    async with house(table, oidc={"create_projects": True}) as at:
        assert await at.status(issuer.token(tid="blue")) == 200
        made = await at.server.plugin("keys").service.project("team-blue")
        assert (made.id, made.name) == ("team-blue", "team-blue")
        await at.server.plugin("keys").service.archive_project("team-blue", by=SERVER)
        assert await at.status(issuer.token(tid="blue")) == 401
        for strange in ("../up", "a b", "", "x" * 200, "a/b", "\n", None, {"a": 1}, 1.5, True):
            assert (await refused(at, issuer.token(tid=strange)))[:2] == (403, "no_project")


async def test_nobodys_project_is_in_no_claim(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer, project_claim="tid"), oidc={"create_projects": True}) as at:
        assert (await refused(at, issuer.token(tid="system")))[:2] == (403, "no_project")
    table = trusting(issuer, project_claim="tid", project_template="sys{value}")
    async with house(table, oidc={"create_projects": True}) as at:
        assert (await refused(at, issuer.token(tid="tem")))[:2] == (403, "no_project")


async def test_of_several_projects_one_is_named(issuer: LocalIssuer) -> None:
    table = trusting(issuer, project_claim="groups", projects={"g1": "one", "g2": "two"})
    async with house(table, oidc={"create_projects": True}) as at:
        both = issuer.token(groups=["g1", "g2", "g3"])
        said = await refused(at, both)
        assert said[:2] == (403, "no_project")
        assert "one, two" in said[2]
        for project in ("one", "two"):
            named = {"headers": {"openai-project": project}}
            assert await at.status(both, **named) == 200
            assert len((await at.ask(both, **named)).json()["data"]) == 0
            assert await at.status(both, "POST", **named, **ASSISTANT) == 200
        other = await refused(at, both, headers={"openai-project": "default"})
        assert other[:2] == (403, "mismatched_project")
        assert await at.status(issuer.token(groups="g1")) == 200
        assert (await refused(at, issuer.token(groups=["g3"])))[:2] == (403, "no_project")


async def test_roles_are_enforced(issuer: LocalIssuer) -> None:
    roles = {"r": "reader", "m": "member", "o": "owner", "a": "admin", "ci": ["threads.write"]}
    async with house(trusting(issuer, roles_claim="realm.roles", roles=roles)) as at:

        async def may(*names: Any) -> list[int]:
            """Read and write in the project, and administer."""
            token = issuer.token(realm={"roles": list(names)})
            return [
                await at.status(token),
                await at.status(token, "POST", **ASSISTANT),
                await at.status(token, path=ORG),
            ]

        assert await may("r") == [200, 403, 403]
        assert await may("m") == [200, 200, 403]
        assert await may("o") == [200, 200, 403]
        assert await may("a") == [403, 403, 200]
        assert await may("ci") == [403, 403, 403]
        assert await may("r", "m") == [200, 200, 403]
        assert await may("m", "a") == [200, 200, 200]
        assert await may("r", "a") == [200, 403, 200]
        assert await may("another", 7) == [403, 403, 403]
        none = await refused(at, issuer.token())
        assert none[:2] == (403, "no_role")
        # The name of a role is none by itself.
        assert await may("admin", "owner") == [403, 403, 403]


async def test_roles_may_be_words_of_one_text(issuer: LocalIssuer) -> None:
    table = trusting(issuer, roles_claim="scope", roles={"famulus:read": "reader"})
    async with house(table) as at:
        assert await at.status(issuer.token(scope="openid famulus:read email")) == 200
        assert await at.status(issuer.token(scope="openid email")) == 403


async def test_a_group_that_somebody_named_after_a_role_is_not_that_role(
    issuer: LocalIssuer,
) -> None:
    table = trusting(issuer, roles_claim="groups", roles={"admins": "admin", "The Team": "reader"})
    async with house(table) as at:
        assert await at.status(issuer.token(groups=["friends of admins"]), path=ORG) == 403
        assert await at.status(issuer.token(groups=["admins"]), path=ORG) == 200
        assert await at.status(issuer.token(groups=["The Team"])) == 200


async def test_a_role_can_be_everybodys(issuer: LocalIssuer) -> None:
    table = trusting(issuer, default_role="reader", roles_claim="r", roles={"w": "member"})
    async with house(table) as at:
        assert await at.status(issuer.token()) == 200
        assert await at.status(issuer.token(), "POST", **ASSISTANT) == 403
        assert await at.status(issuer.token(r="w"), "POST", **ASSISTANT) == 200


KEYCLOAK = {
    "project_claim": "organization",
    "projects": {"acme": "default"},
    "roles_claim": "resource_access.famulus.roles",
    "roles": {"user": "member"},
}
ENTRA = {
    "subject_claim": "oid",
    "project_claim": "groups",
    "projects": {"6f0c2d3e-0000-4000-8000-000000000001": "default"},
    "roles_claim": "roles",
    "roles": {"Famulus.Write": "member"},
}
AUTH0 = {
    "project_claim": "org_id",
    "projects": {"org_7": "default"},
    "roles_claim": "https://acme.example/roles",
    "roles": {"editor": "member"},
}


@pytest.mark.parametrize(
    "table, claims, id",
    [
        (
            KEYCLOAK,
            {
                "sub": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
                "aud": ["famulus", "account"],
                "typ": "Bearer",
                "organization": ["acme"],
                "resource_access": {"famulus": {"roles": ["user"]}},
            },
            "home:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ),
        (
            ENTRA,
            {
                "sub": "pairwise",
                "oid": "0000-1",
                "groups": ["6f0c2d3e-0000-4000-8000-000000000001", "another"],
                "roles": ["Famulus.Write"],
            },
            "home:0000-1",
        ),
        (
            AUTH0,
            {
                "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
                "org_id": "org_7",
                "https://acme.example/roles": ["editor"],
            },
            "home:auth0|5f7c8ec7c33c6c004bbafe82",
        ),
    ],
    ids=["keycloak", "entra", "auth0"],
)
async def test_what_well_known_issuers_say(
    issuer: LocalIssuer, table: dict[str, Any], claims: dict[str, Any], id: str
) -> None:
    async with house(trusting(issuer, **table)) as at:
        assert await at.status(issuer.token(**claims), "POST", **ASSISTANT) == 200
    said = {"aud": "famulus", **claims}
    trusted = Issuer(name="home", issuer="https://x.example", audience="famulus", **table)
    assert grant(said, trusted).principal(None).id == id


# --- anything that claims may be -----------------------------------------------------------------

PLAIN = {"name": "home", "issuer": "https://x.example", "audience": "famulus"}
names = st.text(alphabet="ab.:/", max_size=5)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(names, anything, max_size=5)


@given(claims=objects, path=names)
def test_a_path_finds_only_what_is_there(claims: dict[str, Any], path: str) -> None:
    def reachable(inside: dict[str, Any], prefix: str) -> Any:
        for name, value in inside.items():
            if prefix + name == path:
                yield value
            if isinstance(value, dict):
                yield from reachable(value, f"{prefix}{name}.")

    found = claim_at(claims, path)
    assert found is None or any(found is each for each in reachable(claims, ""))
    for text in texts_at(claims, path):
        assert text
        assert isinstance(text, str)


@given(first=st.text(min_size=1), second=st.text(min_size=1))
def test_no_two_are_the_same_principal_and_each_can_be_logged(first: str, second: str) -> None:
    issuer = Issuer(**PLAIN)
    ids = [grant({"sub": each}, issuer).id for each in (first, second)]
    assert (ids[0] == ids[1]) == (first == second)
    assert all(each.isascii() and each.isprintable() and len(each) < 200 for each in ids)


@given(
    claims=st.fixed_dictionaries({"sub": st.just("ada"), "t": anything, "r": anything}),
    chosen=st.none() | names,
)
def test_no_claims_open_what_no_setting_opens(claims: dict[str, Any], chosen: str | None) -> None:
    mapped = {"project_claim": "t", "projects": {"a": "one"}}
    roles = {"roles_claim": "r", "roles": {"a": "reader", "b": ["files.read"]}}
    worth = grant(claims, Issuer(**PLAIN, **mapped, **roles))
    with suppress(Problem):
        who = worth.principal(chosen)
        assert who.project == "one"
        assert ORGANIZATION not in who.scopes
        assert missing_scope(who.scopes, "threads.create") is not None


@given(claims=st.fixed_dictionaries({"sub": st.just("ada"), "t": anything}))
def test_no_claim_is_nobodys_project(claims: dict[str, Any]) -> None:
    worth = grant(claims, Issuer(**PLAIN, project_claim="t"))
    assert SYSTEM_PROJECT not in worth.projects
    assert all(project.isascii() and "/" not in project for project in worth.projects)
