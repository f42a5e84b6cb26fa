"""Notes: a resource of its own, and a tool that lets a model look into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import msgspec
from famulus import (
    Call,
    ListQuery,
    Operation,
    Plugin,
    Settings,
    Wire,
    found,
    hookimpl,
    list_page,
    need,
    operation,
    operations,
    setting,
)
from famulus_schemas.lists import ListPage
from famulus_schemas.ports import RECORDS
from famulus_schemas.records import Insert, Kind
from famulus_schemas.tooling import ToolKind
from famulus_schemas.wire import Answer, Request, UnixSeconds

from famulus_example.tool import LookUpNotes

NOTE = Kind(name="example.note")


class CreateNote(Request, frozen=True, kw_only=True):
    """The body of a create request; a key that is not here is refused."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


class Note(Answer, frozen=True, kw_only=True):
    """One note."""

    id: str
    object: Literal["note"] = "note"
    created_at: UnixSeconds
    text: str


class NotesSettings(Settings, frozen=True):
    """Table `[plugins.example_notes]`."""

    found_max: Annotated[int, setting(why="Notes that the tool answers with.")] = 5
    searched_max: Annotated[int, setting(why="Newest notes that the tool looks through.")] = 500


class Notes(Plugin[NotesSettings]):
    """Keeps notes and lets models read them."""

    name = "example_notes"
    records = need(RECORDS)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Make the kind known to the store."""
        await self.records.declare(NOTE)
        yield

    @hookimpl
    def register_operations(self) -> list[Operation]:
        """What the plugin serves."""
        return operations(self)

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """What models may call while they run."""
        return [LookUpNotes(self)]

    @operation("POST", "/v1/notes", action="notes.write")
    async def create_note(self, call: Call, body: CreateNote) -> Note:
        """Keep a note."""
        note = Note(id=self.new_id("note_"), created_at=self.now(), text=body.text)
        write = Insert(
            kind=NOTE.name,
            id=note.id,
            created_at=note.created_at,
            body=msgspec.json.encode(note),
        )
        unit = await self.joined(call.principal, "notes.write", [write])
        await self.records.of(call.project).commit(unit)
        return note

    @operation("GET", "/v1/notes", action="notes.read")
    async def list_notes(self, call: Call, query: ListQuery) -> Wire[ListPage[Note]]:
        """List notes, newest first unless asked otherwise."""
        return await list_page(self.records.of(call.project), NOTE.name, query=query)

    @operation("GET", "/v1/notes/{note_id}", action="notes.read")
    async def get_note(self, call: Call, note_id: str) -> Wire[Note]:
        """Get one note."""
        records = self.records.of(call.project)
        return Wire((await found(records, NOTE.name, note_id, thing="note")).body)

    async def containing(self, word: str, project: str) -> list[str]:
        """The newest notes of a project that contain a word, as the tool asks for them."""
        texts: list[str] = []
        after: str | None = None
        for _ in range(0, self.settings.searched_max, 100):
            page = await self.records.of(project).page(NOTE.name, after=after, limit=100)
            notes = [msgspec.json.decode(record.body, type=Note) for record in page.records]
            texts += [note.text for note in notes if word.lower() in note.text.lower()]
            if not page.has_more or len(texts) >= self.settings.found_max:
                break
            after = notes[-1].id
        return texts[: self.settings.found_max]
