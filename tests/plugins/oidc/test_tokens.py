"""Whose tokens let in, and which do not, whoever made them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from tests.plugins.oidc.conftest import KEY, house, trusting
from tests.plugins.oidc.issuer import LocalIssuer, SigningKey, raw_token

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"]
)
async def test_a_token_of_a_trusted_issuer_lets_in(issuer: LocalIssuer, algorithm: str) -> None:
    issuer.rotate(SigningKey("k", algorithm))
    async with house(trusting(issuer)) as at:
        first = await at.ask(issuer.token())
        assert first.status_code == 200, (first.text, at.server.state("oidc"))
        made = await at.ask(issuer.token(), "POST", json={"model": "m"})
        assert made.status_code == 200
        # What it made is its project's, where API keys see it as well.
        assert await at.status(KEY, path=f"/v1/assistants/{made.json()['id']}") == 200


async def test_api_keys_and_tokens_stand_beside_each_other(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer)) as at:
        _, key = await at.server.plugin("keys").create()
        assert [await at.status(each) for each in (KEY, key, issuer.token())] == [200, 200, 200]
        wrong = await at.ask("sk-fam-wrong")
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        assert (await at.server.get("/v1/assistants")).status_code == 401


async def test_a_key_of_the_configuration_may_look_like_a_token(issuer: LocalIssuer) -> None:
    like_one = jwt.encode({"iss": "elsewhere"}, "x" * 32, algorithm="HS256")
    keys = {"api_key": like_one, "first_key": False}
    async with house(trusting(issuer), keys=keys) as at:
        assert await at.status(like_one) == 200


@pytest.mark.parametrize(
    "claims, said",
    [
        ({"aud": "another"}, r"not for this server \(aud\)"),
        ({"aud": ["another", "third"]}, r"\(aud\)"),
        ({"aud": {"famulus": 1}}, r"\(aud\)"),
        ({"aud": None}, r"\(aud\)"),
        ({"exp": 1_700_000_000 - 31}, r"has expired \(exp\)"),
        ({"exp": None}, r"never expires \(exp\)"),
        ({"exp": "4000000000"}, r"times are no numbers \(exp\)"),
        ({"exp": True}, r"times are no numbers \(exp\)"),
        ({"exp": 10**400}, r"times are no numbers \(exp\)"),
        ({"nbf": 1_700_000_000 + 31}, r"not valid yet \(nbf\)"),
        ({"iat": 1_700_000_000 + 31}, r"issued in the future \(iat\)"),
        ({"sub": None}, r"does not say whose it is \(sub\)"),
        ({"sub": ["a", "b"]}, r"whose it is \(sub\)"),
        ({"sub": ""}, r"whose it is \(sub\)"),
        ({"iss": "https://evil.example"}, "not one that this server trusts"),
        ({"iss": None}, "not one that this server trusts"),
        ({"iss": ["home"]}, "not one that this server trusts"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused(
    issuer: LocalIssuer, claims: dict[str, Any], said: str
) -> None:
    async with house(trusting(issuer)) as at:
        given = {**issuer.claims(), **claims}
        given = {name: value for name, value in given.items() if value is not None}
        header = {"alg": "RS256", "kid": issuer.key.id}
        token = _signed(issuer.key, header, json.dumps(given).encode())
        message = await at.refusal(token)
        assert re.search(said, message), message
        assert await at.status(issuer.token()) == 200


async def test_clocks_may_be_off_by_the_leeway_and_no_more(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer), oidc={"leeway_s": 10}) as at:
        now = at.clock.at
        for claims, status in [
            ({"exp": now - 9}, 200),
            ({"exp": now - 10}, 401),
            ({"nbf": now + 10}, 200),
            ({"nbf": now + 11}, 401),
            ({"iat": now + 10}, 200),
            ({"iat": now + 11}, 401),
        ]:
            assert await at.status(issuer.token(**claims)) == status, claims


async def test_a_token_ends_when_it_expires_even_while_it_is_remembered(
    issuer: LocalIssuer,
) -> None:
    async with house(trusting(issuer), oidc={"leeway_s": 0, "cache_s": 3600}) as at:
        token = issuer.token(exp=at.clock.at + 60)
        assert await at.status(token) == 200
        at.clock.move(59)
        assert await at.status(token) == 200
        at.clock.move(1)
        assert await at.status(token) == 401


async def test_a_token_can_be_held_to_an_age(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer, max_age_s=600), oidc={"leeway_s": 0}) as at:
        token = issuer.token(iat=at.clock.at)
        assert await at.status(token) == 200
        at.clock.move(600)
        assert "expired" in await at.refusal(token)
        assert "when it was issued" in await at.refusal(issuer.token())


async def test_claims_can_be_required_and_the_audience_be_elsewhere(issuer: LocalIssuer) -> None:
    # As Amazon Cognito has it.
    table = trusting(issuer, audience_claim="client_id", require={"token_use": "access"})
    async with house(table) as at:
        good = issuer.token(aud=None, client_id="famulus", token_use="access")
        assert await at.status(good) == 200
        identity = issuer.token(aud=None, client_id="famulus", token_use="id")
        assert "(token_use)" in await at.refusal(identity)
        assert "(client_id)" in await at.refusal(issuer.token(token_use="access"))


# --- attacks -------------------------------------------------------------------------------------


def _signed(key: SigningKey, header: dict[str, Any], payload: bytes) -> str:
    """A valid signature over anything that is said."""
    unsigned = raw_token(header, payload, "")
    algorithm = jwt.get_algorithm_by_name(header["alg"])
    signature = algorithm.sign(unsigned.rpartition(".")[0].encode(), key.private)
    return unsigned + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


async def test_a_token_that_nobody_signed_is_refused(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer)) as at:
        for name in ("none", "None", "NONE", ""):
            for signature in ("", "AAAA"):
                header = {"alg": name, "kid": "first"}
                await at.refusal(raw_token(header, issuer.claims(), signature))
        head, body, signature = issuer.token().split(".")
        other = issuer.token(sub="mallory").split(".")[1]
        assert "signature" in await at.refusal(f"{head}.{other}.{signature}")
        assert "signature" in await at.refusal(f"{head}.{body}.")
        assert "signature" in await at.refusal(f"{head}.{body}.{signature[:-8]}AAAAAAAA")


async def test_the_public_key_is_no_secret_to_sign_with(issuer: LocalIssuer) -> None:
    public = issuer.key.private.public_key()
    secrets = [
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        json.dumps(issuer.key.jwk()).encode(),
    ]
    async with house(trusting(issuer)) as at:
        for secret in secrets:
            unsigned = raw_token({"alg": "HS256", "kid": "first"}, issuer.claims(), "")
            mac = hmac.digest(secret, unsigned[:-1].encode(), hashlib.sha256)
            token = unsigned + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
            assert "(alg)" in await at.refusal(token)


async def test_a_key_is_not_used_for_what_it_was_not_made(issuer: LocalIssuer) -> None:
    small, signing = SigningKey("small", bits=1024), SigningKey("ec", "ES256")
    encrypting, pinned = SigningKey("enc"), SigningKey("pinned")
    issuer.published = [
        issuer.key.jwk(),
        small.jwk(),
        signing.jwk(),
        encrypting.jwk(use="enc"),
        pinned.jwk(alg="PS256"),
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1z"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "kid": "off the curve", "crv": "P-256", "x": "AQ", "y": "AQ"},
        {"kid": 7},
    ]
    async with house(trusting(issuer)) as at:
        assert await at.status(issuer.token()) == 200
        assert await at.status(signing.token(issuer.claims())) == 200
        assert await at.status(pinned.token(issuer.claims(), alg="PS256")) == 200
        for token in (
            _signed(small, {"alg": "RS256", "kid": "small"}, json.dumps(issuer.claims()).encode()),
            encrypting.token(issuer.claims()),
            pinned.token(issuer.claims()),
            raw_token({"alg": "ES256", "kid": "first"}, issuer.claims(), "AA" * 32),
            raw_token({"alg": "RS256", "kid": "ec"}, issuer.claims(), "AA" * 32),
            jwt.encode(
                issuer.claims(),
                "secret-secret-secret-secret-secret-s",
                algorithm="HS256",
                headers={"kid": "shared"},
            ),
        ):
            await at.refusal(token)


async def test_algorithms_can_be_fewer(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer, algorithms=["ES256"])) as at:
        assert "(alg)" in await at.refusal(issuer.token())


@pytest.mark.parametrize(
    "key_id",
    ["../../../../etc/passwd", "/dev/null", "x' or 1=1 --", "http://evil.example/k", "", "\0", "é"],
)
async def test_the_name_of_a_key_is_only_a_name(issuer: LocalIssuer, key_id: str) -> None:
    async with house(trusting(issuer)) as at:
        stranger = SigningKey(key_id)
        assert "none of its issuer's keys" in await at.refusal(stranger.token(issuer.claims()))


async def test_keys_that_a_token_brings_along_are_not_looked_at(issuer: LocalIssuer) -> None:
    stranger = SigningKey("first")
    async with house(trusting(issuer)) as at:
        await at.status(issuer.token())
        asked = list(issuer.asked)
        for header in (
            {"jku": f"{issuer.url}/evil"},
            {"x5u": f"{issuer.url}/evil"},
            {"jwk": stranger.jwk()},
            {"x5c": ["MIIB"]},
        ):
            assert "signature" in await at.refusal(stranger.token(issuer.claims(), **header))
        assert issuer.asked == asked


async def test_what_is_no_token_for_access_is_refused(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer)) as at:
        for kind in ("at+jwt", "JWT", "application/at+jwt"):
            assert await at.status(issuer.key.token(issuer.claims(), typ=kind)) == 200
        for kind in ("logout+jwt", "dpop+jwt", "secevent+jwt"):
            token = issuer.key.token(issuer.claims(), typ=kind)
            assert "(typ)" in await at.refusal(token)
        header = {"alg": "RS256", "kid": "first", "crit": ["x"], "x": 1}
        payload = json.dumps(issuer.claims()).encode()
        assert "(crit)" in await at.refusal(_signed(issuer.key, header, payload))


async def test_what_says_two_things_is_refused(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer)) as at:
        claims = json.dumps(issuer.claims())[:-1]
        twice = f'{claims}, "sub": "mallory"}}'.encode()
        token = _signed(issuer.key, {"alg": "RS256", "kid": "first"}, twice)
        assert "twice" in await at.refusal(token)
        inner = f'{claims}, "a": {{"b": 1, "b": 2}}}}'.encode()
        token = _signed(issuer.key, {"alg": "RS256", "kid": "first"}, inner)
        assert "twice" in await at.refusal(token)


@pytest.mark.parametrize(
    "token",
    [
        "ey..",
        "ey.ey.ey",
        "eyJ.eyJ.eyJ.eyJ.eyJ",
        raw_token({"alg": 1}, b"{}", "AA"),
        raw_token({"alg": "RS256", "kid": 1}, b"{}", "AA"),
        raw_token({"alg": "RS256"}, b"[" * 9000, "AA"),
        raw_token({"alg": "RS256"}, b'{"iss": NaN}', "AA"),
        raw_token({"alg": "RS256"}, b'{"exp": ' + b"9" * 5000 + b"}", "AA"),
        raw_token({"alg": "RS256"}, b'{"iss": "\xff"}', "AA"),
    ],
)
async def test_what_is_no_token_at_all_is_refused(issuer: LocalIssuer, token: str) -> None:
    async with house(trusting(issuer)) as at:
        answer = await at.ask(token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")


async def test_a_huge_token_is_not_looked_at(issuer: LocalIssuer) -> None:
    async with house(trusting(issuer)) as at:
        assert "longer than 16384 bytes" in await at.refusal(issuer.token(pad="x" * 20_000))
        assert issuer.asked.count("/jwks") <= 1


async def test_wrong_tokens_count_as_wrong_keys_do(issuer: LocalIssuer) -> None:
    limits = {"failed_logins_per_minute": 3}
    more = ("rate_limits", "memory_limits")
    async with house(trusting(issuer), more=more, rate_limits=limits) as at:
        right = issuer.token()
        assert await at.status(right) == 200
        expired = issuer.token(exp=1)
        statuses = [await at.status(expired) for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert await at.status(issuer.token(sub="new")) == 429
        # Who was right before is not locked out by a neighbour.
        assert await at.status(right) == 200


async def test_no_token_is_written_to_the_log(
    issuer: LocalIssuer, capfd: pytest.CaptureFixture[str]
) -> None:
    async with house(trusting(issuer), server={"log_level": "debug"}) as at:
        tokens = [issuer.token(), issuer.token(exp=1), issuer.token(iss="https://evil.example")]
        for token in tokens:
            await at.status(token)
        written = "".join(capfd.readouterr())
        for token in tokens:
            assert not any(part in written for part in token.split("."))
