"""What an assistant may use: its tools, their resources, and how a run chooses among them.

These structs travel both ways: what a client sends is what it reads back.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.wire import Identifier, JsonObject, Metadata, Request

# -- tools ---------------------------------------------------------------------------------


class CodeInterpreterTool(
    Request, frozen=True, kw_only=True, tag_field="type", tag="code_interpreter"
):
    """The assistant may write Python and have it run."""


Ranker: TypeAlias = Literal["auto", "default_2024_08_21"]
ScoreThreshold: TypeAlias = Annotated[
    float, Meta(ge=0, le=1, description="Leave out what scores below this.")
]


class FileSearchRankingOptions(Request, frozen=True, kw_only=True):
    """How found passages are scored, and the score below which they are dropped."""

    score_threshold: ScoreThreshold
    ranker: Ranker = "auto"


class FileSearchOptions(Request, frozen=True, kw_only=True):
    """Settings of one assistant's file search."""

    max_num_results: Annotated[int, Meta(ge=1, le=50)] | UnsetType = UNSET
    ranking_options: FileSearchRankingOptions | UnsetType = UNSET


class FileSearchTool(Request, frozen=True, kw_only=True, tag_field="type", tag="file_search"):
    """The assistant may search the attached vector stores."""

    file_search: FileSearchOptions | UnsetType = UNSET


class FunctionDefinition(Request, frozen=True, kw_only=True):
    """A function of the caller's own, as the model is told of it."""

    name: Identifier
    description: str | UnsetType = UNSET
    parameters: JsonObject | UnsetType = UNSET
    strict: (
        Annotated[bool, Meta(description="Hold the arguments to the schema.")] | UnsetType | None
    ) = UNSET


class FunctionTool(Request, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """The assistant may ask the caller to run a function."""

    function: FunctionDefinition


Tool: TypeAlias = CodeInterpreterTool | FileSearchTool | FunctionTool
Tools: TypeAlias = Annotated[list[Tool], Meta(max_length=128)]

# -- resources -----------------------------------------------------------------------------


class CodeInterpreterResources(Request, frozen=True, kw_only=True):
    """The files that the code may read."""

    file_ids: Annotated[list[str], Meta(max_length=20)] = []


class FileSearchResources(Request, frozen=True, kw_only=True):
    """The vector stores that file search looks in."""

    vector_store_ids: Annotated[list[str], Meta(max_length=1)] = []


class ToolResources(Request, frozen=True, kw_only=True):
    """Resources by id, as kept, answered and modified."""

    code_interpreter: CodeInterpreterResources | UnsetType = UNSET
    file_search: FileSearchResources | UnsetType = UNSET


class AutoChunkingStrategy(Request, frozen=True, kw_only=True, tag_field="type", tag="auto"):
    """Let the server choose: 800 tokens a chunk, 400 of them shared."""


class StaticChunking(Request, frozen=True, kw_only=True):
    """Sizes of chunks, in tokens; `check_chunking` holds the overlap to half a chunk."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)]


class StaticChunkingStrategy(Request, frozen=True, kw_only=True, tag_field="type", tag="static"):
    """Cut files into chunks of a given size."""

    static: StaticChunking


ChunkingStrategy: TypeAlias = AutoChunkingStrategy | StaticChunkingStrategy


class CreateAttachedVectorStore(Request, frozen=True, kw_only=True):
    """A vector store to make and attach in the same call."""

    file_ids: Annotated[list[str], Meta(max_length=100_000_000)] = []
    chunking_strategy: ChunkingStrategy | UnsetType = UNSET
    metadata: Metadata | None = None


class CreateFileSearchResources(Request, frozen=True, kw_only=True):
    """Either stores by id or a store to make, never both: see `check_file_search`."""

    vector_store_ids: Annotated[list[str], Meta(max_length=1)] | UnsetType = UNSET
    vector_stores: Annotated[list[CreateAttachedVectorStore], Meta(max_length=1)] | UnsetType = (
        UNSET
    )


class CreateToolResources(Request, frozen=True, kw_only=True):
    """Resources as given when an assistant or a thread is created."""

    code_interpreter: CodeInterpreterResources | UnsetType = UNSET
    file_search: CreateFileSearchResources | UnsetType = UNSET


def check_chunking(strategy: ChunkingStrategy) -> str | None:
    """Name the parameter, below the strategy, that breaks the overlap rule, or None."""
    if not isinstance(strategy, StaticChunkingStrategy):
        return None
    sizes = strategy.static
    if 2 * sizes.chunk_overlap_tokens <= sizes.max_chunk_size_tokens:
        return None
    return "static.chunk_overlap_tokens"


def check_file_search(resources: CreateFileSearchResources) -> str | None:
    """Name the offending parameter, below `file_search`, or None when all is well.

    The empty name stands for `file_search` itself: it has neither alternative.
    """
    if resources.vector_stores is UNSET:
        return "" if resources.vector_store_ids is UNSET else None
    if resources.vector_store_ids is not UNSET:
        return "vector_stores"
    for index, store in enumerate(resources.vector_stores):
        if store.chunking_strategy is UNSET:
            continue
        if fault := check_chunking(store.chunking_strategy):
            return f"vector_stores[{index}].chunking_strategy.{fault}"
    return None


def check_tool_resources(resources: CreateToolResources | None) -> str | None:
    """Name the offending parameter as the client would write it, or None."""
    if resources is None or resources.file_search is UNSET:
        return None
    fault = check_file_search(resources.file_search)
    if fault is None:
        return None
    return f"tool_resources.file_search.{fault}" if fault else "tool_resources.file_search"


# -- choice and truncation -----------------------------------------------------------------


class FunctionName(Request, frozen=True, kw_only=True):
    """A function, named."""

    name: str


class FunctionToolChoice(Request, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """Call exactly this function."""

    function: FunctionName


class CodeInterpreterToolChoice(
    Request, frozen=True, kw_only=True, tag_field="type", tag="code_interpreter"
):
    """Run code."""


class FileSearchToolChoice(Request, frozen=True, kw_only=True, tag_field="type", tag="file_search"):
    """Search the files."""


NamedToolChoice: TypeAlias = FunctionToolChoice | CodeInterpreterToolChoice | FileSearchToolChoice
ToolChoice: TypeAlias = Literal["none", "auto", "required"] | NamedToolChoice


class TruncationStrategy(Request, frozen=True, kw_only=True):
    """Which messages of the thread the model gets to see."""

    type: Literal["auto", "last_messages"]
    last_messages: (
        Annotated[int, Meta(ge=1, description="How many of the newest messages to keep.")] | None
    ) = None


def check_truncation(strategy: TruncationStrategy | None) -> str | None:
    """Name the parameter that is missing for the chosen type, or None."""
    if strategy is None or strategy.type == "auto" or strategy.last_messages is not None:
        return None
    return "truncation_strategy.last_messages"
