"""Secrets in tokens, and those of Redis, of TLS and of a collector of traces, are told nowhere.

`test_secrets.py` does this for keys and models; here it is what is set and sent beside those.
"""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.organization.organization import eventually
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import FAMULUS, Served, environment_of, serve
from tests.kernel.certificates import write_certificate
from tests.plugins.oidc.issuer import AUDIENCE, LocalIssuer, SigningKey, local_issuer
from tests.plugins.otel.collector import Collector, collecting

PLANTED = "canary"
ADMIN_KEY = "the-canary-of-the-administration"
API_KEY = "the-canary-of-the-operator"
REDIS_PASSWORD = "canary-of-redis"
OTEL_HEADER = "Basic canary-of-the-collector"
CLAIM = "canary-claim"
CONFIG = """
[[plugins.oidc.issuers]]
name = "home"
issuer = "{issuer}"
audience = "{audience}"
roles_claim = "roles"
roles = {{ staff = "member", viewer = "reader" }}

[plugins.otel]
endpoint = "{collector}"
pause_s = 0.05
headers = {{ authorization = "{otel}", "x-other" = "env:CANARY_HEADER" }}

[plugins.redis]
url = "redis://:{redis}@127.0.0.1:9/0"

[plugins.usage.prices.scripted]
input = 1.0

[plugins.openai_compatible]
discover = false
"""


