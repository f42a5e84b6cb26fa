"""Tokens of an issuer at two servers on one database, by the official client."""

from __future__ import annotations

import json
import time
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from tests.e2e.serving import Served, serve
from tests.plugins.oidc.issuer import AUDIENCE, SigningKey, local_issuer

pytestmark = pytest.mark.parametrize("store_variables", ["postgres"], indirect=True)

CONFIG = """
[[plugins.oidc.issuers]]
name = "home"
issuer = "{url}"
audience = "{audience}"
project_claim = "team"
project_template = "team-{{value}}"
roles_claim = "roles"
roles = {{ user = "member", viewer = "reader", operator = "admin" }}

[plugins.oidc]
create_projects = true
refresh_min_s = 0.1
"""


def client(served: Served, token: str, **more: str) -> OpenAI:
    return OpenAI(base_url=served.base_url, api_key=token, max_retries=0, **more)


def test_a_token_opens_its_project_at_every_server_whichever_key_signed_it(
    store_variables: dict[str, str], tmp_path: Path
) -> None:
    pepper = {"FAMULUS_KEYS__PEPPER": "the pepper of both of them"}
    off = {"FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false"}
    with local_issuer() as issuer:
        config = tmp_path / "famulus.toml"
        config.write_text(CONFIG.format(url=issuer.url, audience=AUDIENCE))
        variables = {**store_variables, **pepper, **off, "FAMULUS_CONFIG": str(config)}
        with (
            serve(tmp_path / "one", environment=variables) as one,
            serve(tmp_path / "two", environment=variables) as two,
        ):
            token = issuer.token(team="blue", roles=["user"])
            made = client(one, token).beta.assistants.create(model="builtin")
            assert client(two, token).beta.assistants.retrieve(made.id).id == made.id
            for other in (issuer.token(team="red", roles=["user"]), None):
                reader = one.client() if other is None else client(one, other)
                with pytest.raises(openai.NotFoundError):
                    reader.beta.assistants.retrieve(made.id)

            issuer.rotate(SigningKey("second", "ES256"))
            # What was found valid a moment ago is let in for cache_s, one second, without a look.
            time.sleep(1.1)
            viewer = issuer.token(team="blue", roles=["viewer"])
            for served in (one, two):
                assert client(served, viewer).beta.assistants.retrieve(made.id).id == made.id
                with pytest.raises(openai.PermissionDeniedError, match="Missing scopes"):
                    client(served, viewer).beta.assistants.delete(made.id)
                with pytest.raises(openai.AuthenticationError, match="none of its issuer's keys"):
                    client(served, token).beta.assistants.retrieve(made.id)

            operator = issuer.token(roles=["operator"])
            admin = client(one, operator, admin_api_key=operator).admin.organization
            assert {"default", "team-blue"} <= {each.id for each in admin.projects.list()}
            admin.projects.archive("team-blue")
            time.sleep(1.1)
            with pytest.raises(openai.AuthenticationError, match="archived"):
                client(two, viewer).beta.assistants.retrieve(made.id)

            logged = one.log.read_text() + two.log.read_text()
            for each in (token, viewer, operator):
                assert not any(part in logged for part in each.split(".")[1:])
            principals = {
                json.loads(line).get("principal")
                for line in logged.splitlines()
                if line.startswith("{")
            }
            assert "home:ada" in principals
