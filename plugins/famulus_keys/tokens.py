"""What a key looks like: `sk-fam-` or `sk-admin-`, 160 random bits, and a checksum.

The checksum lets anybody, a leak scanner as well as this server, tell a key from a mere likeness
without asking who knows it.
"""

from __future__ import annotations

import zlib

PREFIX = "sk-fam-"
ADMIN_PREFIX = "sk-admin-"
RANDOM_BYTES = 20

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ALLOWED = frozenset(_DIGITS)
_RANDOM_DIGITS = 27
"""62 ** 27 is just above 2 ** 160."""
_CHECK_DIGITS = 6

_REST_DIGITS = _RANDOM_DIGITS + _CHECK_DIGITS
LENGTH = len(PREFIX) + _REST_DIGITS
LAST_SHOWN = 4
_SHOWN_FROM = 16
"""A shorter text is shown as nothing: what is left out of it would be too little."""


def make_token(random: bytes, *, prefix: str = PREFIX) -> str:
    """The key that these random bytes make."""
    assert len(random) == RANDOM_BYTES
    text = prefix + _base62(int.from_bytes(random), _RANDOM_DIGITS)
    return text + _checksum(text)


def is_well_formed(token: str) -> bool:
    """Whether this could be one of our keys, by form and checksum."""
    prefix = ADMIN_PREFIX if token.startswith(ADMIN_PREFIX) else PREFIX
    if len(token) - len(prefix) != _REST_DIGITS or not token.startswith(prefix):
        return False
    text, check = token[:-_CHECK_DIGITS], token[-_CHECK_DIGITS:]
    return _ALLOWED.issuperset(text[len(prefix) :]) and _checksum(text) == check


def masked(token: str) -> str:
    """A key as it may be shown to whoever sent it."""
    return f"{token[:5]}***{token[-2:]}" if len(token) >= _SHOWN_FROM else "***"


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK_DIGITS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    assert number == 0
    return "".join(reversed(digits))
