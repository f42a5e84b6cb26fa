"""A URL taken apart once, strictly: what is checked is what is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import punctuation
from urllib.parse import quote

import msgspec
import yarl

from famulus_fetch.hosts import HOST_REFUSED, Address, matches, name_or_address
from famulus_fetch.settings import FetchSettings
from famulus_schemas.fetching import NotFetched

_FORM = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)", re.ASCII)
_NEVER = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff]")
_WHOLE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")


class Target(msgspec.Struct, frozen=True):
    """Whom to ask for what."""

    url: yarl.URL
    host: str | Address
    port: int

    @property
    def is_secure(self) -> bool:
        """Whether by https."""
        return self.url.scheme == "https"


def target_of(url: str, settings: FetchSettings) -> Target:
    """Whom a URL asks, as far as its text alone tells. Raises NotFetched."""
    if len(url) > settings.url_chars_max:
        raise NotFetched(f"its URL has more than {settings.url_chars_max} characters")
    found = None if _NEVER.search(url) else _FORM.match(url)
    if found is None:
        raise NotFetched("its URL is not well formed")
    if (scheme := found["scheme"].lower()) not in settings.schemes:
        raise NotFetched(f"its URL does not begin with {_either(settings.schemes)}://")
    return _asked(scheme, found["authority"], url[found.end() :], settings)


def _asked(scheme: str, authority: str, rest: str, settings: FetchSettings) -> Target:
    if "@" in authority:
        raise NotFetched("its URL holds a user name or a password")
    parts = _PORT.fullmatch(authority)
    if parts is None or not parts["host"] or "%" in authority:
        raise NotFetched("its URL is not well formed")
    port = int(parts["port"] or (443 if scheme == "https" else 80))
    if port not in settings.ports:
        ports = " or ".join(map(str, settings.ports))
        raise NotFetched(f"its port is {port}, and this server asks only {ports}")
    try:
        written = parts["host"]
        # Whatever signs a name is written in become ASCII once, here; what is checked is that.
        ascii_host = yarl.URL.build(scheme="http", host=written.strip("[]")).raw_host or ""
        host = name_or_address(ascii_host)
        shown = f"[{host}]" if ":" in str(host) else str(host)
        made = yarl.URL(f"{scheme}://{shown}:{port}{_path(rest)}", encoded=True)
    except ValueError as error:
        raise NotFetched("its URL is not well formed") from error
    if (":" in str(host)) != written.startswith("[") or made.raw_host != str(host):
        raise NotFetched("its URL is not well formed")
    if settings.hosts and not matches(str(host), settings.hosts):
        raise NotFetched(HOST_REFUSED)
    if matches(str(host), settings.hosts_denied):
        raise NotFetched(HOST_REFUSED)
    return Target(made, host, port)


def following(target: Target, location: str, settings: FetchSettings) -> Target:
    """Whom a redirect leads to. Raises NotFetched."""
    if not location:
        raise NotFetched("it redirects without saying where")
    if not _WHOLE.match(location):
        try:
            location = str(target.url.join(yarl.URL(location, encoded=True)))
        except ValueError as error:
            raise NotFetched("it redirects to what is no URL") from error
    found = target_of(location, settings)
    if target.is_secure and not found.is_secure:
        raise NotFetched("it redirects from https to http")
    return found


def _path(rest: str) -> str:
    """Path and query as they were written: some are signed, to the last sign."""
    written = quote(rest.partition("#")[0], safe=punctuation)
    return written if written.startswith("/") else f"/{written}"


def _either(schemes: Sequence[str]) -> str:
    return ":// or ".join(schemes)
