"""The server that is judged, as a client meets it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import msgspec

BETA = {"OpenAI-Beta": "assistants=v2"}
TIMEOUT_S = 120.0
WRONG_KEY = "sk-nobody-has-this-key"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    body: Any
    """Decoded; None where it is no JSON."""
    text: str
    headers: Mapping[str, str]

    @property
    def is_success(self) -> bool:
        """Whether it is a 200."""
        return self.status == 200

    @property
    def error(self) -> Mapping[str, Any]:
        """What is inside the envelope; empty where there is none."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error if isinstance(error, dict) else {}

    def __str__(self) -> str:
        return f"{self.status} {self.text[:300]}"


class Target:
    """A server under a base URL, with a key and the model that it is asked with."""

    def __init__(
        self, client: httpx.AsyncClient, *, api_key: str, model: str, is_far: bool = True
    ) -> None:
        self._client = client
        self._api_key = api_key
        self.model = model
        self.is_far = is_far
        """Whether asking again at once would be rude."""
        self.asked = 0
        """Requests made."""

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        api_key: str | None = None,
        files: Any = None,
    ) -> Answer:
        """Ask; `content` is a JSON body as it stands, and an empty `api_key` is none."""
        headers = dict(BETA)
        key = self._api_key if api_key is None else api_key
        if key:
            headers["Authorization"] = f"Bearer {key}"
        given: dict[str, Any] = {"params": query or None, "headers": headers}
        if files is not None:
            # As files without a name: without any file it is still a form.
            given["files"] = {name: (None, text) for name, text in _fields(body)} | files
            if not given["files"]:
                headers["Content-Type"] = "multipart/form-data; boundary=none"
                given["content"] = b"--none--\r\n"
        elif content is not None or body is not None:
            headers["Content-Type"] = "application/json"
            given["content"] = json.dumps(body).encode() if content is None else content
        self.asked += 1
        response = await self._client.request(method, path.lstrip("/"), **given)
        return Answer(
            status=response.status_code,
            body=_decoded(response),
            text=response.text,
            headers=response.headers,
        )


def _fields(body: Any, within: str = "") -> Iterator[tuple[str, str]]:
    """The fields of a form; what is inside another is named with brackets."""
    for name, value in (body or {}).items():
        called = f"{within}[{name}]" if within else str(name)
        if isinstance(value, dict):
            yield from _fields(value, called)
        else:
            yield called, value if isinstance(value, str) else json.dumps(value)


def client_of(base_url: str, **given: Any) -> httpx.AsyncClient:
    """A client of the server at a base URL, such as `http://127.0.0.1:8400/v1`."""
    return httpx.AsyncClient(base_url=f"{base_url.rstrip('/')}/", timeout=TIMEOUT_S, **given)


async def first_model(client: httpx.AsyncClient, api_key: str) -> str:
    """The first model that a server lists. Raises LookupError where it lists none."""
    answer = await Target(client, api_key=api_key, model="").call("GET", "/models")
    models = answer.body.get("data", ()) if isinstance(answer.body, dict) else ()
    for model in models:
        return str(model["id"])
    raise LookupError(f"it lists no model: {answer}; name one with --model")


def _decoded(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        return None
