"""What a search does with the many chunks that it looks at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plugins.vector_stores.conftest import Api

from famulus_schemas.retrieval import Hit, Predicate, Ranking, VectorSource
from famulus_vector_stores.kinds import decode_file_extra
from famulus_vector_stores.plugin import VectorStoresPlugin
from famulus_vector_stores.scoring import WORDS_MAX, share, words_of
from famulus_vector_stores.search import CANDIDATES_AT_ONCE, Search

SMALL = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
CHUNKS = 192


class AtOnce:
    """VECTORS that finds the first chunks of a document, without leaving the event loop."""

    def __init__(self, document: str) -> None:
        self._document = document
        self.turns = 0
        """What others had of the loop since something was found."""

    def use(self, source: VectorSource) -> None:
        """As Vectors.use."""

    async def changed(self, project: str, store: str) -> None:
        """As Vectors.changed."""

    async def nearest(
        self, project: str, store: str, vector: bytes, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """As Vectors.nearest."""
        self.turns = 0
        numbers = range(min(limit, CHUNKS))
        return [Hit(document=self._document, number=at, score=0.5) for at in numbers]

    async def matching(
        self, project: str, store: str, text: str, *, where: Predicate | None, limit: int
    ) -> Sequence[Hit]:
        """As Vectors.matching."""
        return []


@pytest.mark.anyio
async def test_others_have_their_turn_while_a_search_reads_what_it_found(api: Api) -> None:
    store = (await api.post("/vector_stores"))["id"]
    file = await api.file(" ".join(f"word{at}" for at in range(CHUNKS * 100)))
    await api.post(f"/vector_stores/{store}/files", {"file_id": file, "chunking_strategy": SMALL})
    await api.settled(store)
    plugin: VectorStoresPlugin = api.server.plugin("vector_stores")
    record = await plugin.records.of("default").get("vector_store_file", f"{store}/{file}")
    assert record is not None
    vectors = AtOnce(decode_file_extra(record.extra).document)
    search = Search(
        records=plugin.records,
        chunks=plugin.chunks,
        embedder=plugin.embedder,
        vectors=vectors,
        now=plugin.now,
    )
    stores = await search.alive("default", [store])

    async def others() -> None:
        while True:
            vectors.turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    try:
        found = await search.passages("default", stores, ["word1"], limit=50, ranking=Ranking())
    finally:
        other.cancel()
    assert len(found) == 50
    assert vectors.turns >= CHUNKS // CANDIDATES_AT_ONCE


TEXTS = st.text(st.sampled_from("ab_ß İ1é-"), max_size=30)


@given(TEXTS, TEXTS)
def test_a_word_is_in_a_text_only_where_it_stands_alone(query: str, text: str) -> None:
    words = words_of(query)
    there = frozenset(re.findall(r"\w+", text.casefold()))
    assert share(words, text) == (len(words & there) / len(words) if words else 0)


def test_of_a_long_query_the_first_words_count() -> None:
    words = [f"word{at}" for at in range(WORDS_MAX + 10)]
    assert words_of(" ".join(words)) == frozenset(words[:WORDS_MAX])