class Told:
    """What was told, by where, and what nobody may be told."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.secrets = [ADMIN_KEY, API_KEY, REDIS_PASSWORD, OTEL_HEADER, CLAIM]


def provoke(served: Served, issuer: LocalIssuer, told: Told, trust: Path) -> None:
    """Come with tokens of all kinds, and have things made, refused, counted and traced."""
    errors: list[str] = []
    forger = SigningKey(issuer.key.id)

    def ask(method: str, path: str, credential: str, **fields: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {credential}", **fields.pop("headers", {})}
        answer = client.request(method, path, headers=headers, **fields)
        if answer.status_code >= 400:
            errors.append(answer.text)
        return answer

    context = ssl.create_default_context(cafile=trust)
    with httpx.Client(base_url=served.url, verify=context, timeout=60) as client:
        claims: dict[str, Any] = {"roles": ["staff"], "email": CLAIM, "jti": CLAIM}
        right = issuer.token(**claims)
        viewer = issuer.token(**{**claims, "roles": ["viewer", CLAIM]})
        wrong = [
            issuer.token(**{**claims, "exp": 1}),
            issuer.token(**{**claims, "aud": CLAIM}),
            issuer.token(**{**claims, "iss": f"https://{CLAIM}.example"}),
            forger.token(issuer.claims(**claims)),
            issuer.key.token(issuer.claims(**claims), kid=CLAIM),
            right[:-8],
            f"{right}.{CLAIM}",
        ]
        told.secrets += [part for each in (right, viewer, *wrong) for part in each.split(".")[1:]]
        for each in wrong:
            assert ask("GET", "/v1/assistants", each).status_code == 401
        assert ask("POST", "/v1/threads", viewer, json={}).status_code == 403
        strange = {
            "traceparent": f"00-{CLAIM}",
            "tracestate": f"vendor={CLAIM}",
            "baggage": f"user={CLAIM}",
            "x-forwarded-for": CLAIM,
            "user-agent": "ordinary/1.0",
        }
        made = ask("POST", "/v1/assistants", right, json={"model": "scripted", "name": PLANTED})
        run = {
            "assistant_id": made.json()["id"],
            "stream": True,
            "thread": {"messages": [{"role": "user", "content": f"Say {PLANTED}"}]},
        }
        answer = ask("POST", "/v1/threads/runs", right, json=run, headers=strange)
        assert "event: thread.run.completed" in answer.text
        ask("GET", f"/v1/threads/{PLANTED}?api_key={PLANTED}", right, headers=strange)
        bad = {"project_ids": PLANTED, "start_time": PLANTED}
        ask("GET", "/v1/organization/usage/completions", ADMIN_KEY, params=bad)
        ask("GET", "/v1/organization/audit_logs", ADMIN_KEY, params={"effective_at[gt]": PLANTED})
        ask("GET", "/v1/organization/audit_logs", right)
        logs = "/v1/organization/audit_logs?limit=100"
        # Refusals are written a moment later.
        eventually(lambda: "login.failed" in ask("GET", logs, ADMIN_KEY).text)
        for path in (
            "/metrics",
            "/-/plugins",
            "/health/ready",
            logs,
            "/v1/organization/usage/completions?start_time=1",
        ):
            answer = client.get(path, headers={"authorization": f"Bearer {ADMIN_KEY}"})
            assert answer.status_code in (200, 503), answer.text
            told.texts[path] = answer.text
    told.texts["errors"] = "\n".join(errors)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("planted")
    cert, key = write_certificate(folder)
    found = Told()
    found.secrets += key.read_text().splitlines()[1:-1]
    with local_issuer() as issuer, collecting() as collector, scripted_server() as backend:
        config = folder / "famulus.toml"
        config.write_text(
            CONFIG.format(
                issuer=issuer.url,
                audience=AUDIENCE,
                collector=collector.url,
                otel=OTEL_HEADER,
                redis=REDIS_PASSWORD,
            )
        )
        config.chmod(0o600)
        variables = {
            "FAMULUS_API_KEY": API_KEY,
            "FAMULUS_ADMIN_KEY": ADMIN_KEY,
            "FAMULUS_BACKEND": backend,
            "FAMULUS_SERVER__TLS_CERT": str(cert),
            "FAMULUS_SERVER__TLS_KEY": str(key),
            "FAMULUS_SERVER__LOG_LEVEL": "debug",
            "FAMULUS_BUBBLEWRAP__ENABLED": "false",
            "CANARY_HEADER": f"{CLAIM}-of-a-header",
        }
        arguments = ["--config", str(config)]
        with serve(folder / "server", arguments=arguments, environment=variables) as served:
            provoke(served, issuer, found, cert)
            collector.named("POST /v1/threads/runs")
        found.texts["log"] = served.log.read_text()
        found.texts["traces"] = traces(collector)
        for options in (["--show"], ["--show", "--json"]):
            found.texts[f"config {options}"] = printed(folder, variables, "config", *options)
    return found


def traces(collector: Collector) -> str:
    """All that the collector was sent, but for the headers, which are for it."""
    assert OTEL_HEADER in {each["authorization"] for each in collector.headers}
    return "\n".join(body.decode("utf-8", "replace") for body in collector.bodies)


def printed(folder: Path, variables: dict[str, str], *arguments: str) -> str:
    """What a command prints, on both of its streams."""
    ended = subprocess.run(
        [*FAMULUS, *arguments, "--config", str(folder / "famulus.toml")],
        cwd=folder,
        env=environment_of(variables),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def test_something_was_told_everywhere(told: Told) -> None:
    events = [json.loads(line)["event"] for line in told.texts["log"].splitlines()]
    assert {"request_served", "run_completed"} <= set(events)
    assert "home:ada" in told.texts["/v1/organization/audit_logs?limit=100"]
    assert "login.failed" in told.texts["/v1/organization/audit_logs?limit=100"]
    assert "invoke_agent" in told.texts["traces"]
    assert "invalid_token" in told.texts["errors"]
    shown = told.texts["config ['--show']"]
    assert all(name in shown for name in ("plugins.otel", "plugins.redis", "plugins.oidc"))


def test_no_secret_is_told_anywhere(told: Told) -> None:
    assert [
        (where, line)
        for where, text in told.texts.items()
        for line in text.splitlines()
        if any(secret in line for secret in told.secrets)
    ] == []


def test_nothing_that_was_planted_is_told_but_to_who_sent_it(told: Told) -> None:
    assert [
        (where, line)
        for where, text in told.texts.items()
        if where != "errors"
        for line in text.splitlines()
        if PLANTED in line.lower().replace("canary_header", "")
    ] == []
