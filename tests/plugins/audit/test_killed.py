"""A server that dies while it changes things: no event without its change, no change without it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.serving import KEY, Served, serve
from tests.plugins.audit.conftest import Store

ADMIN = "the admin key of the whole road"
QUIET = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_BUBBLEWRAP__ENABLED": "false",
    "FAMULUS_ADMIN_KEY": ADMIN,
}


class Asked:
    """The server, asked with both keys."""

    def __init__(self, served: Served) -> None:
        self._http = httpx.Client(base_url=f"{served.url}/v1", timeout=30)

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def __call__(self, method: str, path: str, json: Any = None) -> Any:
        key = ADMIN if path.startswith("/organization") else KEY
        headers = {"authorization": f"Bearer {key}"}
        answer = self._http.request(method, path, json=json, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def all(self, path: str) -> list[Any]:
        """All of a list."""
        found: list[Any] = []
        after = ""
        while True:
            page = self("GET", f"{path}{'&' if '?' in path else '?'}limit=100{after}")
            found += page["data"]
            if not page["has_more"]:
                return found
            after = f"&after={page['last_id']}"


def environment(store: Store) -> dict[str, str]:
    """What makes a server keep its records there."""
    if "postgres" not in store:
        return QUIET
    settings = {
        f"FAMULUS_POSTGRES__{name.upper()}": each for name, each in store["postgres"].items()
    }
    return QUIET | settings


@pytest.mark.parametrize(
    "point",
    [
        "assistant_created:5",
        "assistant_delete_before_commit:3",
        "key_add_before_commit:4",
        "key_added:4",
    ],
)
def test_after_a_kill_the_log_tells_what_is_there(tmp_path: Path, store: Store, point: str) -> None:
    with (
        serve(tmp_path, environment=environment(store) | {"FAMULUS_FAILPOINT": point}) as served,
        Asked(served) as ask,
        suppress(httpx.HTTPError),
    ):
        project = ask("POST", "/organization/projects", {"name": "Billing"})["id"]
        where = f"/organization/projects/{project}/service_accounts"
        while True:
            made = ask("POST", "/assistants", {"model": "m"})
            ask("POST", "/assistants", {"model": "m"})
            ask("DELETE", f"/assistants/{made['id']}")
            ask("POST", where, {"name": "ci"})
    assert b"killed at failpoint" in (tmp_path / "server.log").read_bytes()

    with serve(tmp_path, environment=environment(store)) as served, Asked(served) as ask:
        told: dict[str, list[str]] = {}
        for event in ask.all("/organization/audit_logs"):
            told.setdefault(event["type"], []).append(event[event["type"]]["id"])
        there = {each["id"] for each in ask.all("/assistants")}
        created, deleted = told["assistant.created"], told.get("assistant.deleted", [])
        assert len(created) == len({*created}) > 3
        assert {*created} - {*deleted} == there
        assert {*deleted} <= {*created}
        [project] = [each["id"] for each in ask.all("/organization/projects")][1:]
        assert told["project.created"] == [project]
        for type, path in (
            ("api_key.created", "api_keys"),
            (
                "service_account.created",
                "service_accounts",
            ),
        ):
            kept = [each["id"] for each in ask.all(f"/organization/projects/{project}/{path}")]
            assert sorted(told.get(type, [])) == sorted(kept)
