"""A server that dies while containers are changed: what it acknowledged is there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.serving import KEY, Served, serve

ENVIRONMENT = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_BUBBLEWRAP__ENABLED": "false",
}
HEADERS = {"authorization": f"Bearer {KEY}"}


def connected(served: Served) -> httpx.Client:
    return httpx.Client(base_url=f"{served.url}/v1", headers=HEADERS, timeout=30)


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("point", ["container_before_commit:7", "container_committed:6"])
def test_after_a_kill_acknowledged_files_are_in_their_containers(
    tmp_path: Path, point: str
) -> None:
    made: dict[str, list[str]] = {}
    deleted: list[str] = []
    environment = ENVIRONMENT | {"FAMULUS_FAILPOINT": point}
    with (
        serve(tmp_path, environment=environment) as served,
        connected(served) as http,
        suppress(httpx.HTTPError),
    ):
        while True:
            container = ok(http.post("/containers", json={"name": "c"}))["id"]
            files = made[container] = []
            for _ in range(2):
                answer = http.post(
                    f"/containers/{container}/files", files={"file": ("a", b"hello")}
                )
                files.append(ok(answer)["id"])
            # Until the answer it is there or not.
            gone = files.pop(0)
            ok(http.delete(f"/containers/{container}/files/{gone}"))
            deleted.append(gone)
    assert b"killed at failpoint" in (tmp_path / "server.log").read_bytes()

    with serve(tmp_path, environment=ENVIRONMENT) as served, connected(served) as http:
        assert len(made) == 2
        assert len(deleted) == 1
        for container, files in made.items():
            listed = [file["id"] for file in ok(http.get(f"/containers/{container}/files"))["data"]]
            assert set(files) <= set(listed)
            # The one whose answer was lost may be there, too.
            assert len(listed) <= len(files) + 1
            assert not set(deleted) & set(listed)
            for file in listed:
                assert http.get(f"/containers/{container}/files/{file}/content").content == b"hello"
