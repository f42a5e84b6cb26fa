"""Which operations a server serves, seen from outside: by what it answers elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import httpx

from famulus_conformance.oracle import OracleOperation

NOWHERE = "famulus_conformance_probe"
"""An id of nothing, and a path that no server has."""

TIMEOUT_S = 60.0
"""Seconds that a probe may take."""

_NO_METHOD = (405, 501)
_NOTHING_THERE = (404, 410)


def served(
    operations: Iterable[OracleOperation], base_url: str, api_key: str
) -> Iterator[OracleOperation]:
    """Those that are answered in another way than a path that does not exist.

    Nothing is made or changed: the ids are of nothing, and a body is one that no operation takes.
    """
    headers = {"authorization": f"Bearer {api_key}"}
    with httpx.Client(headers=headers, timeout=TIMEOUT_S) as client:
        nowhere: dict[str, tuple[int, str]] = {}
        for operation in operations:
            method = operation.method
            if method not in nowhere:
                nowhere[method] = _answer(client, method, f"{base_url}/{NOWHERE}")
            path = re.sub(r"\{\w+\}", NOWHERE, operation.path)
            found = _answer(client, method, f"{base_url}{path}")
            if found[0] in _NO_METHOD or (found[0] in _NOTHING_THERE and found == nowhere[method]):
                continue
            yield operation


def _answer(client: httpx.Client, method: str, url: str) -> tuple[int, str]:
    """The status, and the body without what it repeats of the path."""
    content = b"[]" if method == "POST" else None
    headers = {"content-type": "application/json"} if content else {}
    response = client.request(method, url, content=content, headers=headers)
    path = httpx.URL(url).path
    return response.status_code, response.text.replace(path, "")


def listed_models(base_url: str, api_key: str) -> list[str]:
    """The models that a server lists; none where it does not."""
    headers = {"authorization": f"Bearer {api_key}"}
    response = httpx.get(f"{base_url}/models", headers=headers, timeout=TIMEOUT_S)
    if response.status_code != 200:
        return []
    try:
        return [model["id"] for model in response.json()["data"]]
    except (ValueError, TypeError, KeyError):
        return []
