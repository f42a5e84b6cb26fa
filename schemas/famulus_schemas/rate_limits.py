"""Rate limits of a project's models: over HTTP, in OpenAI's forms, and as they are kept."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.wire import Answer, Cursor, PageLimit, Request

AMOUNT_MAX = 1_000_000_000
"""The highest that can be set, which is no limit; told, too, where nothing limits."""

Amount: TypeAlias = Annotated[
    int, Meta(ge=1, le=AMOUNT_MAX, description=f"{AMOUNT_MAX} is no limit.")
]
NotLimited: TypeAlias = Annotated[int, Meta(description="Not limited here, and so refused.")]


class ProjectRateLimit(Answer, frozen=True, kw_only=True):
    """What a project may use of a model."""

    id: str
    object: Literal["project.rate_limit"] = "project.rate_limit"
    model: str
    max_requests_per_1_minute: int
    max_tokens_per_1_minute: int
    max_requests_per_1_day: int | UnsetType = UNSET
    """Only where it was set."""


class RateLimitBody(Request, frozen=True, kw_only=True):
    """Changes of what a project may use of a model; what is left out stays."""

    max_requests_per_1_minute: Amount | UnsetType = UNSET
    max_tokens_per_1_minute: Amount | UnsetType = UNSET
    max_requests_per_1_day: Amount | UnsetType = UNSET
    max_images_per_1_minute: NotLimited | UnsetType = UNSET
    max_audio_megabytes_per_1_minute: NotLimited | UnsetType = UNSET
    batch_1_day_max_input_tokens: NotLimited | UnsetType = UNSET


class RateLimitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a project's rate limits to return, by the names of their models."""

    limit: PageLimit = 100
    after: Cursor | None = None
    before: Cursor | None = None


class StoredRateLimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was set for a model in a project, which is that of its record; None was not."""

    model: str
    max_requests_per_1_minute: int | None = None
    max_tokens_per_1_minute: int | None = None
    max_requests_per_1_day: int | None = None
