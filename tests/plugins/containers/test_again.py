"""Requests that are sent again with their key make nothing twice, and are answered alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plugins.containers.conftest import PLUGINS

from famulus.testing import kernel_with

KEY = {"idempotency-key": "once"}


@pytest.mark.parametrize("given", [{"files": {"file": ("a.txt", b"a")}}, {"json": {}}])
async def test_a_file_that_is_sent_again_is_there_once(
    given: dict[str, Any], tmp_path: Path
) -> None:
    async with kernel_with(*PLUGINS, "idempotency", data_dir=tmp_path) as server:
        if "json" in given:
            sent = await server.client.post(
                "/v1/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"}
            )
            given = {"json": {"file_id": sent.json()["id"]}}
        made = [await server.post("/v1/containers", {"name": "c"}, headers=KEY) for _ in range(2)]
        assert made[0].json() == made[1].json()
        path = f"/v1/containers/{made[0].json()['id']}/files"
        files = [await server.client.post(path, headers=KEY, **given) for _ in range(2)]
        assert files[0].json()["object"] == "container.file"
        assert files[0].json() == files[1].json()
        assert len((await server.get(path)).json()["data"]) == 1
