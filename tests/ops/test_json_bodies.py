"""Every body that is no sound JSON object is a 400 in OpenAI's form, at every operation."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from ops.hardening import json_bodies
from tests.isolation.tenants import PLUGINS

from famulus.testing import kernel_with

pytestmark = pytest.mark.anyio
KEYS = {"api_key": "sk-bodies", "admin_api_key": "sk-admin-bodies"}


async def test_no_bad_body_is_more_than_a_400(tmp_path: Path) -> None:
    settings = {"keys": KEYS, "jobs": {"poll_s": 0.05}}
    async with kernel_with(*PLUGINS, settings=settings, data_dir=tmp_path) as server:
        document = (await server.get("/openapi.json")).json()
        ask = json_bodies.asker(server.client, *KEYS.values())
        statuses, wrong = await json_bodies.tried(document, ask)
    assert len(json_bodies.BODIES) >= 30
    paths = {path for _, path in json_bodies.operations(document)}
    assert {"/v1/assistants", "/v1/threads/nowhere/messages", "/v1/chat/completions"} <= paths
    assert "/v1/organization/projects" in paths
    assert wrong == []
    assert statuses[400] >= len(json_bodies.BODIES) * len(paths) - len(paths)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, text="Internal Server Error"),
        httpx.Response(200, json={}),
        httpx.Response(400, text="no"),
        httpx.Response(400, json={"error": "no"}),
        httpx.Response(400, json={"error": {"message": "no"}}),
    ],
)
def test_another_answer_would_be_seen(answer: httpx.Response) -> None:
    assert not json_bodies.is_refused(answer)
