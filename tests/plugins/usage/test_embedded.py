"""What is embedded for vector stores is its project's, too, and held to its budget."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from tests.plugins.usage.house import House, opened

pytestmark = pytest.mark.anyio

STORES = ("local_blobs", "files", "extraction", "builtin", "embeddings", "exact_vectors")
MODEL = "famulus-lexical-1"
TEXT = b"The quick brown fox jumps over the lazy dog. " * 200


async def filled(house: House, client: openai.AsyncOpenAI) -> tuple[str, Any]:
    """A store, and how the one file in it ended."""
    file = await client.files.create(file=("fox.txt", TEXT), purpose="assistants")
    store = await client.vector_stores.create()
    ended = await client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, poll_interval_ms=20
    )
    return store.id, ended


async def embedded(house: House) -> list[Any]:
    await house.settle()
    [bucket] = (
        await house.usage.embeddings(
            start_time=int(house.clock()), group_by=["project_id", "api_key_id", "model"]
        )
    ).data
    return list(bucket.results)


async def test_files_and_searches_are_counted_for_their_project() -> None:
    async with opened(None, *STORES, "vector_stores") as house:
        project, key, client = await house.key()
        store, ended = await filled(house, client)
        assert ended.status == "completed"
        [of_file] = await embedded(house)
        assert (of_file.project_id, of_file.model) == (project, MODEL)
        assert of_file.input_tokens > len(TEXT.split())
        await client.vector_stores.search(store, query="a fox that jumps")
        rows = {row.api_key_id: row for row in await embedded(house)}
        assert (rows[key].input_tokens, rows[key].num_model_requests) == (4, 1)
        [bucket] = (
            await house.usage.file_search_calls(
                start_time=int(house.clock()), group_by=["api_key_id"]
            )
        ).data
        assert [(row.api_key_id, row.num_requests) for row in bucket.results] == [(key, 1)]


async def test_a_project_over_its_budget_has_nothing_more_embedded() -> None:
    usage = {"prices": {MODEL: {"input": 1_000_000}}, "budgets": {"project": 1.0}}
    async with opened(None, *STORES, "vector_stores", usage=usage) as house:
        store, first = await filled(house, house.client)
        _, second = await filled(house, house.client)
        assert (first.status, second.status) == ("completed", "failed")
        assert "of its budget of 1 USD" in second.last_error.message
        with pytest.raises(openai.RateLimitError, match="budget"):
            await house.client.vector_stores.search(store, query="fox")
        [row] = await house.spent(group_by=["line_item"])
        assert row.line_item == MODEL
