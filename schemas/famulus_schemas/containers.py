"""Containers: boxes with files, which clients make for code to run in."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from famulus_schemas.wire import Answer, Cursor, FileField, Order, Request, UnixSeconds

MemoryLimit: TypeAlias = Literal["1g", "4g", "16g", "64g"]
ContainerStatus: TypeAlias = Literal["running", "expired"]

# -- requests ------------------------------------------------------------------------------


class ContainerExpiryParam(Request, frozen=True, kw_only=True):
    """How long a container may be left alone before it ends."""

    anchor: Literal["last_active_at"]
    minutes: Annotated[int, Meta(ge=1, le=10_080)]


class SkillReference(Request, frozen=True, kw_only=True, tag_field="type", tag="skill_reference"):
    """A skill that is kept."""

    skill_id: Annotated[str, Meta(min_length=1, max_length=64)]
    version: str | UnsetType = UNSET


class InlineSkillSource(Request, frozen=True, kw_only=True):
    """A skill's files."""

    type: Literal["base64"]
    media_type: Literal["application/zip"]
    data: Annotated[str, Meta(min_length=1, max_length=70_254_592)]


class InlineSkill(Request, frozen=True, kw_only=True, tag_field="type", tag="inline"):
    """A skill that comes with the request."""

    name: str
    description: str
    source: InlineSkillSource


class DisabledNetworkParam(Request, frozen=True, kw_only=True, tag_field="type", tag="disabled"):
    """Nothing outside can be reached."""


class DomainSecret(Request, frozen=True, kw_only=True):
    """What is put into requests to a domain."""

    domain: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    value: Annotated[str, Meta(min_length=1, max_length=10_485_760)]


class AllowlistNetworkParam(Request, frozen=True, kw_only=True, tag_field="type", tag="allowlist"):
    """Only some domains can be reached."""

    allowed_domains: Annotated[list[str], Meta(min_length=1)]
    domain_secrets: Annotated[list[DomainSecret], Meta(min_length=1)] | UnsetType = UNSET


class CreateContainer(Request, frozen=True, kw_only=True):
    """A new container."""

    name: Annotated[str, Meta(max_length=512)]
    file_ids: list[str] = []
    expires_after: ContainerExpiryParam | UnsetType = UNSET
    skills: list[SkillReference | InlineSkill] = []
    memory_limit: MemoryLimit = "1g"
    network_policy: DisabledNetworkParam | AllowlistNetworkParam | UnsetType = UNSET


class CreateContainerFile(Request, frozen=True, kw_only=True):
    """A file that is kept already, to be copied into the container."""

    file_id: str


class SendContainerFile(Request, frozen=True, kw_only=True):
    """A new file as a form, or one that is kept already."""

    file: FileField | UnsetType = UNSET
    file_id: str | UnsetType = UNSET


class ContainerListQuery(Struct, frozen=True, kw_only=True):
    """Which page of the containers to return, perhaps only those of one name."""

    limit: Annotated[int, Meta(ge=1, le=100, description="How many to return.")] = 20
    order: Order = "desc"
    after: Cursor | None = None
    name: str | None = None


class ContainerFileListQuery(Struct, frozen=True, kw_only=True):
    """Which page of a container's files to return."""

    limit: Annotated[int, Meta(ge=1, le=100, description="How many to return.")] = 20
    order: Order = "desc"
    after: Cursor | None = None


# -- answers -------------------------------------------------------------------------------


class ContainerExpiry(Answer, frozen=True, kw_only=True):
    """How long a container may be left alone before it ends."""

    anchor: Literal["last_active_at"] = "last_active_at"
    minutes: int


class NetworkPolicy(Answer, frozen=True, kw_only=True):
    """What can be reached from a container."""

    type: Literal["disabled"] = "disabled"


class Container(Answer, frozen=True, kw_only=True):
    """A container as it now is."""

    id: str
    object: Literal["container"] = "container"
    name: str
    created_at: UnixSeconds
    status: ContainerStatus = "running"
    last_active_at: UnixSeconds
    expires_after: ContainerExpiry
    memory_limit: MemoryLimit = "1g"
    network_policy: NetworkPolicy = NetworkPolicy()


class ContainerDeleted(Answer, frozen=True, kw_only=True):
    """The container is gone, with its files."""

    id: str
    object: Literal["container.deleted"] = "container.deleted"
    deleted: bool = True


class ContainerFile(Answer, frozen=True, kw_only=True):
    """A file in a container, without its content."""

    id: str
    object: Literal["container.file"] = "container.file"
    container_id: str
    created_at: UnixSeconds
    bytes: int
    path: str
    """Where code finds it, as `/mnt/data/data.csv`."""
    source: Literal["user", "assistant"] = "user"
    """Who made it: a client, or code."""


class ContainerFileDeleted(Answer, frozen=True, kw_only=True):
    """The file is gone."""

    id: str
    object: Literal["container.file.deleted"] = "container.file.deleted"
    deleted: bool = True
