"""Files that messages attach to be searched: they come into the thread's vector store.

A thread has one such store at most. Where it has none yet, or has one that is gone, a store is made
that expires some days after it was last used, as OpenAI's did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from famulus_schemas.errors import Problem
from famulus_schemas.identity import Principal
from famulus_schemas.ports import Stores
from famulus_schemas.records import Unit
from famulus_schemas.threads import Thread
from famulus_schemas.tools import (
    CreateAttachedVectorStore,
    CreateToolResources,
    FileSearchResources,
    ToolResources,
)

NOT_THERE = 404


async def with_files(
    stores: Stores | None,
    project: str,
    thread: Thread,
    files: Mapping[str, str],
    *,
    days: int,
    by: Principal | None = None,
) -> tuple[Thread, Unit]:
    """The thread as it is once these files can be searched in it, and the writes of its store.

    `files` is the parameter of each and its id. The thread is the same one where it has a store
    already. Raises Problem (400) for a file that is not there. Files are read `by` whoever asks for
    it, where that is known.
    """
    if stores is None or not files:
        return thread, []
    ids = list(files.values())
    store = _store_of(thread)
    if store is not None:
        try:
            return thread, await stores.attach(project, store, ids, named=list(files), by=by)
        except Problem as problem:
            if problem.status != NOT_THERE:
                raise
    request = CreateAttachedVectorStore(file_ids=list(dict.fromkeys(ids)))
    made, unit = await stores.create(project, request, days=days, by=by)
    kept = thread.tool_resources or ToolResources()
    resources = replace(kept, file_search=FileSearchResources(vector_store_ids=[made]))
    return replace(thread, tool_resources=resources), unit


def with_wanted(resources: CreateToolResources, files: Sequence[str]) -> CreateToolResources:
    """The resources, whose store that is to be made has these files, too."""
    found = resources.file_search
    assert found is not UNSET
    assert found.vector_stores is not UNSET
    stores = [
        replace(store, file_ids=list(dict.fromkeys([*store.file_ids, *files])))
        for store in found.vector_stores
    ]
    return replace(resources, file_search=replace(found, vector_stores=stores))


def _store_of(thread: Thread) -> str | None:
    found = UNSET if thread.tool_resources is None else thread.tool_resources.file_search
    return None if found is UNSET else next(iter(found.vector_store_ids), None)
