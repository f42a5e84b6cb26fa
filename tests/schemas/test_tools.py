"""Tools, their resources, the choice among them, and truncation."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from famulus_schemas.tools import (
    AutoChunkingStrategy,
    ChunkingStrategy,
    CodeInterpreterResources,
    CodeInterpreterTool,
    CodeInterpreterToolChoice,
    CreateFileSearchResources,
    CreateToolResources,
    FileSearchOptions,
    FileSearchRankingOptions,
    FileSearchResources,
    FileSearchTool,
    FileSearchToolChoice,
    FunctionDefinition,
    FunctionName,
    FunctionTool,
    FunctionToolChoice,
    StaticChunking,
    StaticChunkingStrategy,
    Tool,
    ToolChoice,
    ToolResources,
    Tools,
    TruncationStrategy,
    check_chunking,
    check_file_search,
    check_tool_resources,
    check_truncation,
)

CODE = {"type": "code_interpreter"}


def test_the_tag_chooses_the_tool(accepts: Any) -> None:
    assert accepts(Tool, CODE) == CodeInterpreterTool()
    assert accepts(Tool, {"type": "file_search"}) == FileSearchTool(file_search=UNSET)
    function = {"name": "add", "parameters": {"type": "object"}, "strict": None}
    assert accepts(Tool, {"type": "function", "function": function}) == FunctionTool(
        function=FunctionDefinition(name="add", parameters={"type": "object"}, strict=None)
    )


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"type": "retrieval"}, "$.type"),
        ({}, "type"),
        ({"type": "function"}, "function"),
        ({"type": "function", "function": {}}, "$.function"),
        ({"type": "function", "function": {"name": "a b"}}, "$.function.name"),
        ({"type": "function", "function": {"name": "a", "parameters": []}}, "$.function.param"),
        ({"type": "function", "function": {"name": "a", "description": None}}, "$.function.desc"),
        ({"type": "function", "function": {"name": "a", "url": "x"}}, "url"),
        ({**CODE, "file_ids": []}, "file_ids"),
        ({"type": "file_search", "file_search": None}, "$.file_search"),
        ({"type": "file_search", "file_search": {"limit": 5}}, "limit"),
    ],
)
def test_a_wrong_tool_is_refused_where_it_is_wrong(refuses: Any, body: object, at: str) -> None:
    refuses(Tool, body, at)


def test_there_are_at_most_128_tools(accepts: Any, refuses: Any) -> None:
    assert len(accepts(Tools, [CODE] * 128)) == 128
    refuses(Tools, [CODE] * 129)


def test_a_search_returns_1_to_50_results(accepts: Any, refuses: Any) -> None:
    for fine in (1, 50):
        accepts(FileSearchOptions, {"max_num_results": fine})
    for bad in (0, 51):
        refuses(FileSearchOptions, {"max_num_results": bad}, "$.max_num_results")


def test_ranking_needs_a_threshold_from_0_to_1(accepts: Any, refuses: Any) -> None:
    for fine in (0, 0.5, 1):
        options = accepts(FileSearchRankingOptions, {"score_threshold": fine})
        assert options.ranker == "auto"
    accepts(FileSearchRankingOptions, {"score_threshold": 0, "ranker": "default_2024_08_21"})
    refuses(FileSearchRankingOptions, {}, "score_threshold")
    for bad in (-0.1, 1.1):
        refuses(FileSearchRankingOptions, {"score_threshold": bad}, "$.score_threshold")
    refuses(FileSearchRankingOptions, {"score_threshold": 0, "ranker": "best"}, "$.ranker")


def test_code_may_read_20_files(accepts: Any, refuses: Any) -> None:
    accepts(CodeInterpreterResources, {"file_ids": ["f"] * 20})
    refuses(CodeInterpreterResources, {"file_ids": ["f"] * 21}, "$.file_ids")
    assert accepts(CodeInterpreterResources, {}).file_ids == []


def test_search_looks_in_one_store(accepts: Any, refuses: Any) -> None:
    for kind in (FileSearchResources, CreateFileSearchResources):
        accepts(kind, {"vector_store_ids": ["vs_1"]})
        refuses(kind, {"vector_store_ids": ["vs_1", "vs_2"]}, "$.vector_store_ids")
    accepts(CreateFileSearchResources, {"vector_stores": [{}]})
    refuses(CreateFileSearchResources, {"vector_stores": [{}, {}]}, "$.vector_stores")


def test_only_creation_may_make_a_store(refuses: Any) -> None:
    refuses(ToolResources, {"file_search": {"vector_stores": [{}]}}, "vector_stores")


def test_the_metadata_of_a_new_store_is_limited(accepts: Any, refuses: Any) -> None:
    store = {"file_ids": ["f"], "metadata": {"k" * 64: "v"}}
    accepts(CreateFileSearchResources, {"vector_stores": [store]})
    refuses(CreateFileSearchResources, {"vector_stores": [{"metadata": {"k" * 65: "v"}}]})


def test_absent_resources_are_not_empty_resources(accepts: Any) -> None:
    assert accepts(ToolResources, {}).file_search is UNSET
    assert accepts(ToolResources, {"file_search": {}}).file_search == FileSearchResources()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"vector_store_ids": []}, None),
        ({"vector_store_ids": ["vs_1"]}, None),
        ({"vector_stores": []}, None),
        ({"vector_stores": [{}]}, None),
        ({"vector_stores": [{"chunking_strategy": {"type": "auto"}}]}, None),
        ({}, ""),
        ({"vector_store_ids": [], "vector_stores": []}, "vector_stores"),
    ],
)
def test_search_takes_ids_or_a_new_store(accepts: Any, body: object, fault: str | None) -> None:
    resources = accepts(CreateFileSearchResources, body)
    assert check_file_search(resources) == fault
    expected = None if fault is None else f"tool_resources.file_search.{fault}".rstrip(".")
    assert check_tool_resources(CreateToolResources(file_search=resources)) == expected


def test_no_resources_are_no_fault() -> None:
    assert check_tool_resources(None) is None
    assert check_tool_resources(CreateToolResources()) is None


def chunks(size: int, overlap: int) -> dict[str, object]:
    sizes = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": overlap}
    return {"type": "static", "static": sizes}


def test_a_chunk_has_100_to_4096_tokens(accepts: Any, refuses: Any) -> None:
    assert accepts(ChunkingStrategy, {"type": "auto"}) == AutoChunkingStrategy()
    for fine in (100, 4096):
        assert accepts(ChunkingStrategy, chunks(fine, 0)) == StaticChunkingStrategy(
            static=StaticChunking(max_chunk_size_tokens=fine, chunk_overlap_tokens=0)
        )
    for bad in (99, 4097):
        refuses(ChunkingStrategy, chunks(bad, 0), "$.static.max_chunk_size_tokens")
    refuses(ChunkingStrategy, chunks(100, -1), "$.static.chunk_overlap_tokens")
    refuses(ChunkingStrategy, {"type": "static"}, "static")
    refuses(ChunkingStrategy, {"type": "auto", "static": {}}, "static")


def test_chunks_share_at_most_half(accepts: Any) -> None:
    assert check_chunking(AutoChunkingStrategy()) is None
    assert check_chunking(accepts(ChunkingStrategy, chunks(101, 50))) is None
    assert (
        check_chunking(accepts(ChunkingStrategy, chunks(101, 51))) == "static.chunk_overlap_tokens"
    )
    resources = accepts(
        CreateToolResources,
        {"file_search": {"vector_stores": [{"chunking_strategy": chunks(100, 51)}]}},
    )
    assert check_tool_resources(resources) == (
        "tool_resources.file_search.vector_stores[0].chunking_strategy.static.chunk_overlap_tokens"
    )


def test_the_choice_is_a_word_or_a_named_tool(accepts: Any, refuses: Any) -> None:
    for word in ("none", "auto", "required"):
        assert accepts(ToolChoice, word) == word
    assert accepts(ToolChoice, CODE) == CodeInterpreterToolChoice()
    assert accepts(ToolChoice, {"type": "file_search"}) == FileSearchToolChoice()
    assert accepts(
        ToolChoice, {"type": "function", "function": {"name": "add"}}
    ) == FunctionToolChoice(function=FunctionName(name="add"))
    for bad in ("any", {}, {"type": "function"}, {"type": "auto"}, {**CODE, "function": {}}):
        refuses(ToolChoice, bad)


def test_truncation_keeps_at_least_one_message(accepts: Any, refuses: Any) -> None:
    assert accepts(TruncationStrategy, {"type": "auto"}) == TruncationStrategy(type="auto")
    for body in ({"type": "last_messages", "last_messages": 0}, {"type": "first"}, {"x": 1}):
        refuses(TruncationStrategy, body)


def test_last_messages_says_how_many(accepts: Any) -> None:
    assert check_truncation(None) is None
    assert check_truncation(TruncationStrategy(type="auto")) is None
    counted = accepts(TruncationStrategy, {"type": "last_messages", "last_messages": 1})
    assert check_truncation(counted) is None
    uncounted = accepts(TruncationStrategy, {"type": "last_messages"})
    assert check_truncation(uncounted) == "truncation_strategy.last_messages"
