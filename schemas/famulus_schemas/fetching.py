"""Fetching what a client or a content names by its URL, without trusting the URL."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL led to."""

    content: bytes
    media_type: str
    """As its server says, without parameters, and perhaps wrong; empty where it says nothing."""


class NotFetched(Exception):
    """Nothing was fetched; the text says why, for whoever gave the URL, as `it answered 404`.

    It says nothing that they could learn of the network that the server stands in.
    """


class Fetch(Protocol):
    """Fetches from where anybody may: never from the networks that the server stands in."""

    def refusal(self, url: str) -> str | None:
        """Why a URL is never fetched, as far as its text alone tells, in words as NotFetched's."""
        ...

    async def get(self, project: str, url: str, *, bytes_max: int, accept: str = "*/*") -> Fetched:
        """The content, whole. Raises NotFetched.

        Sends nothing that is the server's or the client's: no key, no cookie, no name. Ends
        within a time, and holds no more than `bytes_max`.
        """
        ...
