"""Vector stores: files that are cut up so that what they say can be found, and searches of them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.tools import ChunkingStrategy, StaticChunking
from famulus_schemas.wire import Answer, ListQuery, Metadata, Request, UnixSeconds

# -- what both directions share ------------------------------------------------------------

AttributeKey: TypeAlias = Annotated[str, Meta(max_length=64)]
GivenAttribute: TypeAlias = Annotated[str, Meta(max_length=512)] | int | float | bool
GivenAttributes: TypeAlias = Annotated[
    dict[AttributeKey, GivenAttribute],
    Meta(max_length=16, description="Up to 16 values by which files can be chosen."),
]


class StoreExpiry(Request, frozen=True, kw_only=True):
    """When a store expires by itself, counted from when it was last used."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


# -- requests ------------------------------------------------------------------------------


class CreateVectorStore(Request, frozen=True, kw_only=True):
    """A new vector store, with the files that it begins with."""

    file_ids: Annotated[list[str], Meta(max_length=500)] = []
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    expires_after: StoreExpiry | UnsetType = UNSET
    chunking_strategy: ChunkingStrategy | UnsetType = UNSET
    metadata: Metadata | None = None


class ModifyVectorStore(Request, frozen=True, kw_only=True):
    """Changes to a store: what is absent stays, what is null is cleared."""

    name: str | UnsetType | None = UNSET
    expires_after: StoreExpiry | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class CreateVectorStoreFile(Request, frozen=True, kw_only=True):
    """A file to add to a store."""

    file_id: str
    chunking_strategy: ChunkingStrategy | UnsetType = UNSET
    attributes: GivenAttributes | None = None


class ModifyVectorStoreFile(Request, frozen=True, kw_only=True):
    """The attributes that a file has from now on, all of them."""

    attributes: GivenAttributes | None


class CreateFileBatch(Request, frozen=True, kw_only=True):
    """Files to add to a store at once: either `file_ids`, or `files` with options of each."""

    file_ids: Annotated[list[str], Meta(min_length=1, max_length=2000)] | UnsetType = UNSET
    files: (
        Annotated[list[CreateVectorStoreFile], Meta(min_length=1, max_length=2000)] | UnsetType
    ) = UNSET
    chunking_strategy: ChunkingStrategy | UnsetType = UNSET
    attributes: GivenAttributes | None = None


VectorStoreFileStatus: TypeAlias = Literal["in_progress", "completed", "failed", "cancelled"]


class VectorStoreFileListQuery(ListQuery, frozen=True, kw_only=True):
    """Which page of the files to return, perhaps only those of one status."""

    filter: VectorStoreFileStatus | UnsetType = UNSET


class ContentQuery(Struct, frozen=True, kw_only=True):
    """Which page of a file's text to return; the first one unless asked otherwise."""

    page: str | None = None


# -- filters -------------------------------------------------------------------------------

Scalar: TypeAlias = str | int | float | bool
ComparedValue: TypeAlias = Scalar | list[str | int | float]


