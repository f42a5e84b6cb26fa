"""The plugin: authentication by JWT, beside that by API key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from famulus import CannotStart, Plugin, Problem, hookimpl, need
from famulus.operations import Identify
from famulus_oidc.settings import OidcSettings
from famulus_schemas.errors import WRONG_API_KEY
from famulus_schemas.health import Health
from famulus_schemas.identity import Principal
from famulus_schemas.ports import KEYS

if TYPE_CHECKING:
    import httpx
    from starlette.datastructures import Headers

    from famulus_oidc.doorkeeper import Doorkeeper, Trusted

_SCHEME = "bearer "
_DOTS_MIN = 2
"""Of a JWT: one that is encrypted has more."""


class LibraryMissing(CannotStart):
    """The package that checks signatures is not installed."""


class Oidc(Plugin[OidcSettings]):
    """Lets in whoever brings a token of a trusted issuer."""

    name = "oidc"
    extras = {"jwt": "oidc"}
    keys = need(KEYS)
    _doorkeeper: Doorkeeper
    _trusted: dict[str, Trusted]

    @classmethod
    def off_because(cls, settings: OidcSettings) -> str | None:
        """Off until an issuer is trusted."""
        return None if settings.issuers else "no issuers are set"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Serve at once, whether issuers answer or not; fetch their keys meanwhile."""
        _check_library()
        import httpx

        from famulus_oidc.doorkeeper import Doorkeeper

        settings = self.settings
        async with httpx.AsyncClient(follow_redirects=False, timeout=settings.fetch_s) as client:
            self._trusted = self._issuers(client)
            self._doorkeeper = Doorkeeper(self._trusted, self.keys, settings, self.host.clock)
            all_keys = [each.keys for each in self._trusted.values()]
            fresh = [asyncio.create_task(keys.keep_fresh()) for keys in all_keys]
            try:
                yield
            finally:
                for task in fresh:
                    task.cancel()
                await asyncio.gather(*fresh, return_exceptions=True)
                for keys in all_keys:
                    await keys.close()

    def _issuers(self, client: httpx.AsyncClient) -> dict[str, Trusted]:
        from famulus_oidc.documents import key_document
        from famulus_oidc.doorkeeper import Trusted
        from famulus_oidc.issuer_keys import IssuerKeys

        found = {}
        for issuer in self.settings.issuers:
            fetch = partial(key_document, issuer, self.settings, client)
            keys = IssuerKeys(
                issuer.name, fetch, self.settings, clock=self.host.clock, log=self.log
            )
            found[issuer.issuer] = Trusted(issuer, keys)
        return found

    @hookimpl
    def recognize(self, headers: Headers) -> Principal | None:
        """Who sent the token, where it was looked at a moment ago."""
        token = _token(headers)
        if token is None:
            return None
        return self._doorkeeper.seen(token, headers.get("openai-project"))

    @hookimpl(tryfirst=True)
    async def authenticate(self, headers: Headers) -> Principal | None:
        """Who sent the token, where one of our issuers made it; raises Problem if it is wrong."""
        token = _token(headers)
        if token is None:
            return None
        return await self._doorkeeper.principal(token, headers.get("openai-project"))

    @hookimpl
    async def around_login(
        self, headers: Headers, client: str, proceed: Identify
    ) -> Principal | None:
        """Say what is wrong with a token that is nobody's, rather than that it is no API key."""
        try:
            return await proceed()
        except Problem as refusal:
            token = _token(headers)
            if refusal.fault is WRONG_API_KEY and token is not None:
                raise self._doorkeeper.why_not(token) from None
            raise

    @hookimpl
    async def check_health(self) -> Health:
        """Whether every issuer handed out its keys when it was last asked."""
        away = [
            f"{each.issuer.name} ({each.keys.failure})"
            for each in self._trusted.values()
            if each.keys.failure is not None
        ]
        if not away:
            return Health()
        return Health(status="degraded", detail=f"no new keys of: {', '.join(away)}")


def _token(headers: Headers) -> str | None:
    """What may be a JWT in the Authorization header."""
    given = headers.get("authorization", "")
    if given[: len(_SCHEME)].lower() != _SCHEME:
        return None
    token = given[len(_SCHEME) :].strip()
    # Rather than an API key: its header is a JSON object's beginning.
    return token if token.startswith("ey") and token.count(".") >= _DOTS_MIN else None


def _check_library() -> None:
    # PyJWT is an extra: what needs it is imported only once it is known to be there.
    try:
        import cryptography  # noqa: F401
        import jwt  # noqa: F401
    except ModuleNotFoundError as error:
        raise LibraryMissing('PyJWT is not installed: pip install "famulus[oidc]"') from error
