"""Hybrid search: by meaning and by words at once, over several stores and queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from famulus_vector_stores.chunks import CHUNKS_PER_BUNDLE, Bundle, Chunks
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
            for query in asked[store.model]:
                for passage in await self._fitting(
                    project, store, query, limit=limit, ranking=ranking, where=where
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
        project: str,
        store: Searched,
        query: _Query,
        *,
        limit: int,
        ranking: Ranking,
        where: Predicate | None,
    ) -> list[Passage]:
        """The passages of one store that fit one query, more than are asked for."""
        candidates = max(CANDIDATES_MIN, CANDIDATES_PER_RESULT * limit)
        near = await self._vectors.nearest(
            project, store.id, query.vector, where=where, limit=candidates
        )
        lists: list[Sequence[Hit]] = [near]
        if ranking.ranker != MEANING_ONLY:
            lists.append(
                await self._vectors.matching(
                    project, store.id, query.text, where=where, limit=candidates
                )
            )
        places: dict[Place, list[int]] = {}
        for hits in lists:
            for place, hit in enumerate(hits, 1):
                places.setdefault((hit.document, hit.number), []).append(place)
        fused = {key: rank(value, len(lists)) for key, value in places.items()}
        known = {(hit.document, hit.number): hit.score for hit in near}
        pool = sorted(fused, key=lambda key: (-fused[key], key))[:candidates]
        reader = _Reader(self._records, self._chunks, project, store.id)
        found = []
        for key in pool:
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
            found.append(msgspec.structs.replace(passage, score=worth))
        return found


class _Reader:
    """Reads what was found, each bundle and each file once."""

    def __init__(self, records: RecordStore, chunks: Chunks, project: str, store_id: str) -> None:
        self._records = records.of(project)
        self._chunks = chunks
        self._project = project
        self._store_id = store_id
        self._bundles: dict[tuple[str, int], Bundle | None] = {}
        self._files: dict[str, _Origin | None] = {}

    async def passage(self, place: Place) -> Passage | None:
        """A chunk with where it comes from; None where it is gone."""
        document, number = place
        bundle = await self._bundle(place)
        if bundle is None or not 0 <= number - bundle.first < len(bundle.chunks):
            return None
        file = await self._file(document, bundle.file_id)
        if file is None:
            return None
        filename, attributes = file
        chunk = bundle.chunks[number - bundle.first]
        return Passage(
            store=self._store_id,
            file_id=bundle.file_id,
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
        """The vector of a chunk that `passage` was asked for."""
        bundle = self._bundles[place[0], place[1] // CHUNKS_PER_BUNDLE]
        assert bundle is not None
        return bundle.chunks[place[1] - bundle.first].vector

    async def _bundle(self, place: Place) -> Bundle | None:
        key = (place[0], place[1] // CHUNKS_PER_BUNDLE)
        if key not in self._bundles:
            self._bundles[key] = await self._chunks.bundle(self._project, *place)
        return self._bundles[key]

    async def _file(self, document: str, file_id: str) -> _Origin | None:
        if document not in self._files:
            record = await self._records.get("vector_store_file", file_key(self._store_id, file_id))
            found = None
            if record is not None:
                file, extra = decode_file(record.body), decode_file_extra(record.extra)
                if extra.document == document and file.status == "completed":
                    found = (extra.filename, dict(file.attributes or {}))
            self._files[document] = found
        return self._files[document]