class _Comparison(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    key: str
    value: ComparedValue


class EqualFilter(_Comparison, frozen=True, kw_only=True, tag="eq"):
    """The attribute is the value."""


class NotEqualFilter(_Comparison, frozen=True, kw_only=True, tag="ne"):
    """The attribute is not the value, or is lacking."""


class GreaterFilter(_Comparison, frozen=True, kw_only=True, tag="gt"):
    """The attribute is greater than the value."""


class GreaterOrEqualFilter(_Comparison, frozen=True, kw_only=True, tag="gte"):
    """The attribute is the value or greater."""


class LessFilter(_Comparison, frozen=True, kw_only=True, tag="lt"):
    """The attribute is less than the value."""


class LessOrEqualFilter(_Comparison, frozen=True, kw_only=True, tag="lte"):
    """The attribute is the value or less."""


class InFilter(_Comparison, frozen=True, kw_only=True, tag="in"):
    """The attribute is one of the values."""


class NotInFilter(_Comparison, frozen=True, kw_only=True, tag="nin"):
    """The attribute is none of the values, or is lacking."""


class AndFilter(Request, frozen=True, kw_only=True, tag_field="type", tag="and"):
    """All of the filters hold."""

    filters: list[SearchFilter]


class OrFilter(Request, frozen=True, kw_only=True, tag_field="type", tag="or"):
    """Any of the filters holds."""

    filters: list[SearchFilter]


ComparisonFilter: TypeAlias = (
    EqualFilter
    | NotEqualFilter
    | GreaterFilter
    | GreaterOrEqualFilter
    | LessFilter
    | LessOrEqualFilter
    | InFilter
    | NotInFilter
)
SearchFilter: TypeAlias = ComparisonFilter | AndFilter | OrFilter


class SearchRanking(Request, frozen=True, kw_only=True):
    """How what is found is scored, and the score below which it is dropped."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: Annotated[
        float, Meta(ge=0, le=1, description="Leave out what scores below this.")
    ] = 0.0


class SearchVectorStore(Request, frozen=True, kw_only=True):
    """What to look for in a store."""

    query: str | list[str]
    rewrite_query: bool = False
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 10
    filters: SearchFilter | UnsetType = UNSET
    ranking_options: SearchRanking | UnsetType = UNSET


# -- answers -------------------------------------------------------------------------------

VectorStoreStatus: TypeAlias = Literal["expired", "in_progress", "completed"]


class FileCounts(Answer, frozen=True, kw_only=True):
    """How many files are in which state."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class VectorStore(Answer, frozen=True, kw_only=True):
    """A vector store as it now is."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: UnixSeconds
    name: str = ""
    usage_bytes: int = 0
    file_counts: FileCounts = FileCounts()
    status: VectorStoreStatus = "completed"
    expires_after: StoreExpiry | UnsetType = UNSET
    expires_at: UnixSeconds | None = None
    last_active_at: UnixSeconds | None = None
    metadata: Metadata = {}


class VectorStoreFileError(Answer, frozen=True, kw_only=True):
    """Why a file could not be made searchable."""

    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class StaticChunkingUsed(Answer, frozen=True, kw_only=True, tag_field="type", tag="static"):
    """The file is cut into chunks of this size."""

    static: StaticChunking


class OtherChunkingUsed(Answer, frozen=True, kw_only=True, tag_field="type", tag="other"):
    """The file is cut up in a way of which nothing is known."""


ChunkingUsed: TypeAlias = StaticChunkingUsed | OtherChunkingUsed


class VectorStoreFile(Answer, frozen=True, kw_only=True):
    """A file as a store has it; its id is the file's own."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int = 0
    created_at: UnixSeconds
    vector_store_id: str
    status: VectorStoreFileStatus = "in_progress"
    last_error: VectorStoreFileError | None = None
    chunking_strategy: ChunkingUsed | UnsetType = UNSET
    attributes: GivenAttributes | None = {}


class FileBatch(Answer, frozen=True, kw_only=True):
    """Files that were added at once, as they now are."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: UnixSeconds
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"] = "in_progress"
    file_counts: FileCounts = FileCounts()


class VectorStoreDeleted(Answer, frozen=True, kw_only=True):
    """The store is gone."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True


class VectorStoreFileDeleted(Answer, frozen=True, kw_only=True):
    """The file is no longer in the store; the file itself stays."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class FoundText(Answer, frozen=True, kw_only=True):
    """A text of a file."""

    type: Literal["text"] = "text"
    text: str


class FileContentPage(Answer, frozen=True, kw_only=True):
    """What a file says, in order; `next_page` is the `page` to ask for next."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[FoundText]
    has_more: bool = False
    next_page: str | None = None


class SearchResult(Answer, frozen=True, kw_only=True):
    """A passage that was found."""

    file_id: str
    filename: str
    score: Annotated[float, Meta(ge=0, le=1)]
    attributes: GivenAttributes | None
    content: list[FoundText]


class SearchResultsPage(Answer, frozen=True, kw_only=True):
    """What was found, best first; all of it is on one page."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: str | None = None


def check_batch(batch: CreateFileBatch) -> Literal["missing", "both"] | None:
    """Whether a batch breaks the rule that it has either `file_ids` or `files`."""
    if batch.file_ids is UNSET:
        return "missing" if batch.files is UNSET else None
    return None if batch.files is UNSET else "both"
