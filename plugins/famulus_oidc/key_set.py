"""An issuer's public keys, as its JSON Web Key Set has them; those that can be used for tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

from famulus_oidc.faults import BadToken

_RSA_BITS_MIN, _RSA_BITS_MAX = 2048, 8192
"""A shorter key can be broken; a longer one costs milliseconds a token."""

_OF_TYPE = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA",),
}
_KEY_ID_MAX = 256

_signatures = PyJWS()


class VerifyKey(msgspec.Struct, frozen=True):
    """One key, and the algorithms that it may be used with."""

    id: str | None
    algorithms: frozenset[str]
    key: Any

    def verify(self, token: str, algorithm: str) -> None:
        """Raise BadToken unless this key signed it."""
        try:
            _signatures.decode_complete(token, self.key, algorithms=[algorithm])
        except PyJWTError as error:
            raise BadToken("its signature is not its issuer's") from error


def read_key_set(document: Any, *, keys_max: int) -> tuple[VerifyKey, ...]:
    """The keys of a set that can be used, at most so many. Raises ValueError where it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is no JSON Web Key Set: there is no list `keys`")
    found = (_usable(each) for each in listed if isinstance(each, dict))
    return tuple(each for each in found if each is not None)[:keys_max]


def _usable(given: Mapping[str, Any]) -> VerifyKey | None:
    """A key of a set; None for one that is for something else, or that we cannot use."""
    key_id, declared = given.get("kid"), given.get("alg")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= _KEY_ID_MAX):
        return None
    if given.get("use", "sig") != "sig" or "verify" not in given.get("key_ops", ["verify"]):
        return None
    kind = "RSA" if given.get("kty") == "RSA" else given.get("crv")
    algorithms = _OF_TYPE.get(kind, ()) if isinstance(kind, str) else ()
    if declared is not None:
        algorithms = tuple(each for each in algorithms if each == declared)
    if not algorithms:
        return None
    # Private parts that should never have been published are not read.
    public = {name: given[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in given}
    try:
        key = PyJWK.from_dict(public, algorithms[0]).key
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and not _RSA_BITS_MIN <= key.key_size <= _RSA_BITS_MAX:
        return None
    return VerifyKey(key_id, frozenset(algorithms), key)
