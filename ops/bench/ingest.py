"""Files read into a vector store, beside what embedding their chunks alone takes."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from corpus import build
from harness import Figures, Options, Table, interleave, row

from famulus import NoSettings, Plugin, need
from famulus.testing import TestServer, kernel_with
from famulus_schemas.ports import EMBEDDER

ABOUT = "ingest: files read into a vector store"

MODEL = "famulus-lexical-1"
ALONE = "embedding the same chunks alone"
WHOLE = "uploaded, extracted, embedded, committed"
FILES = 100
QUICK_FILES = 4
CHUNKING = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
LOOK_S = 0.02
PLUGINS = (
    *("sqlite", "local_blobs", "events", "jobs", "files", "builtin", "models"),
    *("embeddings", "extraction", "exact_vectors", "vector_stores"),
)


class Finder(Plugin[NoSettings]):
    """Needs what vector stores embed with."""

    name: ClassVar[str] = "finder"
    embedder = need(EMBEDDER)


def run(options: Options) -> list[Table]:
    """One table, of seconds for a chunk."""
    passages = [passage.text for passage in build().passages]
    files = QUICK_FILES if options.quick else FILES
    size = max(1, len(passages) // FILES)
    texts = ["\n\n".join(passages[at * size : (at + 1) * size]) for at in range(files)]
    last: list[Figures] = []

    def whole() -> Figures:
        figures, alone = asyncio.run(_round(texts, options))
        last.append(alone)
        return figures

    # Both are measured in one server: the floor is what it embedded, right after it.
    rounds = interleave({WHOLE: whole, ALONE: lambda: last[-1]}, options)
    ingested = row(rounds, WHOLE, floor=ALONE, figure="chunk_ms", beside=["chunks", "chunks_s"])
    floor = row(rounds, ALONE, figure="chunk_ms", beside=["chunks", "chunks_s"])
    return [
        Table(
            title=f"{files} files, by {MODEL}",
            unit="ms a chunk",
            rows=[floor, ingested],
            note="Wall time; `chunks_s` is chunks a second.",
        )
    ]


async def _round(texts: list[str], options: Options) -> tuple[Figures, Figures]:
    with tempfile.TemporaryDirectory(dir=options.folder) as data:
        async with kernel_with(*PLUGINS, Finder, data_dir=Path(data)) as server:
            began = time.perf_counter()
            chunks = await _ingested(server, texts)
            spent = time.perf_counter() - began
            finder: Any = server.plugin("finder")
            began = time.perf_counter()
            await finder.embedder.embed(chunks, model=MODEL, role="passage")
            alone = time.perf_counter() - began
    return _figures(spent, len(chunks)), _figures(alone, len(chunks))


def _figures(seconds: float, chunks: int) -> Figures:
    return {
        "chunk_ms": seconds * 1000 / chunks,
        "chunks": float(chunks),
        "chunks_s": chunks / seconds,
    }


async def _ingested(server: TestServer, texts: list[str]) -> list[str]:
    """The chunks of the files, once all of them are read."""
    client, ids = server.client, []
    for number, text in enumerate(texts):
        form = {"file": (f"{number}.txt", text.encode())}
        made = await client.post("/v1/files", data={"purpose": "assistants"}, files=form)
        ids.append(made.raise_for_status().json()["id"])
    body = {"file_ids": ids, "chunking_strategy": CHUNKING}
    made = await client.post("/v1/vector_stores", json=body)
    path = f"/v1/vector_stores/{made.raise_for_status().json()['id']}"
    while (store := (await client.get(path)).json())["status"] != "completed":
        await asyncio.sleep(LOOK_S)
    assert store["file_counts"]["completed"] == len(texts), store["file_counts"]
    chunks: list[str] = []
    for id in ids:
        content = (await client.get(f"{path}/files/{id}/content")).json()["data"]
        chunks += [part["text"] for part in content]
    return chunks
