"""The key that a server makes as it first starts: the log begins with it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from tests.e2e.serving import NotReady, serve
from tests.plugins.audit.conftest import Store
from tests.plugins.audit.test_killed import ADMIN, environment

_SHOWN = re.compile(r"OPENAI_API_KEY=(\S+)")


def variables(store: Store) -> dict[str, str]:
    """Of a server that nobody has given a key for projects."""
    return environment(store) | {"FAMULUS_API_KEY": ""}


def test_the_first_key_is_told_as_made_by_the_server(tmp_path: Path, store: Store) -> None:
    with serve(tmp_path, environment=variables(store)) as served:
        [shown] = _SHOWN.findall(served.log.read_text())
        headers = {"authorization": f"Bearer {ADMIN}"}
        with httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=60) as http:
            [event] = http.get("/organization/audit_logs").json()["data"]
            of_server = {"actor_ids[]": "server", "event_types[]": "api_key.created"}
            found = http.get("/organization/audit_logs", params=of_server).json()["data"]
            [key] = http.get("/organization/projects/default/api_keys").json()["data"]
    assert event["type"] == "api_key.created"
    assert event["actor"]["type"] == "server"
    assert event["project"]["id"] == "default"
    told = event["api_key.created"]
    assert told["id"] == key["id"] == "key_first"
    assert "api.*" in told["data"]["scopes"]
    assert found == [event]
    assert shown not in str(event)
    # The next start makes none, and tells of none.
    with (
        serve(tmp_path, environment=variables(store)) as served,
        httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=60) as http,
    ):
        assert http.get("/organization/audit_logs").json()["data"] == [event]


@pytest.mark.parametrize("point", ["key_add_before_commit:1", "key_added:1"])
def test_a_kill_leaves_the_first_key_and_its_event_or_neither(
    tmp_path: Path, store: Store, point: str
) -> None:
    killed = variables(store) | {"FAMULUS_FAILPOINT": point}
    with suppress(NotReady), serve(tmp_path, environment=killed):
        pass
    assert b"killed at failpoint" in (tmp_path / "server.log").read_bytes()
    headers = {"authorization": f"Bearer {ADMIN}"}
    with (
        serve(tmp_path, environment=variables(store)) as served,
        httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=60) as http,
    ):
        events = http.get("/organization/audit_logs").json()["data"]
        keys = http.get("/organization/projects/default/api_keys").json()["data"]
    assert [event["api_key.created"]["id"] for event in events] == [key["id"] for key in keys]
    assert len(keys) == 1
