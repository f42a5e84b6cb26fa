"""Vector stores, their files and file batches, by the Python client."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import openai

from famulus_conformance.scenarios_stage import Play, Stage, holds, refused, same

VACATION = "Employees have thirty days of paid vacation every year."
LUNCH = "The canteen serves lunch from noon until two."
DAY_S = 86_400
BATCH_FILES = 16


def _store(stage: Stage) -> None:
    stores = stage.client.vector_stores
    made = stores.create(
        name="handbook",
        metadata={"a": "b"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    told = (made.object, made.name, made.status, made.metadata, made.file_counts.total)
    same(told, ("vector_store", "handbook", "completed", {"a": "b"}, 0), "the store")
    same(made.expires_at, made.last_active_at + 7 * DAY_S, "when it expires")
    same(stores.retrieve(made.id), made, "retrieved")
    changed = stores.update(made.id, name="notes", expires_after=None)
    same((changed.name, changed.metadata, changed.expires_at), ("notes", {"a": "b"}, None), "it")
    others = [stores.create().id for _ in range(2)]
    pages = list(stores.list(limit=2).iter_pages())
    ids = [each.id for page in pages for each in page.data]
    same(ids[:3], [*others[::-1], made.id], "the newest")
    gone = stores.delete(made.id)
    same((gone.id, gone.object, gone.deleted), (made.id, "vector_store.deleted", True), "gone")
    refused(openai.NotFoundError, lambda: stores.retrieve(made.id))


def _file(stage: Stage) -> None:
    stores = stage.client.vector_stores
    store = stores.create().id
    file = stores.files.upload_and_poll(
        vector_store_id=store,
        file=("vacation.txt", VACATION.encode()),
        attributes={"topic": "vacation", "year": 2024},
    )
    same((file.status, file.last_error), ("completed", None), "the file")
    same(file.attributes, {"topic": "vacation", "year": 2024}, "its attributes")
    other = stage.client.files.create(file=("lunch.txt", LUNCH.encode()), purpose="assistants")
    added = stores.files.create_and_poll(other.id, vector_store_id=store)
    same(added.status, "completed", "the other file")
    (first, *_) = stores.search(store, query="days of paid vacation", max_num_results=2).data
    told = (first.file_id, first.filename, first.attributes, first.content[0].text)
    same(told, (file.id, "vacation.txt", file.attributes, VACATION), "what is found first")
    holds(0 < first.score <= 1, f"its score is {first.score}")
    changed = stores.files.update(file.id, vector_store_id=store, attributes={"topic": "leave"})
    same(changed.attributes, {"topic": "leave"}, "its changed attributes")
    chosen = stores.search(
        store,
        query=["vacation", "lunch"],
        rewrite_query=True,
        filters={"type": "and", "filters": [{"type": "eq", "key": "topic", "value": "leave"}]},
        ranking_options={"ranker": "auto", "score_threshold": 0},
    )
    same({each.file_id for each in chosen.data}, {file.id}, "what passes the filter")
    content = stores.files.content(file.id, vector_store_id=store)
    same("".join(each.text for each in content.data), VACATION, "its content")
    listed = stores.files.list(store, filter="completed", order="asc")
    same([each.id for each in listed.data], [file.id, other.id], "the files")
    gone = stores.files.delete(file.id, vector_store_id=store)
    same((gone.id, gone.object), (file.id, "vector_store.file.deleted"), "gone")
    refused(openai.NotFoundError, lambda: stores.files.retrieve(file.id, vector_store_id=store))
    stage.client.files.delete(other.id)
    same(stores.retrieve(store).file_counts.total, 0, "the files that are left")


def _batch(stage: Stage) -> None:
    stores = stage.client.vector_stores
    store = stores.create().id
    files: Any = [("vacation.txt", io.BytesIO(VACATION.encode())), ("lunch.txt", LUNCH.encode())]
    batch = stores.file_batches.upload_and_poll(vector_store_id=store, files=files)
    counts = (batch.status, batch.file_counts.completed, batch.file_counts.total)
    same(counts, ("completed", 2, 2), "the batch")
    same(stores.file_batches.retrieve(batch.id, vector_store_id=store), batch, "retrieved")
    listed = stores.file_batches.list_files(batch.id, vector_store_id=store, filter="completed")
    ids = [each.id for each in listed.data]
    same(len(ids), 2, "the files that it has")
    again = stores.file_batches.create_and_poll(vector_store_id=store, file_ids=ids)
    same(again.file_counts.completed, 2, "the files of the same once more")
    same(stores.retrieve(store).file_counts.completed, 2, "the files of the store")


def _cancelled(stage: Stage) -> None:
    stores, files = stage.client.vector_stores, stage.client.files
    store = stores.create().id
    text = " ".join([VACATION, LUNCH] * 200).encode()
    ids = [
        files.create(file=(f"{number}.txt", text), purpose="assistants").id
        for number in range(BATCH_FILES)
    ]
    batch = stores.file_batches.create(vector_store_id=store, file_ids=ids)
    done = stores.file_batches.cancel(batch.id, vector_store_id=store)
    same(done.id, batch.id, "the batch")
    done = stores.file_batches.poll(batch.id, vector_store_id=store)
    same(done.status, "cancelled", "its status")
    counts = done.file_counts
    same(counts.in_progress, 0, "the files in progress")
    same(counts.completed + counts.cancelled + counts.failed, BATCH_FILES, "all files")


PLAYS: Mapping[str, Play] = {
    "a vector store is created, retrieved, updated, listed and deleted": _store,
    "a file is uploaded into a vector store, searched for, described and taken out": _file,
    "a batch of files is uploaded into a vector store": _batch,
    "a batch of files is cancelled": _cancelled,
}
