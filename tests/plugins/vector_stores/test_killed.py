"""A server that dies at any moment of a vector store's life leaves nothing half-done behind."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.serving import KEY, NotReady, Served, serve

from famulus.failpoints import POINTS as ALL_POINTS
from famulus_vector_stores.kinds import decode_file_extra

ENVIRONMENT = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_JOBS__POLL_S": "0.1",
    "FAMULUS_JOBS__RETRY_S": "0.1",
    "FAMULUS_VECTOR_STORES__SWEEP_S": "0.1",
}
EXPIRING = ("store_expire_before_commit", "store_expired")
ROUNDS = (
    (
        "store_create_before_commit",
        "store_created",
        "ingest_begun",
        "ingest_chunks_before_commit",
        "ingest_chunks_committed",
        "ingest_before_end",
        "ingest_ended",
    ),
    (
        "store_file_add_before_commit",
        "store_file_added",
        "store_file_remove_before_commit",
        "store_file_removed",
        "store_batch_create_before_commit",
        "store_batch_created",
        "store_batch_marked",
        "store_batch_called_off",
    ),
    (
        "store_delete_before_commit",
        "store_deleted",
        "chunks_clear_before_commit",
        "chunks_cleared",
        "store_clear_before_commit",
        "store_cleared",
        *EXPIRING,
    ),
)
"""One server after the other lives in the same place, and dies at the next point."""
LIFE_S = 30.0
DAY_S = 86_400
CHUNKING = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0},
}
LONG = "lengthy words. " * 5000


def test_every_point_of_vector_stores_is_met() -> None:
    named = ("store_", "ingest_", "chunks_")
    ours = [name for name in ALL_POINTS if name.startswith(named)]
    assert sorted(ours) == sorted(name for part in ROUNDS for name in part)


class Client:
    """A client that knows what was acknowledged."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.deleted: set[str] = set()
        self.doubtful: set[str] = set()
        """What is there or not: the answer was lost."""

    def live(self, http: httpx.Client) -> None:
        """Make, fill and delete stores until the server is gone."""
        while True:
            self._live_once(http)

    def _live_once(self, http: httpx.Client) -> None:
        files = [_file(http, f"short words {n}") for n in range(3)] + [_file(http, LONG)]
        after = {"anchor": "last_active_at", "days": 1}
        body = {"file_ids": files[:2], "chunking_strategy": CHUNKING, "expires_after": after}
        store = _ok(http.post("/vector_stores", json=body))["id"]
        self.made.add(store)
        path = f"/vector_stores/{store}"
        added = {"file_id": files[3], "chunking_strategy": CHUNKING}
        _ok(http.post(f"{path}/files", json=added))
        settled(http, store)
        _ok(http.delete(f"{path}/files/{files[0]}"))
        more = [_file(http, LONG) for _ in range(2)]
        batch = _ok(http.post(f"{path}/file_batches", json={"file_ids": [*more, files[2]]}))
        http.post(f"{path}/file_batches/{batch['id']}/cancel")
        _ok(http.delete(f"/files/{more[0]}"))
        _ok(http.delete(f"/files/{files[1]}"))
        if len(self.made - self.deleted) > 1:
            self.doubtful.add(store)
            _ok(http.delete(path))
            self.deleted.add(store)

    def check(self, http: httpx.Client) -> None:
        """Hold the server to what was acknowledged, once nothing is in progress."""
        page = _ok(http.get("/vector_stores", params={"limit": 100}))
        listed = {each["id"] for each in page["data"]}
        assert self.made - self.doubtful <= listed
        assert not self.deleted & listed
        for store in listed:
            settled(http, store)
            self._check_store(http, store)

    def _check_store(self, http: httpx.Client, store: str) -> None:
        path = f"/vector_stores/{store}"
        told = _ok(http.get(path))
        files = _ok(http.get(f"{path}/files", params={"limit": 100}))["data"]
        counts = Counter(each["status"] for each in files)
        assert {k: v for k, v in told["file_counts"].items() if v and k != "total"} == counts
        assert told["file_counts"]["total"] == len(files)
        assert not counts["failed"]
        if told["status"] == "expired":
            return
        assert told["usage_bytes"] == sum(each["usage_bytes"] for each in files)
        for each in files:
            _ok(http.get(f"/files/{each['id']}"))
        completed = {each["id"] for each in files if each["status"] == "completed"}
        for id in completed:
            assert _ok(http.get(f"{path}/files/{id}/content"))["data"]
        found = _ok(http.post(f"{path}/search", json={"query": "words"}))["data"]
        assert bool(found) == bool(completed)
        assert {each["file_id"] for each in found} <= completed


