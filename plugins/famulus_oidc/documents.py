"""What an issuer publishes: fetched within a time and a size, from where it may come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec

from famulus_oidc.settings import Issuer, OidcSettings

_OK = 200


class NotFetched(Exception):
    """An issuer's keys are not to be had now; says why, for the operator."""


async def key_document(issuer: Issuer, settings: OidcSettings, client: httpx.AsyncClient) -> Any:
    """An issuer's JSON Web Key Set, as JSON. Raises NotFetched."""
    try:
        async with asyncio.timeout(settings.fetch_s):
            if issuer.jwks_file is not None:
                size = settings.document_bytes_max
                return await asyncio.to_thread(_read, Path(issuer.jwks_file), size)
            url = issuer.jwks_url or await _discovered(issuer, settings, client)
            return await _get(client, url, settings)
    except TimeoutError as error:
        raise NotFetched(f"no answer within {settings.fetch_s:g} s (fetch_s)") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NotFetched(f"{type(error).__name__}: {error}") from error


async def _discovered(issuer: Issuer, settings: OidcSettings, client: httpx.AsyncClient) -> str:
    """Where an issuer says that its keys are."""
    url = f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
    found = await _get(client, url, settings)
    if not isinstance(found, dict) or found.get("issuer") != issuer.issuer:
        raise NotFetched(f"{url} is of another issuer; set `issuer` to what it says, or jwks_url")
    keys_url = found.get("jwks_uri")
    if not isinstance(keys_url, str):
        raise NotFetched(f"{url} names no jwks_uri")
    try:
        issuer.refuse_plain_http(keys_url)
    except ValueError as error:
        raise NotFetched(f"{url}: {error}") from error
    return keys_url


async def _get(client: httpx.AsyncClient, url: str, settings: OidcSettings) -> Any:
    body = b""
    async with client.stream("GET", url, headers={"accept": "application/json"}) as response:
        if response.status_code != _OK:
            # Redirects are not followed: they could lead to where nobody trusts anything.
            raise NotFetched(f"{url} answers {response.status_code}")
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > settings.document_bytes_max:
                raise NotFetched(f"{url} is too long (document_bytes_max)")
    return _json(body, url)


def _read(path: Path, bytes_max: int) -> Any:
    with path.open("rb") as file:
        body = file.read(bytes_max + 1)
    if len(body) > bytes_max:
        raise NotFetched(f"{path} is too long (document_bytes_max)")
    return _json(body, str(path))


def _json(body: bytes, where: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotFetched(f"{where} is not JSON") from error
