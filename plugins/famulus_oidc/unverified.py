"""A JWT taken apart, before anything of it is believed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, NoReturn

import msgspec

from famulus_oidc.faults import BadToken

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_JWS_SEGMENTS = 3
_KEY_ID_MAX = 256

_TYPES = frozenset({"jwt", "at+jwt"})
"""What `typ` may be: an ID token or an access token, and no sign-out, proof or event."""


class Unverified(msgspec.Struct, frozen=True):
    """What a token says of itself."""

    algorithm: str
    key_id: str | None
    claims: dict[str, Any]

    @property
    def issuer(self) -> str | None:
        """Who is said to have signed it."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else None


def take_apart(token: str) -> Unverified:
    """What a token says of itself. Raises BadToken where it is no JWT that could be taken."""
    segments = token.split(".")
    if len(segments) != _JWS_SEGMENTS:
        raise BadToken("it is encrypted, or no JWT")
    header = _object(segments[0], "header")
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "jwt")
    if not isinstance(algorithm, str):
        raise BadToken("its header names no algorithm")
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= _KEY_ID_MAX):
        raise BadToken("its header names no proper key")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise BadToken("it is no token for access (typ)")
    if "crit" in header or "b64" in header:
        raise BadToken("its header asks for what this server does not understand (crit)")
    return Unverified(algorithm, key_id, _object(segments[1], "payload"))


def _object(segment: str, name: str) -> dict[str, Any]:
    if not _SEGMENT.fullmatch(segment):
        raise BadToken(f"its {name} is not base64url")
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        found = json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadToken(f"its {name} is not JSON") from error
    if not isinstance(found, dict):
        raise BadToken(f"its {name} is no JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two claims of one name, two readers might believe different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadToken("it says the same thing twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