def _file(http: httpx.Client, text: str) -> str:
    files = {"file": ("a.txt", text.encode())}
    return str(_ok(http.post("/files", files=files, data={"purpose": "assistants"}))["id"])


def _ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def settled(http: httpx.Client, store: str) -> None:
    """Wait until no file of a store is in progress."""
    give_up = time.monotonic() + LIFE_S
    while _ok(http.get(f"/vector_stores/{store}"))["file_counts"]["in_progress"]:
        assert time.monotonic() < give_up, "a file stays in progress"
        time.sleep(0.02)


def connected(served: Served) -> httpx.Client:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.Client(base_url=f"{served.url}/v1", headers=headers, timeout=LIFE_S)


def rows(folder: Path, kind: str) -> list[tuple[str, str, bytes, bytes]]:
    """Id, parent, body and extra of every record of a kind."""
    with closing(sqlite3.connect(f"file:{database(folder)}?mode=ro", uri=True)) as opened:
        question = "select id, parent, body, extra from record where kind = ?"
        return opened.execute(question, (kind,)).fetchall()


def database(folder: Path) -> Path:
    """The file of the records."""
    (file,) = (folder / "data").rglob("famulus.sqlite3")
    return file


@pytest.mark.parametrize("points", ROUNDS, ids=["read", "filled", "deleted"])
def test_after_a_kill_stores_agree_with_their_files_and_nothing_else_stays(
    tmp_path: Path, points: tuple[str, ...]
) -> None:
    client = Client()
    for point in points:
        if point in EXPIRING:
            expire_one(tmp_path)
        environment = ENVIRONMENT | {"FAMULUS_FAILPOINT": point}
        with (
            suppress(httpx.HTTPError, NotReady),
            serve(tmp_path, environment=environment) as served,
            connected(served) as http,
        ):
            client.live(http)
        log = (tmp_path / "server.log").read_text()
        assert log.rstrip().endswith(f"killed at failpoint {point}"), log[-2000:]
    with serve(tmp_path, environment=ENVIRONMENT) as served, connected(served) as http:
        client.check(http)
        give_up = time.monotonic() + LIFE_S
        while rows(tmp_path, "job"):
            assert time.monotonic() < give_up, rows(tmp_path, "job")
            time.sleep(0.02)
    check_records(tmp_path)


def expire_one(folder: Path) -> None:
    """Have a store be one that was used long ago, as if the server had not run since then."""
    with closing(sqlite3.connect(database(folder))) as opened, opened:
        question = "select id, body from record where kind = 'vector_store' order by seq"
        for id, body in opened.execute(question).fetchall():
            store = json.loads(body)
            if store["status"] != "expired":
                store |= {"last_active_at": 1, "expires_at": 1 + DAY_S}
                told = json.dumps(store, separators=(",", ":")).encode()
                opened.execute("update record set body = ? where id = ?", (told, id))
                return
    raise AssertionError("there is no store that could expire")


def check_records(folder: Path) -> None:
    """Every chunk is that of a file that is completed, and every membership is one."""
    stores = {id: json.loads(body) for id, _, body, _ in rows(folder, "vector_store")}
    documents, members = set(), set()
    for _, parent, body, extra in rows(folder, "vector_store_file"):
        assert parent in stores
        file = json.loads(body)
        members.add((file["id"], parent))
        if file["status"] == "completed" and stores[parent]["status"] != "expired":
            documents.add(decode_file_extra(extra).document)
    kept = {parent.partition("/")[0] for _, parent, _, _ in rows(folder, "vector_store_chunks")}
    assert kept == documents
    told = {
        (id, store)
        for id, _, body, _ in rows(folder, "vector_store_membership")
        for store in json.loads(body)
    }
    assert told == members
    assert {parent for _, parent, _, _ in rows(folder, "vector_store_batch")} <= set(stores)
