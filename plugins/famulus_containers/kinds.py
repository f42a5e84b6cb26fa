"""The records that this plugin owns, and their forms."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from famulus_schemas.containers import Container, ContainerFile
from famulus_schemas.records import Insert, Kind, Record, Replace

PREFIX = "cfile_"
"""How ids of files begin, each of which is the key of its content."""


class FileExtra(msgspec.Struct, frozen=True, kw_only=True):
    """What a file keeps and never sends."""

    sha256: str


encode = msgspec.json.Encoder().encode
decode_container = msgspec.json.Decoder(Container).decode
decode_file = msgspec.json.Decoder(ContainerFile).decode
encode_extra = msgspec.msgpack.Encoder().encode
decode_extra = msgspec.msgpack.Decoder(FileExtra).decode


def container_index(container: Container) -> dict[str, str]:
    """The indexed names of a container."""
    return {"name": container.name, "status": container.status}


def _container_index(record: Record) -> Mapping[str, str]:
    return container_index(decode_container(record.body))


CONTAINER = Kind(name="container", indexes=("name", "status"), index_of=_container_index)
FILE = Kind(name="container_file")
"""Parent: the container."""
KINDS = (CONTAINER, FILE)


def insert_container(container: Container) -> Insert:
    """The write that adds a container."""
    return Insert(
        kind="container",
        id=container.id,
        created_at=container.created_at,
        body=encode(container),
        index=container_index(container),
    )


def replace_container(record: Record, container: Container) -> Replace:
    """The write that changes a container, refused where it was changed since it was read."""
    return Replace(
        kind="container",
        id=record.id,
        version=record.version,
        body=encode(container),
        index=container_index(container),
    )


def insert_file(file: ContainerFile, sha256: str) -> Insert:
    """The write that adds a file to a container."""
    return Insert(
        kind="container_file",
        id=file.id,
        parent=file.container_id,
        created_at=file.created_at,
        body=encode(file),
        extra=encode_extra(FileExtra(sha256=sha256)),
    )


def as_of(container: Container, now: int) -> Container:
    """A container as it is at a moment: whether it has expired is a matter of time."""
    ends_at = container.last_active_at + 60 * container.expires_after.minutes
    return replace(container, status="expired") if now >= ends_at else container
