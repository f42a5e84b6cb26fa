"""What claims must be for a token to be taken, and how they are found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from famulus_oidc.faults import BadToken
from famulus_oidc.settings import Issuer


def at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim at a path such as `realm_access.roles`; None where there is none.

    A name may have dots itself, as `https://example.com/roles` has: the whole comes before parts.
    """
    if path in claims:
        return claims[path]
    place = path.find(".")
    while place != -1:
        inner = claims.get(path[:place])
        if isinstance(inner, dict):
            found = at(inner, path[place + 1 :])
            if found is not None:
                return found
        place = path.find(".", place + 1)
    return None


def texts_at(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The texts of a claim that is one or a list of them; whole numbers are texts too."""
    value = at(claims, path)
    values = value if isinstance(value, list) else [value]
    found = (
        str(each) if isinstance(each, int) and not isinstance(each, bool) else each
        for each in values
    )
    return tuple(dict.fromkeys(each for each in found if isinstance(each, str) and each))


def words_at(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """The same of a claim whose one text may hold several, as `scope` does.

    Of a list each text is one: where people name groups, `a b` must not be taken for `b`.
    """
    texts = texts_at(claims, path)
    if isinstance(at(claims, path), list):
        return texts
    return tuple(dict.fromkeys(word for text in texts for word in (text, *text.split())))


def check(claims: Mapping[str, Any], issuer: Issuer, *, now: float, leeway_s: float) -> float:
    """When the token stops being valid. Raises BadToken where it is not valid now."""
    if claims.get("iss") != issuer.issuer:
        raise BadToken("its issuer is another (iss)")
    if issuer.audiences.isdisjoint(texts_at(claims, issuer.audience_claim)):
        raise BadToken(f"it is not for this server ({issuer.audience_claim})")
    for path, wanted in issuer.require.items():
        accepted = {wanted} if isinstance(wanted, str) else set(wanted)
        if accepted.isdisjoint(texts_at(claims, path)):
            raise BadToken(f"it lacks what this server requires ({path})")
    return _check_times(claims, issuer, now=now, leeway_s=leeway_s)


def _check_times(
    claims: Mapping[str, Any], issuer: Issuer, *, now: float, leeway_s: float
) -> float:
    expires, issued = _time(claims, "exp"), _time(claims, "iat")
    begins = _time(claims, "nbf")
    if expires is None:
        raise BadToken("it never expires (exp)")
    if issuer.max_age_s is not None:
        if issued is None:
            raise BadToken("it does not say when it was issued (iat)")
        expires = min(expires, issued + issuer.max_age_s)
    if now >= expires + leeway_s:
        raise BadToken("it has expired (exp)")
    if begins is not None and now < begins - leeway_s:
        raise BadToken("it is not valid yet (nbf)")
    if issued is not None and now < issued - leeway_s:
        raise BadToken("it was issued in the future (iat)")
    return expires + leeway_s


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadToken(f"its times are no numbers ({name})")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise BadToken(f"its times are no numbers ({name})")
    return seconds
