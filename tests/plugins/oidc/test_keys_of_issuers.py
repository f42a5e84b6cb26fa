"""How an issuer's keys come, change, and are done without."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.oidc.conftest import KEY, House, house, trusting
from tests.plugins.oidc.issuer import LocalIssuer, SigningKey, local_issuer

from famulus.mistakes import ConfigError
from famulus.testing import FixedClock

pytestmark = pytest.mark.anyio

QUIET = {"refresh_s": 3600}
"""Nothing is fetched but for a token."""


def fetched(issuer: LocalIssuer) -> int:
    return issuer.asked.count("/jwks")


async def unwell(at: House) -> dict[str, Any]:
    """What health says, to whoever has a key, of plugins that are not well."""
    answer: dict[str, Any] = (await at.ask(KEY, path="/health/ready")).json()
    return answer.get("plugins", {})


async def settled(at: House) -> None:
    """Until the fetch of the start is over."""
    for trusted in at.server.plugin("oidc")._trusted.values():
        while trusted.keys._tried_at is None or not trusted.keys._flight.done():
            await asyncio.sleep(0)


async def test_a_new_key_is_taken_at_its_first_token(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer), oidc=QUIET) as at:
        old = issuer.token()
        assert await at.status(old) == 200
        issuer.rotate(SigningKey("second", "ES256"))
        at.clock.move(10)
        assert await at.status(issuer.token()) == 200
        # The issuer does not publish the first any more: it may have been stolen.
        assert "none of its issuer's keys" in await at.refusal(old)
        assert fetched(issuer) == 2


async def test_unknown_keys_make_one_fetch_in_a_while(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer), oidc=QUIET) as at:
        assert await at.status(issuer.token()) == 200
        strangers = [SigningKey(f"stranger {n}", "ES256") for n in range(5)]
        for stranger in strangers:
            assert await at.status(stranger.token(issuer.claims())) == 401
        assert fetched(issuer) == 1
        at.clock.move(10)
        answers = await asyncio.gather(*(at.status(s.token(issuer.claims())) for s in strangers))
        assert answers == [401] * 5
        assert fetched(issuer) == 2


async def test_many_who_come_first_wait_for_one_fetch(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer), oidc=QUIET) as at:
        tokens = [issuer.token(sub=f"user-{n}") for n in range(20)]
        assert await asyncio.gather(*map(at.status, tokens)) == [200] * 20
        assert fetched(issuer) == 1


async def test_keys_are_fetched_ahead(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer), oidc={"refresh_s": 0.01}) as at:
        assert await at.status(issuer.token()) == 200
        issuer.rotate(SigningKey("second", "ES256"))
        count = fetched(issuer)
        while fetched(issuer) < count + 2:
            await asyncio.sleep(0.01)
        assert await at.status(issuer.token()) == 200


async def test_keys_are_kept_while_their_issuer_is_away_but_not_for_ever(
    issuer: LocalIssuer,
) -> None:
    async with house(trusting(issuer), oidc={**QUIET, "stale_max_s": 100}) as at:
        assert await at.status(issuer.token()) == 200
        issuer.status = 500
        at.clock.move(99)
        assert await at.status(issuer.token()) == 200
        # Whether a key is new cannot be told now, which is not the fault of who brings it.
        stranger = SigningKey("stranger", "ES256").token(issuer.claims())
        answer = await at.ask(stranger)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "issuer_unavailable")
        assert answer.headers["retry-after"] == "10"
        assert await at.status(issuer.token()) == 200
        health = await unwell(at)
        assert health["oidc"]["status"] == "degraded"
        assert "home" in health["oidc"]["detail"]
        at.clock.move(1)
        assert await at.status(issuer.token()) == 503
        issuer.status = 200
        at.clock.move(10)
        assert await at.status(issuer.token()) == 200
        assert "oidc" not in await unwell(at)


async def test_a_server_starts_while_its_issuer_is_away(issuer: LocalIssuer) -> None:
    issuer.status = 503
    async with house(trusting(issuer), oidc=QUIET) as at:
        await settled(at)
        assert await at.status(issuer.token()) == 503
        assert await at.status(KEY) == 200
        issuer.status = 200
        at.clock.move(10)
        assert await at.status(issuer.token()) == 200


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"discovery": {"issuer": "https://other", "jwks_uri": "x"}}, "of another issuer"),
        ({"discovery": []}, "of another issuer"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"jwks_uri": "http://192.0.2.1/keys"}, "must come by https"),
        ({"jwks_uri": "file:///etc/passwd"}, "keys come from https URLs"),
        ({"padding": b" " * 300_000}, "too long"),
        ({"padding": b"}"}, "not JSON"),
        ({"published": []}, "no key that could be used"),
        ({"published": None}, "no JSON Web Key Set"),
        ({"status": 302, "headers": {"location": "/elsewhere"}}, "answers 302"),
    ],
)
async def test_what_an_issuer_says_is_not_taken_on_trust(
    issuer: LocalIssuer, change: dict[str, Any], reason: str
) -> None:
    if "jwks_uri" in change:
        issuer.discovery = {"issuer": issuer.url, "jwks_uri": change.pop("jwks_uri")}
    for name, value in change.items():
        setattr(issuer, name, value)
    async with house(trusting(issuer), oidc=QUIET) as at:
        await settled(at)
        assert await at.status(issuer.token()) == 503
        assert reason in (await unwell(at))["oidc"]["detail"]
        assert "/elsewhere" not in issuer.asked


async def test_an_issuer_that_does_not_answer_holds_nobody_up_for_long(
    issuer: LocalIssuer,
) -> None:
    with local_issuer() as slow:
        gate = asyncio.Event()
        loop = asyncio.get_running_loop()

        def answer(path: str) -> tuple[int, bytes]:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return 200, b"{}"

        slow.answer = answer  # type: ignore[method-assign]
        other = {**trusting(slow), "name": "slow"}
        async with house(trusting(issuer), other, oidc={**QUIET, "fetch_s": 0.5}) as at:
            assert await at.status(issuer.token()) == 200
            assert await at.status(slow.token()) == 503
        gate.set()
        await asyncio.sleep(0)


async def test_keys_can_be_in_a_file_which_may_change(issuer: LocalIssuer, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [issuer.key.jwk()]}))
    table = {**trusting(issuer), "issuer": "https://offline.example", "jwks_file": str(path)}
    async with house(table, oidc=QUIET) as at:
        claims = issuer.claims(iss="https://offline.example")
        assert await at.status(issuer.key.token(claims)) == 200
        second = SigningKey("second", "EdDSA")
        path.write_text(json.dumps({"keys": [second.jwk()]}))
        at.clock.move(10)
        assert await at.status(second.token(claims)) == 200
        assert issuer.asked == []


async def test_keys_can_be_at_a_url_of_their_own(issuer: LocalIssuer) -> None:
    table = {**trusting(issuer), "issuer": "urn:example", "jwks_url": f"{issuer.url}/jwks"}
    async with house(table) as at:
        assert await at.status(issuer.key.token(issuer.claims(iss="urn:example"))) == 200
        assert set(issuer.asked) == {"/jwks"}


async def test_a_key_without_a_name_is_meant_where_it_is_the_only_one(
    issuer: LocalIssuer, fixed_clock: FixedClock
) -> None:
    nameless = SigningKey(None, "ES256")
    issuer.published = [nameless.jwk(), issuer.key.jwk()]
    async with house(trusting(issuer), oidc=QUIET) as at:
        # Of its algorithm there is no other.
        assert await at.status(nameless.token(issuer.claims())) == 200
        assert await at.status(SigningKey(None, "ES384").token(issuer.claims())) == 401
        issuer.published.append(SigningKey(None, "ES256").jwk())
        at.clock.move(10)
        await at.status(SigningKey("unknown", "ES256").token(issuer.claims()))
        assert await at.status(nameless.token(issuer.claims())) == 401


async def test_each_issuer_speaks_for_itself_alone(issuer: LocalIssuer) -> None:
    with local_issuer() as other:
        other.key = SigningKey("first")
        other.published = [other.key.jwk()]
        tables = trusting(issuer), {**trusting(other), "name": "other", "project": "default"}
        async with house(*tables) as at:
            assert await at.status(issuer.token()) == 200
            assert await at.status(other.token()) == 200
            # The names of their keys are the same; what they sign with is not.
            assert "signature" in await at.refusal(other.key.token(issuer.claims()))
            assert "signature" in await at.refusal(issuer.key.token(other.claims()))


@pytest.mark.parametrize(
    "table, said",
    [
        ({"issuer": "http://login.example"}, "must come by https"),
        ({"jwks_url": "http://login.example/k"}, "must come by https"),
        ({"jwks_url": "ftp://login.example/k"}, "https URLs"),
        ({"jwks_url": "https://a", "jwks_file": "b"}, "not from both"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": []}, "algorithms"),
        ({"audience": []}, "audience"),
        ({"audience": ""}, "audience"),
        ({"name": "Not A Name"}, "name"),
        ({"project": "system"}, "nobody's"),
        ({"project_claim": "t", "projects": {"a": "system"}}, "nobody's"),
        ({"project": "a", "project_claim": "b"}, "there is none"),
        ({"projects": {"a": "b"}}, "need project_claim"),
        ({"project_claim": "t", "project_template": "x"}, "must contain"),
        ({"roles_claim": "r"}, "need each other"),
        ({"roles": {"a": "admin"}}, "need each other"),
        ({"roles_claim": "r", "roles": {"a": "root"}}, "a role is"),
        ({"roles_claim": "r", "roles": {"a": ["organization.read"]}}, "a scope is"),
        ({"roles_claim": "r", "roles": {"a": []}}, "a scope is"),
    ],
)
async def test_settings_that_could_let_in_the_wrong_ones_are_refused(
    table: dict[str, Any], said: str
) -> None:
    whole = {"name": "home", "issuer": "https://login.example", "audience": "famulus", **table}
    with pytest.raises(ConfigError, match=said):
        async with house(whole):
            pass


async def test_plain_http_is_taken_where_it_is_asked_for() -> None:
    table = {"name": "home", "issuer": "http://login.example", "audience": "famulus"}
    async with house({**table, "allow_http": True}, oidc={"fetch_s": 0.01}) as at:
        assert at.server.state("oidc")[0] == "running"
