"""A new thread with all that it begins with: its messages, and the store of its files."""

from __future__ import annotations

from famulus.resources import require_files, settle_resources
from famulus_schemas.identity import Principal
from famulus_schemas.messages import searchable_files
from famulus_schemas.ports import Files, Stores
from famulus_schemas.records import Unit
from famulus_schemas.threads import CreateThread, Thread
from famulus_schemas.tool_resources import wanted_store
from famulus_threads.file_ids import files_of_thread
from famulus_threads.kinds import encode, insert_message, insert_thread
from famulus_threads.making import Maker
from famulus_threads.searchable import with_files, with_wanted


async def opened(
    project: str,
    request: CreateThread,
    *,
    maker: Maker,
    files: Files | None,
    stores: Stores | None,
    attachments_days: int,
    now: int,
    within: str = "",
    resources_within: str | None = None,
    run: str = "",
    by: Principal | None = None,
) -> tuple[Thread, Unit]:
    """A new thread, and the writes that make it, its own first.

    Raises Problem for what it cannot have; the parameter that it names begins with `within`, that
    of its resources with `resources_within`, if that is given. Its files are read `by` whoever asks
    for it, where that is known.
    """
    of_resources = within if resources_within is None else resources_within
    attached = searchable_files(request.messages, named=f"{within}messages")
    given = request.tool_resources
    is_made = stores is not None and wanted_store(given, within=of_resources) is not None
    if is_made and given is not None:
        given = with_wanted(given, list(attached.values()))
    resources, of_store = await settle_resources(stores, project, given, within=of_resources, by=by)
    thread = maker.thread(request, resources, now=now)
    messages = maker.messages(
        request.messages, thread_id=thread.id, now=now, named=f"{within}messages"
    )
    await require_files(
        files, project, files_of_thread(request, within=within, resources_within=of_resources)
    )
    if not is_made:
        thread, of_store = await with_files(
            stores, project, thread, attached, days=attachments_days, by=by
        )
    inserts = [insert_message(message, encode(message), run=run) for message in messages]
    return thread, [insert_thread(thread, encode(thread)), *inserts, *of_store]
