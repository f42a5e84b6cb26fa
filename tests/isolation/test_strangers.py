"""Every operation of a whole server, asked for by a stranger: none reads what he sends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.isolation.tenants import PLUGINS, SETTINGS

from famulus.dispatch import PUBLIC_PATHS
from famulus.kernel import Kernel
from famulus.operations import Operation
from famulus.testing import TestServer, kernel_with

pytestmark = pytest.mark.anyio

LENGTH = 1 << 30
"""Bytes that the stranger says he will send."""

STRANGE = [
    {},
    {"authorization": "Bearer sk-fam-no"},
    {"authorization": "Basic dTpw"},
    {"cookie": "key=sk"},
    {"x-api-key": "sk"},
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TestServer]:
    async with kernel_with(*PLUGINS, data_dir=tmp_path, settings=SETTINGS) as started:
        yield started


async def asked(kernel: Kernel, operation: Operation, headers: dict[str, str]) -> dict[str, Any]:
    """The start of the answer; reading the body at all is a failure."""
    started: dict[str, Any] = {}

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body of a stranger was read")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)

    path = re.sub(r"\{[^}]*\}", "x", operation.path)
    sent = {"content-length": str(LENGTH), "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "method": operation.method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("192.0.2.1", 1),
    }
    await kernel(scope, receive, send)
    return started


@pytest.mark.parametrize("headers", STRANGE, ids=lambda each: next(iter(each), "nothing"))
async def test_nobody_without_a_key_has_anything_read_or_done(
    server: TestServer, headers: dict[str, str]
) -> None:
    tried = 0
    for operation in server.kernel.world.operations:
        if operation.path in PUBLIC_PATHS:
            continue
        answer = await asked(server.kernel, operation, headers)
        assert answer["status"] == 401, f"{operation.method} {operation.path}"
        assert (b"connection", b"close") in answer["headers"]
        tried += 1
    assert tried > 80


async def test_what_is_public_reads_nothing_either(server: TestServer) -> None:
    public = [each for each in server.kernel.world.operations if each.path in PUBLIC_PATHS]
    assert {each.path for each in public} == PUBLIC_PATHS
    for operation in public:
        assert (await asked(server.kernel, operation, {}))["status"] == 200
