"""A server to judge, whole or broken on purpose, and oracles to judge it by."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from famulus.testing import kernel_with
from famulus.testing.transport import InProcess
from famulus_conformance.described import DescribedOracle
from famulus_conformance.spec_oracle import spec_oracle
from famulus_conformance.target import Target, client_of, first_model
from famulus_conformance.wheel_oracle import wheel_oracle

KEY = "sk-test"
PLUGINS = (
    *("sqlite", "keys", "events", "jobs", "models", "builtin", "chat"),
    *("assistants", "threads", "functions", "runs"),
)

Alter = Callable[[str, str, int, Any], tuple[int, Any]]
"""From method, path, status and body of an answer to the status and body that are sent."""
Judged = Callable[..., AbstractAsyncContextManager[Target]]


class Altered:
    """An app whose JSON answers are changed on their way out."""

    def __init__(self, app: ASGIApp, alter: Alter) -> None:
        self._app = app
        self._alter = alter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {}
        parts: list[bytes] = []

        async def held(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._send(scope, start, b"".join(parts), send)

        await self._app(scope, receive, held)

    async def _send(self, scope: Scope, start: Message, body: bytes, send: Send) -> None:
        status, changed = self._alter(
            scope["method"], scope["path"], start["status"], json.loads(body or b"null")
        )
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        await send({**start, "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(changed).encode()})


@asynccontextmanager
async def _judged(alter: Alter | None = None) -> AsyncIterator[Target]:
    settings = {"keys": {"api_key": KEY, "first_key": False}}
    async with kernel_with(*PLUGINS, settings=settings) as server:
        app = server.kernel if alter is None else Altered(server.kernel, alter)
        async with client_of("http://famulus.test/v1", transport=InProcess(app)) as client:
            model = await first_model(client, KEY)
            yield Target(client, api_key=KEY, model=model, is_far=False)


@pytest.fixture
def judged() -> Judged:
    """`async with judged(alter) as target`: a server, its answers changed by `alter`."""
    return _judged


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is derived from the client is kept; deriving it takes seconds."""
    return tmp_path_factory.mktemp("derived")


@pytest.fixture(scope="session")
def client_oracle(cache_folder: Path) -> DescribedOracle:
    """The client's, which is always there."""
    return wheel_oracle(cache_folder)


@pytest.fixture(scope="session")
def document_oracle() -> DescribedOracle:
    """OpenAI's document's."""
    return spec_oracle(Path(os.environ["FAMULUS_OPENAI_SPEC"]))


needs_document = pytest.mark.skipif(
    not os.environ.get("FAMULUS_OPENAI_SPEC"),
    reason="NOT JUDGED BY OPENAI'S DOCUMENT: FAMULUS_OPENAI_SPEC is not set",
)


@pytest.fixture(params=["client", pytest.param("document", marks=needs_document)])
def oracle(request: pytest.FixtureRequest) -> DescribedOracle:
    """Each of the two."""
    found: DescribedOracle = request.getfixturevalue(f"{request.param}_oracle")
    return found
