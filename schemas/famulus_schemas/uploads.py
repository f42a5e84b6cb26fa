"""Uploads: large files that come in parts, and become a file once they are whole."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.files import File, FileExpiry
from famulus_schemas.wire import Answer, FileField, Request, UnixSeconds

UploadPurpose: TypeAlias = Literal["assistants", "batch", "fine-tune", "vision"]
UploadStatus: TypeAlias = Literal["pending", "completed", "cancelled", "expired"]


class CreateUpload(Request, frozen=True, kw_only=True):
    """What is going to come."""

    filename: str
    purpose: UploadPurpose
    bytes: Annotated[int, Meta(ge=1)]
    mime_type: str
    expires_after: FileExpiry | UnsetType = UNSET


class AddUploadPart(Request, frozen=True, kw_only=True):
    """A part, as a form."""

    data: FileField


class CompleteUpload(Request, frozen=True, kw_only=True):
    """That all is there, in which order, and perhaps its checksum."""

    part_ids: list[str]
    md5: str | UnsetType = UNSET


class Upload(Answer, frozen=True, kw_only=True):
    """An upload as it now is, and the file that it became."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: UnixSeconds
    filename: str
    purpose: UploadPurpose
    status: UploadStatus
    expires_at: UnixSeconds
    file: File | None = None


class UploadPart(Answer, frozen=True, kw_only=True):
    """A part that has come."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: UnixSeconds
    upload_id: str
