"""What one project has, no other can see, cite, attach, run or change, whichever way it asks.

Every place of an id in every operation that is served is tried with an id of another project. The
places are read from the server's own document: an operation that is added is tried, or fails.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.isolation.slots import ITEM, Document, Slot, dotted
from tests.isolation.tenants import (
    Tenant,
    Things,
    installed_document,
    planned_document,
    two_tenants,
)

from famulus_schemas.identity import SYSTEM_PROJECT

pytestmark = pytest.mark.anyio

THINGS = {
    "assistant_id": "assistant",
    "batch_id": "batch",
    "container_id": "container",
    "file_id": "file",
    "file_ids": "file",
    "message_id": "message",
    "part_ids": "part",
    "run_id": "run",
    "step_id": "step",
    "thread_id": "thread",
    "upload_id": "upload",
    "vector_store_id": "store",
    "vector_store_ids": "store",
}
"""What an id of this name is the id of."""

LISTED = {
    "list_assistants": "assistant",
    "list_container_files": "container_file",
    "list_containers": "container",
    "list_files": "file",
    "list_files_in_batch": "file",
    "list_messages": "message",
    "list_run_steps": "step",
    "list_runs": "run",
    "list_vector_store_files": "file",
    "list_vector_stores": "store",
}
"""What a cursor of this list is the id of."""

NO_IDS = {
    "create_container:body:skills[].skill_id": "there are no skills; any is refused",
    "stream_run_events:query:after": "a number of an event, in the run that the path names",
    "submit_tool_outputs_to_run:body:tool_outputs[].tool_call_id": "named within the run",
}
"""Places that are named like ids of something that a project has, and are none."""

NARROWS = {"list_messages:query:run_id"}
"""Places that only choose among what the path names: what is not there chooses nothing."""

BESIDES = {"create_file_batch": ("file_ids",)}
"""What a body must have although its schema asks for none of it: one of several."""

BY_TURNS = {
    "cancel_file_batch": "it is over",
    "cancel_run": "it is over",
    "create_run": "the run of the request before may have the thread",
    "submit_tool_outputs_to_run": "the run is over",
}
"""Operations that refuse what is mine, too, each with its other reason."""

ENDS = ("delete", "cancel", "complete")
"""Words in the names of operations after which the thing is not what it was."""

with tempfile.TemporaryDirectory() as folder:
    DOCUMENT = Document(planned_document(Path(folder)))
ADMINISTRATION = "/v1/organization/"
SLOTS = [
    slot
    for slot in DOCUMENT.slots()
    if str(slot) not in NO_IDS and not slot.path.startswith(ADMINISTRATION)
]


def thing_of(slot: Slot) -> str:
    """What the id in that place is the id of."""
    name = slot.name
    if name in ("after", "before"):
        assert slot.operation in LISTED, f"what does {slot.operation} list? Say so in LISTED"
        return LISTED[slot.operation]
    assert name in THINGS, f"what is the {name} of {slot}? Say so in THINGS"
    if name == "file_id" and slot.where == "path" and "/containers/" in slot.path:
        return "container_file"
    return "picture" if "image_file" in slot.names else THINGS[name]


class Room:
    """Both projects, and what is theirs."""

    def __init__(self, mine: Tenant, other: Tenant) -> None:
        self.me = mine
        self.other = other
        self.mine: Things
        self.others: Things

    async def furnish(self) -> None:
        """Give both one of everything."""
        self.others = await self.other.things(waits=True)
        self.mine = await self.me.things(waits=False)

    async def ask(
        self,
        slot: Slot,
        id: str,
        *,
        path_of: Things | None = None,
        as_: Tenant | None = None,
    ) -> httpx.Response:
        """Ask with my key, for what is mine but for this id in this place."""
        ids = {**(path_of or self.mine).ids}
        of_path = {
            each.names[0]: ids[thing_of(each)]
            for each in DOCUMENT.slots()
            if (each.path, each.method, each.where) == (slot.path, slot.method, "path")
        }
        query: dict[str, str] = {}
        if slot.where == "path":
            of_path[slot.name] = id
        if slot.where == "query":
            query[slot.name] = id
        return await (as_ or self.me).ask(
            slot.method.upper(),
            slot.path.format(**of_path),
            params=query,
            **self._body(slot, id),
        )

    def _body(self, slot: Slot, id: str) -> dict[str, Any]:
        media, must_be_sent = DOCUMENT.takes(slot)
        if not media or not (must_be_sent or slot.where == media):
            return {}
        known = {name: self.mine.ids[thing] for name, thing in THINGS.items()}
        known |= {"model": "scripted", "part_ids": [self.mine.ids["part"]], "query": "x"}
        known |= {name: [known[name]] for name in ("file_ids", "vector_store_ids")}
        body = DOCUMENT.body(slot, id, known)
        if slot.where == "path":
            body |= {name: known[name] for name in BESIDES.get(slot.operation, ())}
        if media == "application/json":
            return {"json": body}
        files = {name: (name, b"x") for name in ("file", "data") if name in body}
        fields = {name: (None, value) for name, value in body.items() if name not in files}
        return {"files": {**fields, **files}}


@pytest.fixture(scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with two_tenants(tmp_path_factory.mktemp("two")) as tenants:
        room = Room(*tenants)
        await room.furnish()
        yield room


@pytest.mark.parametrize("slot", SLOTS, ids=str)
async def test_the_id_of_another_project_leads_nowhere(room: Room, slot: Slot) -> None:
    thing = thing_of(slot)
    before = await room.others.all()
    refused = await room.ask(slot, room.others.ids[thing])
    assert room.other.mark not in refused.text
    assert await room.others.all() == before
    if str(slot) in NARROWS:
        assert (refused.status_code, refused.json()["data"]) == (200, [])
    else:
        assert refused.status_code in (400, 404), refused.text
        error = refused.json()["error"]
        if refused.status_code == 400:
            assert names(error["param"], slot), error
    # As if there were no such thing at all.
    missing = await room.ask(slot, unknown_like(room.others.ids[thing]))
    assert words(missing, unknown_like(room.others.ids[thing])) == words(
        refused, room.others.ids[thing]
    )
    # The same with an id of its own is not refused so: what was refused is the id.
    allowed = await room.ask(slot, room.mine.ids[thing])
    if any(word in slot.operation for word in ENDS):
        room.mine = await room.me.things(waits=False)
    if slot.operation not in BY_TURNS:
        assert allowed.status_code == 200, allowed.text
    assert words(allowed, room.mine.ids[thing]) != words(refused, room.others.ids[thing])


@pytest.mark.parametrize("slot", [s for s in SLOTS if s.where == "path"], ids=str)
async def test_a_whole_path_of_another_project_leads_nowhere(room: Room, slot: Slot) -> None:
    before = await room.others.all()
    refused = await room.ask(slot, room.others.ids[thing_of(slot)], path_of=room.others)
    assert refused.status_code == 404, refused.text
    assert room.other.mark not in refused.text
    assert await room.others.all() == before


async def test_no_key_of_a_project_is_for_the_administration(room: Room) -> None:
    asked = [each for each in DOCUMENT.operations() if each[1].startswith(ADMINISTRATION)]
    assert len(asked) > 10
    for method, path in asked:
        # As it can be asked, so that nothing else is wrong with it.
        where = path.replace("{project_id}", "other")
        refused = await room.me.ask(method, where, params={"start_time": 0})
        assert refused.status_code in ((400, 403) if method == "POST" else (403,)), refused.text
        refused = await room.me.ask(method, path, json={"name": "x"})
        assert refused.status_code in (400, 403), refused.text


async def test_no_admin_key_is_for_what_projects_have(room: Room) -> None:
    _, token = await room.me.server.plugin("keys").create(project=SYSTEM_PROJECT)
    admin = Tenant(room.me.server, room.me.backend, "system", token)
    tried = [slot for slot in SLOTS if slot.where == "path" and slot.method in ("get", "delete")]
    assert len(tried) > 20
    for slot in tried:
        refused = await room.ask(slot, room.others.ids[thing_of(slot)], as_=admin)
        assert refused.status_code == 403, refused.text


def test_all_that_is_installed_is_tried() -> None:
    installed = {str(slot) for slot in Document(installed_document()).slots()}
    assert installed == {str(slot) for slot in DOCUMENT.slots()}


def test_no_exception_outlives_its_place() -> None:
    known = {str(slot) for slot in DOCUMENT.slots()}
    assert NO_IDS.keys() | NARROWS <= known
    assert LISTED.keys() <= {slot.operation for slot in SLOTS}


def names(param: str | None, slot: Slot) -> bool:
    """Whether an error's `param` is the place, with a number for the item, or what it is in."""
    place = dotted(slot.names)
    # What a run is given for its new thread is named as the thread's.
    given = (param or "").replace("[0]", ITEM).removeprefix("thread.")
    return given != "" and place.removeprefix("thread.") in (given, f"{given}{ITEM}")


def words(response: httpx.Response, id: str) -> tuple[int, str]:
    """An answer without the id that it may repeat."""
    return response.status_code, response.text.replace(id, "ID")


def unknown_like(id: str) -> str:
    """An id of the same form that nobody has."""
    return f"{id[:-4]}0000"
