"""What all collections share: the page of a list, and the word that something is gone."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from famulus_schemas.wire import Answer

T = TypeVar("T")


class ListPage(Answer, Generic[T], frozen=True, kw_only=True):
    """One page of a list; an empty page has null for both of its ends."""

    object: Literal["list"] = "list"
    data: list[T]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class AssistantDeleted(Answer, frozen=True, kw_only=True):
    """The assistant is gone."""

    id: str
    object: Literal["assistant.deleted"] = "assistant.deleted"
    deleted: bool = True


class ThreadDeleted(Answer, frozen=True, kw_only=True):
    """The thread is gone."""

    id: str
    object: Literal["thread.deleted"] = "thread.deleted"
    deleted: bool = True


class MessageDeleted(Answer, frozen=True, kw_only=True):
    """The message is gone."""

    id: str
    object: Literal["thread.message.deleted"] = "thread.message.deleted"
    deleted: bool = True


class FileDeleted(Answer, frozen=True, kw_only=True):
    """The file is gone, and leaves whatever it was in."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True
