"""Files: what clients give to be searched, shown or worked on, and what comes of that."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.wire import Answer, Cursor, FileField, Order, Request, UnixSeconds

GivenPurpose: TypeAlias = Literal[
    "assistants", "batch", "fine-tune", "vision", "user_data", "evals"
]
FilePurpose: TypeAlias = Literal[
    "assistants",
    "assistants_output",
    "batch",
    "batch_output",
    "fine-tune",
    "fine-tune-results",
    "vision",
    "user_data",
    "evals",
]


class FileExpiry(Request, frozen=True, kw_only=True):
    """When a file is deleted by itself, counted from when it was created."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class CreateFile(Request, frozen=True, kw_only=True):
    """A new file, as a form."""

    file: FileField
    purpose: GivenPurpose
    expires_after: FileExpiry | UnsetType = UNSET


class File(Answer, frozen=True, kw_only=True):
    """A file as it now is, without its content."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: UnixSeconds
    expires_at: UnixSeconds | UnsetType = UNSET
    filename: str
    purpose: FilePurpose
    status: Literal["uploaded", "processed", "error"] = "processed"
    status_details: str | UnsetType = UNSET


class FileListQuery(Struct, frozen=True, kw_only=True):
    """Which page of the files to return, perhaps only those of one purpose."""

    purpose: str | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000, description="How many to return.")] = 10_000
    order: Order = "desc"
    after: Cursor | None = None
