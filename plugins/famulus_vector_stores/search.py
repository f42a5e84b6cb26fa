"""Hybrid search: by meaning and by words at once, over several stores and queries."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from famulus_schemas.errors import Problem
from famulus_schemas.inference import BackendFault
from famulus_schemas.records import RecordStore
from famulus_schemas.retrieval import (
    Attributes,
    Embedder,
    Hit,
    Passage,
    Predicate,
    Ranking,
    Vectors,
)
from famulus_vector_stores.chunks import CHUNKS_PER_BUNDLE, Chunks, StoredChunk
from famulus_vector_stores.faults import NOT_SERVED
from famulus_vector_stores.kinds import (
    decode_file,
    decode_file_extra,
    decode_store,
    decode_store_extra,
    file_key,
)
from famulus_vector_stores.ledger import is_over
from famulus_vector_stores.scoring import cosine, rank, relevance, score, share, words_of

CANDIDATES_MIN = 50
CANDIDATES_PER_RESULT = 4
"""So many more than are asked for are looked at in each list: the fused order is another one."""
CANDIDATES_AT_ONCE = 8
"""So many are read and judged before others have the loop: rows come without leaving it."""
MEANING_ONLY = "none"
"""The ranker that fuses nothing: the score is the cosine."""

Place = tuple[str, int]
"""Document and number of a chunk."""
_Origin = tuple[str, Attributes]
"""Name and attributes of a file."""


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """A store that can be searched."""

    id: str
    model: str


class _Query(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    vector: bytes
    words: frozenset[str]


class Search:
    """Searches stores."""

    def __init__(
        self,
        *,
        records: RecordStore,
        chunks: Chunks,
        embedder: Embedder,
        vectors: Vectors,
        now: Callable[[], int],
    ) -> None:
        self._records = records
        self._chunks = chunks
        self._embedder = embedder
        self._vectors = vectors
        self._now = now

    async def alive(self, project: str, store_ids: Sequence[str]) -> list[Searched]:
        """Those of the stores that are there, have not expired, and have something in them."""
        found = []
        for id in dict.fromkeys(store_ids):
            record = await self._records.of(project).get("vector_store", id)
            if record is None or is_over(decode_store(record.body), self._now()):
                continue
            extra = decode_store_extra(record.extra)
            if extra.dimensions:
                found.append(Searched(id=id, model=extra.model))
        return found

    async def passages(
        self,
        project: str,
        stores: Sequence[Searched],
        queries: Sequence[str],
        *,
        limit: int,
        ranking: Ranking,
        where: Predicate | None = None,
    ) -> Sequence[Passage]:
        """What fits any of the queries best, of all of the stores, best first.

        Raises Problem where a store's embedding model cannot be used.
        """
        texts = [text for text in dict.fromkeys(queries) if text.strip()]
        if not texts:
            return []
        best: dict[tuple[str, str], Passage] = {}
        asked: dict[str, Sequence[_Query]] = {}
        for store in stores:
            if store.model not in asked:
                asked[store.model] = await self._asked(store, texts)
            reader = _Reader(self._records, self._chunks, project, store.id)
            for query in asked[store.model]:
                async for passage in self._fitting(
                    reader, query, limit=limit, ranking=ranking, where=where
                ):
                    # The same words of the same file, be they found twice or in two stores.
                    key = (passage.file_id, passage.text)
                    if key not in best or best[key].score < passage.score:
                        best[key] = passage
        found = [each for each in best.values() if each.score >= ranking.score_threshold]
        found.sort(key=lambda each: (-each.score, each.store, each.file_id, each.number))
        return found[:limit]

    async def _asked(self, store: Searched, texts: Sequence[str]) -> Sequence[_Query]:
        try:
            vectors = await self._embedder.embed(texts, model=store.model, role="query")
        except (Problem, BackendFault) as error:
            reason = error.body.message if isinstance(error, Problem) else error.message
            raise Problem(NOT_SERVED, id=store.id, model=store.model, reason=reason) from error
        return [
            _Query(text=text, vector=vector, words=words_of(text))
            for text, vector in zip(texts, vectors, strict=True)
        ]

    async def _fitting(
        self,
        reader: _Reader,
        query: _Query,
        *,
        limit: int,
        ranking: Ranking,
        where: Predicate | None,
    ) -> AsyncIterator[Passage]:
        """The passages of one store that fit one query, more than are asked for."""
        candidates = max(CANDIDATES_MIN, CANDIDATES_PER_RESULT * limit)
        near = await self._vectors.nearest(
            reader.project, reader.store_id, query.vector, where=where, limit=candidates
        )
        lists: list[Sequence[Hit]] = [near]
        if ranking.ranker != MEANING_ONLY:
            lists.append(
                await self._vectors.matching(
                    reader.project, reader.store_id, query.text, where=where, limit=candidates
                )
            )
        places: dict[Place, list[int]] = {}
        for hits in lists:
            for place, hit in enumerate(hits, 1):
                places.setdefault((hit.document, hit.number), []).append(place)
        fused = {key: rank(value, len(lists)) for key, value in places.items()}
        known = {(hit.document, hit.number): hit.score for hit in near}
        pool = sorted(fused, key=lambda key: (-fused[key], key))[:candidates]
        await reader.read(pool)
        for at, key in enumerate(pool):
            if at % CANDIDATES_AT_ONCE == 0:
                await asyncio.sleep(0)
            passage = await reader.passage(key)
            if passage is None:
                continue
            worth = known.get(key)
            if worth is None:
                worth = cosine(query.vector, reader.vector(key))
            if ranking.ranker == MEANING_ONLY:
                worth = min(1.0, max(0.0, worth))
            else:
                shared = share(query.words, passage.text)
                worth = score(relevance(worth, shared), fused[key])
            yield msgspec.structs.replace(passage, score=worth)


class _Reader:
    """Reads what was found in a store, each chunk and each file once for all queries."""

    def __init__(self, records: RecordStore, chunks: Chunks, project: str, store_id: str) -> None:
        self.project = project
        self.store_id = store_id
        self._records = records.of(project)
        self._of_store = chunks
        self._chunks: dict[Place, tuple[str, StoredChunk] | None] = {}
        """What was read, with the file that it is of. Not whole bundles, which are far more."""
        self._files: dict[str, _Origin | None] = {}

    async def read(self, places: Sequence[Place]) -> None:
        """Read chunks that are not read yet, each bundle once."""
        wanted: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for document, number in places:
            if (document, number) not in self._chunks:
                wanted[document, number // CHUNKS_PER_BUNDLE].append(number)
        for at, ((document, _), numbers) in enumerate(wanted.items()):
            if at % CANDIDATES_AT_ONCE == 0:
                await asyncio.sleep(0)
            bundle = await self._of_store.bundle(self.project, document, numbers[0])
            for number in numbers:
                found = None
                if bundle is not None and 0 <= number - bundle.first < len(bundle.chunks):
                    found = bundle.file_id, bundle.chunks[number - bundle.first]
                self._chunks[document, number] = found

    async def passage(self, place: Place) -> Passage | None:
        """A chunk that was read, with where it comes from; None where it is gone."""
        document, number = place
        found = self._chunks[place]
        if found is None:
            return None
        file_id, chunk = found
        file = await self._file(document, file_id)
        if file is None:
            return None
        filename, attributes = file
        return Passage(
            store=self.store_id,
            file_id=file_id,
            filename=filename,
            attributes=attributes,
            number=number,
            text=chunk.text,
            score=0.0,
            start=chunk.start,
            end=chunk.end,
            page=chunk.page,
            heading=chunk.heading,
        )

    def vector(self, place: Place) -> bytes:
        """The vector of a chunk that is there."""
        found = self._chunks[place]
        assert found is not None
        return found[1].vector

    async def _file(self, document: str, file_id: str) -> _Origin | None:
        if document not in self._files:
            record = await self._records.get("vector_store_file", file_key(self.store_id, file_id))
            found = None
            if record is not None:
                file, extra = decode_file(record.body), decode_file_extra(record.extra)
                if extra.document == document and file.status == "completed":
                    found = (extra.filename, dict(file.attributes or {}))
            self._files[document] = found
        return self._files[document]
