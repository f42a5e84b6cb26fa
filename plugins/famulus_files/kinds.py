"""The records that this plugin owns, and their forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from famulus_schemas.files import File
from famulus_schemas.records import Guard, Insert, Kind, Record, Unit
from famulus_schemas.uploads import Upload, UploadPart

BUCKET_S = 3600
"""Files are found by the hour in which they expire, so that few are looked at each time."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A blob that is a file's content, or a part of it."""

    key: str
    bytes: int
    sha256: str


class FileExtra(msgspec.Struct, frozen=True, kw_only=True):
    """What a file keeps and never sends."""

    pieces: tuple[Piece, ...]
    mime_type: str = ""


class UploadExtra(msgspec.Struct, frozen=True, kw_only=True):
    """What an upload keeps and never sends."""

    mime_type: str
    expires_s: int | None = None
    """Seconds after which the file will expire."""


encode = msgspec.json.Encoder().encode
encode_extra = msgspec.msgpack.Encoder().encode
decode_file = msgspec.json.Decoder(File).decode
decode_upload = msgspec.json.Decoder(Upload).decode
decode_keys = msgspec.json.Decoder(tuple[str, ...]).decode
decode_file_extra = msgspec.msgpack.Decoder(FileExtra).decode
decode_upload_extra = msgspec.msgpack.Decoder(UploadExtra).decode
decode_piece = msgspec.msgpack.Decoder(Piece).decode


def file_index(file: File) -> dict[str, str]:
    """The indexed names of a file."""
    index: dict[str, str] = {"purpose": file.purpose}
    if file.expires_at is not msgspec.UNSET:
        index |= {"expires": "yes", "expires_in": bucket(file.expires_at)}
    return index


def bucket(at: int) -> str:
    """The hour of a time."""
    return str(at // BUCKET_S)


def upload_index(upload: Upload) -> dict[str, str]:
    """The indexed names of an upload."""
    return {"status": "pending"} if upload.status == "pending" else {}


def _file_index(record: Record) -> Mapping[str, str]:
    return file_index(decode_file(record.body))


def _upload_index(record: Record) -> Mapping[str, str]:
    return upload_index(decode_upload(record.body))


FILE = Kind(name="file", indexes=("purpose", "expires", "expires_in"), index_of=_file_index)
UPLOAD = Kind(name="upload", indexes=("status",), index_of=_upload_index)
PART = Kind(name="upload_part")
"""A part of an upload that is not complete. Parent: the upload; its id is its blob's key."""
PIECE = Kind(name="file_piece")
"""A part that became one of a file. Parent: the file; its id is its blob's key."""
DOOMED = Kind(name="doomed_blobs")
"""Keys of blobs that belong to nothing any more, until a job has removed them. Parent: itself."""
LOST = Kind(name="lost_blob")
"""A blob that a sweep found to belong to nothing: from then on, nothing can be made of it."""

KINDS = (FILE, UPLOAD, PART, PIECE, DOOMED, LOST)


def insert_file(file: File, extra: FileExtra) -> Insert:
    """The write that adds a file."""
    return Insert(
        kind="file",
        id=file.id,
        created_at=file.created_at,
        body=encode(file),
        extra=encode_extra(extra),
        index=file_index(file),
    )


def insert_upload(upload: Upload, extra: UploadExtra) -> Insert:
    """The write that adds an upload."""
    return Insert(
        kind="upload",
        id=upload.id,
        created_at=upload.created_at,
        body=encode(upload),
        extra=encode_extra(extra),
        index=upload_index(upload),
    )


def insert_part(part: UploadPart, piece: Piece) -> Insert:
    """The write that adds a part to an upload."""
    return Insert(
        kind="upload_part",
        id=part.id,
        parent=part.upload_id,
        created_at=part.created_at,
        body=encode(part),
        extra=encode_extra(piece),
    )


def own_pieces(file: File, pieces: Sequence[Piece]) -> Unit:
    """The writes by which parts of an upload belong to the file that it became."""
    return [
        Insert(
            kind="file_piece",
            id=piece.key,
            parent=file.id,
            created_at=file.created_at,
            body=b"{}",
        )
        for piece in pieces
    ]


def not_lost(key: str) -> Guard:
    """Refuses a unit that would make something of a blob that a sweep has found."""
    return Guard(kind="lost_blob", id=key, absent=True)
