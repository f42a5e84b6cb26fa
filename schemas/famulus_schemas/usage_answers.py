"""Usage and costs over HTTP, in OpenAI's forms."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct

from famulus_schemas.wire import Answer, UnixSeconds

T = TypeVar("T")

Ids: TypeAlias = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=256)]],
    Meta(max_length=100, description="Only what these used."),
]
Second: TypeAlias = Annotated[int, Meta(ge=0, le=253_402_300_799)]
BucketCount: TypeAlias = Annotated[
    int, Meta(ge=1, description="Buckets of one answer; how many depends on their width.")
]
Group = Literal["project_id", "user_id", "api_key_id", "model"]


class BucketQuery(Struct, frozen=True, kw_only=True):
    """Of which time, and how it is cut up. Times are those of whole buckets."""

    start_time: Second
    end_time: Second | None = None
    bucket_width: Literal["1m", "1h", "1d"] = "1d"
    limit: BucketCount | None = None
    page: str | None = None
    project_ids: Ids = []


class ProjectUsageQuery(BucketQuery, frozen=True, kw_only=True):
    """Usage that nobody but a project has."""

    group_by: list[Literal["project_id"]] = []


class OwnedQuery(BucketQuery, frozen=True, kw_only=True):
    """Usage that somebody has had, with a key."""

    user_ids: Ids = []
    api_key_ids: Ids = []


class ModelUsageQuery(OwnedQuery, frozen=True, kw_only=True):
    """Usage of models."""

    models: Ids = []
    group_by: list[Group] = []


class CompletionUsageQuery(OwnedQuery, frozen=True, kw_only=True):
    """Usage of models that write."""

    models: Ids = []
    batch: bool | None = None
    group_by: list[Literal[Group, "batch", "service_tier", "api_source"]] = []


class FileSearchUsageQuery(OwnedQuery, frozen=True, kw_only=True):
    """Searches of files."""

    vector_store_ids: Ids = []
    group_by: list[Literal["project_id", "user_id", "api_key_id", "vector_store_id"]] = []


class ImageUsageQuery(OwnedQuery, frozen=True, kw_only=True):
    """Pictures that were made."""

    models: Ids = []
    sizes: Ids = []
    sources: Ids = []
    group_by: list[Literal[Group, "size", "source"]] = []


class WebSearchUsageQuery(OwnedQuery, frozen=True, kw_only=True):
    """Searches of the web."""

    models: Ids = []
    context_levels: Ids = []
    group_by: list[Literal[Group, "context_level", "api_source"]] = []


class CostsQuery(Struct, frozen=True, kw_only=True):
    """Costs, day by day."""

    start_time: Second
    end_time: Second | None = None
    bucket_width: Literal["1d"] = "1d"
    limit: Annotated[int, Meta(ge=1, le=180)] = 7
    page: str | None = None
    project_ids: Ids = []
    user_ids: Ids = []
    api_key_ids: Ids = []
    line_items: Ids = []
    group_by: list[Literal["project_id", "user_id", "line_item", "api_key_id", "api_source"]] = []


class Grouped(Answer, frozen=True, kw_only=True):
    """Of what a result is; null for what it was not grouped by."""

    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None


class CompletionsResult(Grouped, frozen=True, kw_only=True):
    """Tokens of models that write, by runs and by requests."""

    object: Literal["organization.usage.completions.result"] = (
        "organization.usage.completions.result"
    )
    input_tokens: int
    """With those that were cached."""
    output_tokens: int
    input_cached_tokens: int
    input_uncached_tokens: int
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    num_model_requests: int
    batch: bool | None = None
    service_tier: str | None = None
    api_source: Literal["unlabeled"] | None = None


class EmbeddingsResult(Grouped, frozen=True, kw_only=True):
    """Tokens of texts that were made vectors."""

    object: Literal["organization.usage.embeddings.result"] = "organization.usage.embeddings.result"
    input_tokens: int
    num_model_requests: int


class VectorStoresResult(Answer, frozen=True, kw_only=True):
    """How large vector stores were."""

    object: Literal["organization.usage.vector_stores.result"] = (
        "organization.usage.vector_stores.result"
    )
    usage_bytes: int
    project_id: str | None = None


class CodeInterpreterResult(Answer, frozen=True, kw_only=True):
    """How many runs had code run."""

    object: Literal["organization.usage.code_interpreter_sessions.result"] = (
        "organization.usage.code_interpreter_sessions.result"
    )
    num_sessions: int
    project_id: str | None = None


class FileSearchesResult(Answer, frozen=True, kw_only=True):
    """How often models searched files."""

    object: Literal["organization.usage.file_searches.result"] = (
        "organization.usage.file_searches.result"
    )
    num_requests: int
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    vector_store_id: str | None = None


class Amount(Answer, frozen=True, kw_only=True):
    """Money."""

    value: float
    currency: str


class CostsResult(Answer, frozen=True, kw_only=True):
    """What was spent."""

    object: Literal["organization.costs.result"] = "organization.costs.result"
    amount: Amount
    line_item: str | None = None
    """The model."""
    quantity: float | None = None
    quantity_unit: Literal["tokens"] | None = None
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    api_source: Literal["unlabeled"] | None = None


class Bucket(Answer, Generic[T], frozen=True, kw_only=True):
    """A minute, an hour or a day."""

    object: Literal["bucket"] = "bucket"
    start_time: UnixSeconds
    end_time: UnixSeconds
    results: list[T]


class BucketPage(Answer, Generic[T], frozen=True, kw_only=True):
    """One page of them, the oldest first."""

    object: Literal["page"] = "page"
    data: list[Bucket[T]]
    has_more: bool
    next_page: str | None = None


class SpendLimitBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget for a month."""

    currency: Annotated[str, Meta(min_length=3, max_length=3)]
    interval: Literal["month"]
    threshold_amount: Annotated[int, Meta(ge=0, le=100_000_000_000, description="In cents.")]


class Enforcement(Answer, frozen=True, kw_only=True):
    """Whether more is refused now."""

    status: Literal["inactive", "enforcing"]


class OrganizationSpendLimit(Answer, frozen=True, kw_only=True):
    """What all projects together may spend in a month."""

    object: Literal["organization.spend_limit"] = "organization.spend_limit"
    currency: str
    interval: Literal["month"] = "month"
    threshold_amount: int
    """In cents."""
    enforcement: Enforcement


class ProjectSpendLimit(Answer, frozen=True, kw_only=True):
    """What a project may spend in a month."""

    object: Literal["project.spend_limit"] = "project.spend_limit"
    currency: str
    interval: Literal["month"] = "month"
    threshold_amount: int
    """In cents."""
    enforcement: Enforcement


class OrganizationSpendLimitDeleted(Answer, frozen=True, kw_only=True):
    """All projects together may spend what each may."""

    object: Literal["organization.spend_limit.deleted"] = "organization.spend_limit.deleted"
    deleted: bool = True


class ProjectSpendLimitDeleted(Answer, frozen=True, kw_only=True):
    """The project may spend what is configured."""

    object: Literal["project.spend_limit.deleted"] = "project.spend_limit.deleted"
    deleted: bool = True
