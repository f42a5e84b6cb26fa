"""Models that can be asked for by name."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from famulus_schemas.wire import Answer, UnixSeconds


class Model(Answer, frozen=True, kw_only=True):
    """A model, or another name for one."""

    id: str
    object: Literal["model"] = "model"
    created: UnixSeconds
    owned_by: str
    shutdown_date: str | UnsetType | None = UNSET
    note: str | UnsetType = UNSET
    """What whoever uses it should know, such as that it is no language model; ours alone."""


class ModelList(Answer, frozen=True, kw_only=True):
    """All models at once: this list has no pages."""

    object: Literal["list"] = "list"
    data: list[Model]


class ModelDeleted(Answer, frozen=True, kw_only=True):
    """The model is gone."""

    id: str
    object: Literal["model"] = "model"
    deleted: bool = True
