"""A server that dies at any moment of a file's life leaves records and contents that agree."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.serving import KEY, Served, serve

POINTS = (
    "blob_before_placed",
    "blob_placed",
    "file_create_before_commit",
    "file_created",
    "part_add_before_commit",
    "part_added",
    "upload_complete_before_commit",
    "upload_completed",
    "file_delete_before_commit",
    "file_deleted",
    "blob_removed",
)
ENVIRONMENT = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_JOBS__POLL_S": "0.1",
}
AT_ONCE = {"FAMULUS_FILES__ORPHAN_AGE_S": "0", "FAMULUS_FILES__ORPHANS_S": "0.1"}
"""What belongs to nothing is removed without waiting, though nobody would live so."""
LIFE_S = 30.0


class Client:
    """A client that knows what was acknowledged."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def live(self, made: set[str], deleted: set[str]) -> None:
        """Make and delete files until the server is gone, noting what it acknowledged."""
        while True:
            first = self._file()
            made.add(first)
            second = self._upload()
            made.add(second)
            # Until the answer it is there or not.
            made.discard(first)
            self._ok(self.http.delete(f"/files/{first}"))
            deleted.add(first)

    def _file(self) -> str:
        answer = self.http.post(
            "/files", files={"file": ("a", b"hello")}, data={"purpose": "assistants"}
        )
        return str(self._ok(answer)["id"])

    def _upload(self) -> str:
        body = {"filename": "a", "purpose": "assistants", "bytes": 10, "mime_type": "text/x"}
        upload = self._ok(self.http.post("/uploads", json=body))["id"]
        path = f"/uploads/{upload}"
        parts = [
            self._ok(self.http.post(f"{path}/parts", files={"data": b"hello"}))["id"]
            for _ in range(2)
        ]
        done = self._ok(self.http.post(f"{path}/complete", json={"part_ids": parts}))
        return str(done["file"]["id"])

    def _ok(self, answer: httpx.Response) -> Any:
        assert answer.status_code == 200, answer.text
        return answer.json()


def connected(served: Served) -> httpx.Client:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=LIFE_S)


def contents(folder: Path) -> list[str]:
    """The keys of all blobs, and the names of what is unfinished."""
    blobs = folder / "data" / "blobs"
    return sorted(path.name for path in blobs.rglob("*") if path.is_file())


@pytest.mark.parametrize("point", POINTS)
def test_after_a_kill_what_was_acknowledged_is_there_and_nothing_else_stays(
    tmp_path: Path, point: str
) -> None:
    made: set[str] = set()
    deleted: set[str] = set()
    environment = ENVIRONMENT | {"FAMULUS_FAILPOINT": f"{point}:3"}
    with (
        serve(tmp_path, environment=environment) as served,
        connected(served) as http,
        suppress(httpx.HTTPError),
    ):
        Client(http).live(made, deleted)
    assert b"killed at failpoint" in (tmp_path / "server.log").read_bytes()

    with serve(tmp_path, environment=ENVIRONMENT | AT_ONCE) as served, connected(served) as http:
        listed = {one["id"] for one in http.get("/files").json()["data"]}
        assert made <= listed
        # The one whose answer was lost may be there, too; or be gone, if it was being deleted.
        assert len(listed - made) <= 1
        assert not deleted & listed
        sizes = []
        for id in listed:
            content = http.get(f"/files/{id}/content")
            assert content.content in (b"hello", b"hello" * 2)
            sizes.append(len(content.content) // 5)
        pending = 2  # Parts of the upload that was not completed are still its own.
        wait_until_at_most(tmp_path, sum(sizes) + pending)
        assert len(contents(tmp_path)) >= sum(sizes)


def wait_until_at_most(folder: Path, count: int) -> None:
    """Wait until contents that belong to nothing are removed."""
    for _ in range(300):
        if len(contents(folder)) <= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"{contents(folder)} are more than {count}")
