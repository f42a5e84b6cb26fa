"""Ports: the jobs that exactly one plugin does for all the others.

A plugin asks for one with `need(RECORDS)` in its class body and provides one with
`provides = (RECORDS,)` and `self.provide(RECORDS, store)` in its lifespan. A token's name is what
configuration (`[ports] records = "postgres"`) and `/-/plugins` show.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import msgspec

from famulus_schemas.blobs import Blobs
from famulus_schemas.fetching import Fetch
from famulus_schemas.inference import Inference
from famulus_schemas.jobs import Jobs
from famulus_schemas.limits import Limits
from famulus_schemas.records import Guard, RecordStore, SystemRecords, Unit
from famulus_schemas.retrieval import Embedder, Extraction, Vectors
from famulus_schemas.sandbox import Box, BoxFile, Sandbox
from famulus_schemas.usage import Meter

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    from famulus_schemas.assistants import FullAssistant
    from famulus_schemas.containers import ContainerFile
    from famulus_schemas.files import File, FilePurpose
    from famulus_schemas.identity import Principal
    from famulus_schemas.keys import Role, StoredAccount, StoredKey, StoredProject
    from famulus_schemas.messages import CreateMessage, Message
    from famulus_schemas.retrieval import Passage, Predicate, Ranking
    from famulus_schemas.threads import CreateThread, OnBusy, Thread
    from famulus_schemas.tools import CreateAttachedVectorStore

T_co = TypeVar("T_co", covariant=True)


class Port(Generic[T_co]):
    """A token that names a job and, by its type argument, the Protocol of whoever does it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Port({self.name!r})"


class RecordsPort(Port[RecordStore]):
    """The record store's token; `system` is its cross-project view, filled by the same plugin."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.system: Port[SystemRecords] = Port(f"{name}.system")


class Emission(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to listeners."""

    name: str
    data: bytes
    """JSON, or the literal `[DONE]`."""
    position: str = ""
    """Where a listener can pick up again after it; empty where it cannot."""
    after: str = ""
    """The position right before it: a listener at another one has missed something."""


class Listener(Protocol):
    """One reader of a topic."""

    def __aiter__(self) -> AsyncIterator[Sequence[Emission]]:
        """Emissions as they come, each item all that waited; ends when the topic is closed.

        Raises ListenerDropped once the listener fell too far behind, or may have missed
        something for another reason.
        """
        ...


class ListenerDropped(Exception):
    """The listener may have missed something: it can listen anew, and read it where it is kept."""


class EventsStopped(ListenerDropped):
    """Nobody is told anything in this process any more."""

    def __init__(self) -> None:
        super().__init__("the server is being stopped")


class Events(Protocol):
    """Fan-out of live events to any number of listeners; never waits for one of them.

    Listeners may be in other processes. What cannot be brought to them, or may have been lost on
    the way, drops them: what matters must be kept where they can read it.
    """

    def publish(self, project: str, topic: str, batch: Sequence[Emission]) -> None:
        """Hand a batch to whoever listens now. Never raises, never blocks."""
        ...

    def close(self, project: str, topic: str) -> None:
        """End the topic: its listeners stop once they have read what was published."""
        ...

    def drop(self, project: str, topic: str) -> None:
        """Drop the topic's listeners in this process: others may go on with it from now on."""
        ...

    def subscribe(
        self, project: str, topic: str, *, here: bool = False
    ) -> AbstractAsyncContextManager[Listener]:
        """Listen from now on: subscribe first, then read what was before.

        `here` says that this process publishes all of it, so that no other need be asked.
        Raises Problem (TOO_BUSY) where too many listen already.
        """
        ...


