"""Operations of vector stores: create, list, retrieve, modify, delete and search."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from famulus import Call, ListQuery, Problem, Wire, list_page, operation
from famulus.failpoints import failpoint
from famulus_schemas.errors import STRING_TOO_LONG, TOO_BUSY
from famulus_schemas.lists import ListPage
from famulus_schemas.records import Conflict, Record, Unit
from famulus_schemas.retrieval import Ranking
from famulus_schemas.vector_stores import (
    CreateVectorStore,
    FoundText,
    ModifyVectorStore,
    SearchResult,
    SearchResultsPage,
    SearchVectorStore,
    VectorStore,
    VectorStoreDeleted,
)
from famulus_vector_stores.attaching import hold_chunking, hold_count, wanted_ids
from famulus_vector_stores.faults import EXPIRED
from famulus_vector_stores.kinds import decode_store, encode
from famulus_vector_stores.ledger import Ledger, is_over
from famulus_vector_stores.rewriting import rewritten

if TYPE_CHECKING:
    from famulus_vector_stores.plugin import VectorStoresPlugin

COMMIT_ATTEMPTS_MAX = 16
"""A new store's files come into other stores only so often meanwhile, and one that is deleted is
changed only so often."""
_MAY_EXPIRE = b'"expires_at":null'


class StoreOperations:
    """What clients may do with vector stores."""

    def __init__(self, plugin: VectorStoresPlugin) -> None:
        self._plugin = plugin

    @operation("POST", "/v1/vector_stores", action="vector_stores.write")
    async def create_vector_store(self, call: Call, body: CreateVectorStore) -> Wire[VectorStore]:
        """Create a vector store, with the files that it begins with."""
        plugin = self._plugin
        hold_count(body.file_ids, plugin.settings.files_per_create_max, name="file_ids")
        hold_chunking(body.chunking_strategy)
        files = wanted_ids(body.file_ids, body.chunking_strategy)
        plugin.tell_when_to_poll(call)
        for _ in range(COMMIT_ATTEMPTS_MAX):
            made = await plugin.maker.store(
                call.project,
                files,
                name=body.name or "",
                description=body.description or "",
                expires_after=body.expires_after,
                metadata=body.metadata,
                by=call.principal,
            )
            joined = await plugin.joined(call.principal, "vector_stores.create", made.unit)
            failpoint("store_create_before_commit")
            try:
                await plugin.records.of(call.project).commit(joined)
            except Conflict as conflict:
                if conflict.kind != "vector_store_membership":
                    raise
                # The file came into another store, or was deleted: it is looked at again.
                continue
            failpoint("store_created")
            plugin.start(made.tickets)
            return Wire(encode(made.store))
        raise Problem(TOO_BUSY, reason="the files are being added to many stores. Try again.")

    @operation("GET", "/v1/vector_stores", action="vector_stores.read")
    async def list_vector_stores(self, call: Call, query: ListQuery) -> Wire[ListPage[VectorStore]]:
        """List the vector stores."""
        records = self._plugin.records.of(call.project)
        return await list_page(records, "vector_store", query=query, body_of=self._as_it_is)

    @operation("GET", "/v1/vector_stores/{vector_store_id}", action="vector_stores.read")
    async def retrieve_vector_store(self, call: Call, vector_store_id: str) -> Wire[VectorStore]:
        """Retrieve a vector store."""
        self._plugin.tell_when_to_poll(call)
        return Wire(self._as_it_is(await self._plugin.found(call.project, vector_store_id)))

    @operation("POST", "/v1/vector_stores/{vector_store_id}", action="vector_stores.write")
    async def modify_vector_store(
        self, call: Call, vector_store_id: str, body: ModifyVectorStore
    ) -> Wire[VectorStore]:
        """Change a vector store: what is absent stays, what is null is cleared."""
        plugin = self._plugin

        async def plan(ledger: Ledger) -> Unit | None:
            ledger.store = changed(ledger.store, body)
            return None if body == ModifyVectorStore() else []

        ledger = await plugin.shelf.change(
            call.project,
            vector_store_id,
            plan,
            join=partial(plugin.joined, call.principal, "vector_stores.modify"),
        )
        if ledger is None:
            return Wire(self._as_it_is(await plugin.found(call.project, vector_store_id)))
        return Wire(self._shown(ledger.written))

    @operation("DELETE", "/v1/vector_stores/{vector_store_id}", action="vector_stores.write")
    async def delete_vector_store(self, call: Call, vector_store_id: str) -> VectorStoreDeleted:
        """Delete a vector store; its files themselves stay."""
        await self._plugin.data.delete(call.principal, vector_store_id)
        return VectorStoreDeleted(id=vector_store_id)

    @operation("POST", "/v1/vector_stores/{vector_store_id}/search", action="vector_stores.read")
    async def search_vector_store(
        self, call: Call, vector_store_id: str, body: SearchVectorStore
    ) -> SearchResultsPage:
        """Search a vector store, by meaning and by words."""
        plugin = self._plugin
        record = await plugin.found(call.project, vector_store_id)
        if is_over(decode_store(record.body), plugin.now()):
            raise Problem(EXPIRED, id=vector_store_id)
        queries = self._queries(body)
        where = None if body.filters is UNSET else plugin.filters.predicate(body.filters)
        options = body.ranking_options
        ranking = (
            Ranking()
            if options is UNSET
            else Ranking(ranker=options.ranker, score_threshold=options.score_threshold)
        )
        await plugin.account.refuse(call.project, call.principal.key_id or "")
        passages = await plugin.service.search(
            call.project,
            [vector_store_id],
            queries,
            limit=body.max_num_results,
            ranking=ranking,
            where=where,
            by=call.principal,
        )
        plugin.account.asked(call.principal)
        results = [
            SearchResult(
                file_id=each.file_id,
                filename=each.filename,
                score=each.score,
                attributes=dict(each.attributes),
                content=[FoundText(text=each.text)],
            )
            for each in passages
        ]
        return SearchResultsPage(search_query=queries, data=results)

    def _queries(self, body: SearchVectorStore) -> list[str]:
        """The queries as they are searched for. Raises Problem for too many, or a long one."""
        settings = self._plugin.settings
        is_one = isinstance(body.query, str)
        queries = [body.query] if isinstance(body.query, str) else body.query
        hold_count(queries, settings.queries_max, name="query")
        limit = settings.query_characters_max
        for index, query in enumerate(queries):
            if len(query) > limit:
                name = "query" if is_one else f"query[{index}]"
                raise Problem(STRING_TOO_LONG, param=name, name=name, limit=limit, got=len(query))
        return [rewritten(query) for query in queries] if body.rewrite_query else list(queries)

    def _as_it_is(self, record: Record) -> bytes:
        """A store's body, with what time has made of it."""
        # Most never expire, and are sent as they are stored.
        if _MAY_EXPIRE in record.body:
            return record.body
        return self._shown(decode_store(record.body))

    def _shown(self, store: VectorStore) -> bytes:
        over = is_over(store, self._plugin.now())
        return encode(replace(store, status="expired") if over else store)


def changed(store: VectorStore, body: ModifyVectorStore) -> VectorStore:
    """A store as a client wants it."""
    if body.name is not UNSET:
        store = replace(store, name=body.name or "")
    if body.metadata is not UNSET:
        store = replace(store, metadata=body.metadata or {})
    if body.expires_after is not UNSET:
        after = UNSET if body.expires_after is None else body.expires_after
        store = replace(store, expires_after=after)
    return store