class Files(Protocol):
    """The files of a project, for those who read them, name them or make some.

    A file that is deleted, by a client or because it expires, is deleted in a unit that others
    join (`files.delete`): so what must follow from it is committed with it.
    """

    async def describe(self, project: str, file_id: str) -> File:
        """The file, without its content. Raises Problem (404) where it is not there."""
        ...

    async def require(self, project: str, named: Mapping[str, str]) -> None:
        """Make sure that files are there. `named` is the parameter of each, and its id.

        Raises Problem (400) naming the parameter of the first one that is not, or that is not of
        a purpose for what the parameter is: pictures are not shown out of files for batches.
        """
        ...

    async def open(
        self, project: str, file_id: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """The content from `start` up to `end`, which is not read any more.

        Raises Problem (404) where the file is not there. Reading raises BlobDamaged where the
        content is not what was given, if all of it is read.
        """
        ...

    async def create_output(
        self,
        project: str,
        *,
        filename: str,
        chunks: AsyncIterable[bytes],
        purpose: FilePurpose = "assistants_output",
        mime_type: str = "",
    ) -> tuple[File, Unit]:
        """Keep the content of a new file; the file, and the writes that make it.

        Where they are never committed, the content is removed again, some day. Raises Problem
        for a content over the limit, and what the chunks raise.
        """
        ...

    async def delete(self, principal: Principal, file_id: str) -> None:
        """Delete a file as a client does. Raises Problem (404) where it is not there."""
        ...


class Assistants(Protocol):
    """The assistants of a project, for those who run them."""

    async def get(self, project: str, assistant_id: str) -> FullAssistant:
        """The assistant, with what its answers leave out. Raises Problem (NOT_FOUND)."""
        ...


class Occupancy(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a thread, and who waits for it, as it was read."""

    thread: str
    run: str
    """The one active run."""
    waiting: tuple[str, ...] = ()
    """Those whose turn comes one after the other, the next one first."""
    version: int
    """Of the record that says so: one more with every change."""
    fence: int
    """The same as long as the thread is never free, and another one afterwards."""

    @property
    def runs(self) -> tuple[str, ...]:
        """The thread's runs that are not over, in the order in which they were created."""
        return (self.run, *self.waiting)


class Tenant(Protocol):
    """Whose runs have threads, and who is told when they have to go."""

    async def evict(self, project: str, thread_id: str) -> None:
        """Cancel the run that has the thread, and those that wait for it.

        Raises Problem (NOT_CANCELLED) where one does not end in time.
        """
        ...

    def orphaned(self, project: str, runs: Sequence[str]) -> None:
        """The thread of these runs is deleted, and they are with it: nobody need listen to them."""
        ...

    def picture_refusal(self, url: str) -> str | None:
        """Why no run could show a picture at this address on the web, if that is known by now."""
        ...


class Threads(Protocol):
    """Threads and their messages, for those who run assistants on them.

    What changes something returns writes, to be committed in the caller's unit together with
    what caused them.
    """

    async def get(self, project: str, thread_id: str) -> Thread:
        """The thread. Raises Problem (NOT_FOUND)."""
        ...

    async def create(
        self,
        project: str,
        request: CreateThread,
        *,
        within: str = "",
        resources_within: str | None = None,
        run: str = "",
        by: Principal | None = None,
    ) -> tuple[Thread, Unit]:
        """A new thread with its first messages, and the writes that make it.

        `run` is the run that is created with it, if one is.
        Raises Problem for what the thread cannot have; `within` is put before the name of the
        parameter at fault, as `thread.`; before one of its tool resources `resources_within`,
        where these were given elsewhere. Files that are to be searched in it are read `by` whoever
        asks for it, where that is known.
        """
        ...

    def append(
        self,
        thread_id: str,
        requests: Sequence[CreateMessage],
        *,
        named: str = "additional_messages",
        behind: Occupancy | None = None,
        run: str = "",
    ) -> tuple[Sequence[Message], Unit]:
        """New user or assistant messages at the end of a thread, and the writes that add them.

        `run` is the run that is created with them, if one is.
        `behind` says which runs they are meant to follow: those are never shown them. The unit
        is refused (Conflict, kind `thread`) where there is no such thread; an active run does
        not refuse it, nor does a change of the occupancy. Raises Problem for a message over the
        limits, naming the parameter under `named`.
        """
        ...

    async def attach(
        self,
        project: str,
        thread_id: str,
        requests: Sequence[CreateMessage],
        *,
        named: str = "additional_messages",
        by: Principal | None = None,
    ) -> Unit:
        """The writes that let files be searched in a thread that new messages attach for that.

        They come into the thread's vector store, or into a new one. The unit is refused
        (Conflict, as `famulus.resources.is_of_stores` tells) where the thread or the store was
        changed meanwhile: ask for the writes again. Nothing is to be written where there is no
        such thread, or nobody has vector stores. They are read `by` whoever attaches them.
        """
        ...

    def insert_message(self, message: Message) -> Unit:
        """The writes that add a message that a run is making.

        The unit is refused (Conflict, kind `thread`) once the thread is deleted.
        """
        ...

    async def replace_message(self, project: str, message: Message) -> Unit:
        """The writes that bring a stored message to this state, its metadata kept as stored.

        The unit is refused (Conflict, kind `message`, reason `version`) where the metadata was
        changed meanwhile: ask for the writes again. Raises Problem (NOT_FOUND) where a client
        has deleted the message.
        """
        ...

    async def written_with(self, project: str, thread_id: str, run_id: str) -> Unit:
        """The writes that delete the messages that a run wrote, and those created with it."""
        ...

    async def get_message(self, project: str, thread_id: str, message_id: str) -> Message:
        """One message. Raises Problem (NOT_FOUND)."""
        ...

    def history(self, project: str, thread_id: str, *, run_id: str = "") -> AsyncIterator[Message]:
        """The thread's messages, newest first, read page by page as they are asked for.

        They come in the order in which they are meant: one that was posted behind runs comes
        after what those runs wrote. With `run_id`, what that run wrote and what was posted
        behind it is left out. Ends where the thread is deleted meanwhile.
        """
        ...

    def occupy(self, thread_id: str, run_id: str) -> Unit:
        """The writes that make `run_id` the thread's one active run.

        The unit is refused (Conflict, kind `active_run`) where another run has it, and (kind
        `thread`) where there is no such thread.
        """
        ...

    def line_up(self, occupancy: Occupancy, run_id: str) -> Unit:
        """The writes that let `run_id` wait for the thread, behind all others.

        As every unit that is made for an occupancy, it is refused (Conflict, kind `active_run`)
        where that has changed since it was read.
        """
        ...

    def leave(self, occupancy: Occupancy, run_id: str) -> tuple[Unit, str | None]:
        """The writes by which `run_id` gives up the thread, or its place among those who wait.

        With them the run that has the thread from then on, where that is another one.
        """
        ...

    def unchanged(self, occupancy: Occupancy) -> Guard:
        """Refuses a unit where the occupancy has changed since it was read."""
        ...

    async def occupancy(self, project: str, thread_id: str) -> Occupancy | None:
        """Who has the thread and who waits for it, if anybody does."""
        ...

    def on_busy(self, headers: Mapping[str, str]) -> OnBusy:
        """What a request with these headers wants of a busy thread; else as it is configured.

        Raises Problem (INVALID) where they ask for something else.
        """
        ...

    def let_to(self, tenant: Tenant) -> AbstractContextManager[None]:
        """Have this tenant's runs be those that occupy threads, until the context is left."""
        ...


class Stores(Protocol):
    """The vector stores of a project, for those who make, fill or search them for others.

    What changes something returns writes, to be committed in the caller's unit together with
    what caused them; files are read and embedded after that, in the background. Such a unit may
    be refused (Conflict, of a kind that begins with `vector_store`) where others were faster: ask
    for the writes again.
    """

    async def require(self, project: str, named: Mapping[str, str]) -> None:
        """Make sure that stores are there. `named` is the parameter of each, and its id.

        Raises Problem (404) naming the parameter of the first one that is not.
        """
        ...

    async def create(
        self,
        project: str,
        request: CreateAttachedVectorStore,
        *,
        named: str = "",
        days: int | None = None,
        by: Principal | None = None,
    ) -> tuple[str, Unit]:
        """A new store with its files; its id, and the writes that make it.

        `named` is the parameter that asks for it, for the Problem (400) that is raised where it
        names files that are not there. With `days` it expires so long after it was last used. What
        is embedded for it is used `by` whoever asks for it, where that is known.
        """
        ...

    async def attach(
        self,
        project: str,
        store_id: str,
        file_ids: Sequence[str],
        *,
        named: Sequence[str],
        by: Principal | None = None,
    ) -> Unit:
        """The writes that add files to a store; those that it has already stay as they are.

        `named` is the parameter of each. Raises Problem: 404 where there is no such store, or it
        has expired, 400 where there is no such file. `by` is as of `create`.
        """
        ...

    async def ready(self, project: str, store_ids: Sequence[str], *, within_s: float) -> int:
        """Wait until the files of these stores are read, or the time is up; how many are not.

        Stores that are gone, or have expired, have no files.
        """
        ...

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int,
        ranking: Ranking,
        where: Predicate | None = None,
        by: Principal | None = None,
    ) -> Sequence[Passage]:
        """The passages that fit any of the queries best, of all of the stores, best first.

        Stores that are gone, or have expired, have nothing. Counts as a use of the stores.
        What is embedded for it is used `by` whoever searches, where that is known.
        """
        ...


class Containers(Protocol):
    """The containers of a project, for those who have code to run in them."""

    async def enter(self, project: str, container_id: str) -> Box:
        """The container's box, with all of its files; opened where there is none.

        Counts as a use of the container. Raises Problem (404) where it is not there or over,
        SandboxUnavailable, SandboxBusy and BoxGone. A box that is not the one of the last time
        (`id`) has no variables.
        """
        ...

    async def keep(
        self, project: str, container_id: str, changed: Sequence[BoxFile]
    ) -> Sequence[ContainerFile]:
        """Make what code wrote files of the container, in the place of those of the same paths.

        What cannot be taken out of the box, or is too large, is left out. Raises Problem where
        the container is over, or would have too much, and BoxGone.
        """
        ...


class Page(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """Part of a list, and whether there is more of it."""

    data: Sequence[T_co]
    has_more: bool


class Keys(Protocol):
    """Projects, and who may come in to them, for those who administer them.

    Who changes something says who that is, `by`: it is told to whoever joins the change. Admin keys
    are the keys of SYSTEM_PROJECT. What is revoked, archived or changed counts at once in this
    process, and within a second in all others. Everything that takes an id raises Problem (404)
    where the project has no such thing; lists raise Problem for an unknown cursor.
    """

    async def create_project(
        self, name: str, *, by: Principal, id: str | None = None
    ) -> StoredProject:
        """A new project; with `id` it is called so, or is the one that already is."""
        ...

    async def project(self, id: str) -> StoredProject:
        """One project, archived or not."""
        ...

    async def projects(
        self, *, after: str | None, limit: int, with_archived: bool
    ) -> Page[StoredProject]:
        """The projects, oldest first."""
        ...

    async def rename_project(self, id: str, name: str, *, by: Principal) -> StoredProject:
        """Call a project otherwise. Raises Problem where it is archived."""
        ...

    async def archive_project(self, id: str, *, by: Principal) -> StoredProject:
        """Let nobody in to a project any more, for good; what it has is kept.

        Raises Problem for the default project, whose keys are those of the configuration.
        """
        ...

    async def close_project(self, id: str, *, by: Principal) -> None:
        """Let nobody in to a project any more, forget its name, and revoke all of its keys.

        Of the default project, which is never shut for good, only the keys that were made go;
        nothing is raised where there is no such project.
        """
        ...

    async def create_key(
        self,
        project: str,
        *,
        by: Principal,
        name: str = "",
        expires_at: int | None = None,
        owner: str | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> tuple[StoredKey, str]:
        """A new key, and the text that is its only copy."""
        ...

    async def key(self, project: str, id: str) -> StoredKey:
        """One key."""
        ...

    async def keys(
        self, project: str, *, after: str | None, limit: int, order: Literal["asc", "desc"] = "asc"
    ) -> Page[StoredKey]:
        """The keys of a project."""
        ...

    async def change_key(
        self,
        project: str,
        id: str,
        *,
        by: Principal,
        scopes: tuple[str, ...] | None = None,
        expires_at: int | None = None,
    ) -> StoredKey:
        """Give a key other scopes or another end; what is None stays."""
        ...

    async def rotate_key(
        self, project: str, id: str, *, by: Principal, grace_s: int
    ) -> tuple[StoredKey, str]:
        """A new key that may do what the old one may, which ends `grace_s` later."""
        ...

    async def revoke_key(self, project: str, id: str, *, by: Principal) -> None:
        """Make a key invalid for good."""
        ...

    async def create_account(
        self, project: str, name: str, *, by: Principal, role: Role
    ) -> StoredAccount:
        """A new service account."""
        ...

    async def account(self, project: str, id: str) -> StoredAccount:
        """One service account."""
        ...

    async def accounts(self, project: str, *, after: str | None, limit: int) -> Page[StoredAccount]:
        """The service accounts of a project, oldest first."""
        ...

    async def change_account(
        self,
        project: str,
        id: str,
        *,
        by: Principal,
        name: str | None = None,
        role: Role | None = None,
    ) -> StoredAccount:
        """Call a service account otherwise, or let its keys do more or less; None stays."""
        ...

    async def delete_account(self, project: str, id: str, *, by: Principal) -> None:
        """End a service account, and all of its keys."""
        ...


RECORDS = RecordsPort("records")
BLOBS: Port[Blobs] = Port("blobs")
INFERENCE: Port[Inference] = Port("inference")
EVENTS: Port[Events] = Port("events")
LIMITS: Port[Limits] = Port("limits")
FETCH: Port[Fetch] = Port("fetch")
FILES: Port[Files] = Port("files")
ASSISTANTS: Port[Assistants] = Port("assistants")
THREADS: Port[Threads] = Port("threads")
JOBS: Port[Jobs] = Port("jobs")
EMBEDDER: Port[Embedder] = Port("embedder")
EXTRACTION: Port[Extraction] = Port("extraction")
VECTORS: Port[Vectors] = Port("vectors")
STORES: Port[Stores] = Port("stores")
SANDBOX: Port[Sandbox] = Port("sandbox")
CONTAINERS: Port[Containers] = Port("containers")
KEYS: Port[Keys] = Port("keys")
METER: Port[Meter] = Port("meter")

ALL_PORTS: tuple[Port[Any], ...] = (
    RECORDS,
    RECORDS.system,
    BLOBS,
    EVENTS,
    LIMITS,
    FETCH,
    JOBS,
    INFERENCE,
    FILES,
    ASSISTANTS,
    THREADS,
    EXTRACTION,
    EMBEDDER,
    VECTORS,
    STORES,
    SANDBOX,
    CONTAINERS,
    KEYS,
    METER,
)
"""Every port, in the order in which they build on each other."""
