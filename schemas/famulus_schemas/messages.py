"""Messages of a thread: what was said, by whom, and what it refers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from famulus_schemas.tools import CodeInterpreterTool
from famulus_schemas.wire import Answer, ListQuery, Metadata, Request, Role, UnixSeconds, Uri

# -- content that travels both ways --------------------------------------------------------

ImageDetail: TypeAlias = Literal["auto", "low", "high"]


class ImageFile(Request, frozen=True, kw_only=True):
    """An image among the uploaded files."""

    file_id: str
    detail: ImageDetail = "auto"


class ImageFileContentBlock(Request, frozen=True, kw_only=True, tag_field="type", tag="image_file"):
    """A part that shows an uploaded image."""

    image_file: ImageFile


class ImageURL(Request, frozen=True, kw_only=True):
    """An image somewhere else."""

    url: Uri
    detail: ImageDetail = "auto"


class ImageURLContentBlock(Request, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    """A part that shows an image by its address."""

    image_url: ImageURL


class FileSearchToolTypeOnly(
    Request, frozen=True, kw_only=True, tag_field="type", tag="file_search"
):
    """File search, named and without settings."""


AttachmentTool: TypeAlias = CodeInterpreterTool | FileSearchToolTypeOnly


class Attachment(Request, frozen=True, kw_only=True):
    """A file given with a message, and the tools that may use it."""

    file_id: str | UnsetType = UNSET
    tools: list[AttachmentTool] = []


# -- requests ------------------------------------------------------------------------------


class TextContentBlockParam(Request, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A part of text, as a client sends it."""

    text: str


RequestContentBlock: TypeAlias = (
    TextContentBlockParam | ImageFileContentBlock | ImageURLContentBlock
)
RequestContent: TypeAlias = str | Annotated[list[RequestContentBlock], Meta(min_length=1)]


class CreateMessage(Request, frozen=True, kw_only=True):
    """A new message at the end of a thread."""

    role: Role
    content: RequestContent
    attachments: list[Attachment] | None = None
    metadata: Metadata | None = None


class ModifyMessage(Request, frozen=True, kw_only=True):
    """Changes to a message: only its metadata may change."""

    metadata: Metadata | UnsetType | None = UNSET


class MessageListQuery(ListQuery, frozen=True, kw_only=True):
    """Which page of a thread's messages, perhaps only those that one run wrote."""

    run_id: str | None = None


# -- answers -------------------------------------------------------------------------------

CharacterIndex: TypeAlias = Annotated[int, Meta(ge=0)]


class FileCitation(Answer, frozen=True, kw_only=True):
    """The file that a passage is taken from."""

    file_id: str


class FileCitationAnnotation(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="file_citation"
):
    """A place in the text that quotes a file."""

    text: str
    file_citation: FileCitation
    start_index: CharacterIndex
    end_index: CharacterIndex


class FilePath(Answer, frozen=True, kw_only=True):
    """The file that was made."""

    file_id: str


class FilePathAnnotation(Answer, frozen=True, kw_only=True, tag_field="type", tag="file_path"):
    """A place in the text that links to a file made by code."""

    text: str
    file_path: FilePath
    start_index: CharacterIndex
    end_index: CharacterIndex


Annotation: TypeAlias = FileCitationAnnotation | FilePathAnnotation


class Text(Answer, frozen=True, kw_only=True):
    """Text and what its places refer to."""

    value: str
    annotations: list[Annotation] = []


class TextContentBlock(Answer, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """A part of text, as we answer it."""

    text: Text


class RefusalContentBlock(Answer, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """The model's words on why it will not answer."""

    refusal: str


MessageContent: TypeAlias = (
    TextContentBlock | ImageFileContentBlock | ImageURLContentBlock | RefusalContentBlock
)
MessageStatus: TypeAlias = Literal["in_progress", "incomplete", "completed"]
MessageIncompleteReason: TypeAlias = Literal[
    "content_filter", "max_tokens", "run_cancelled", "run_expired", "run_failed"
]


class MessageIncompleteDetails(Answer, frozen=True, kw_only=True):
    """Why a message ends early."""

    reason: MessageIncompleteReason


class Message(Answer, frozen=True, kw_only=True):
    """A message as it now is."""

    id: str
    object: Literal["thread.message"] = "thread.message"
    created_at: UnixSeconds
    thread_id: str
    status: MessageStatus
    incomplete_details: MessageIncompleteDetails | None = None
    completed_at: UnixSeconds | None = None
    incomplete_at: UnixSeconds | None = None
    role: Role
    content: list[MessageContent] = []
    assistant_id: str | None = None
    run_id: str | None = None
    attachments: list[Attachment] | None = []
    metadata: Metadata = {}


SHOWN_FILE = "image_file.file_id"
"""How the parameters end by which a message names pictures."""


def files_of(message: CreateMessage, *, within: str = "") -> dict[str, str]:
    """The files that a new message names: the parameter of each, and its id."""
    named = {}
    blocks = () if isinstance(message.content, str) else message.content
    for index, block in enumerate(blocks):
        if isinstance(block, ImageFileContentBlock):
            named[f"{within}content[{index}].{SHOWN_FILE}"] = block.image_file.file_id
    for index, attachment in enumerate(message.attachments or ()):
        if attachment.file_id is not UNSET:
            named[f"{within}attachments[{index}].file_id"] = attachment.file_id
    return named


def files_of_messages(
    messages: Sequence[CreateMessage], *, named: str = "additional_messages"
) -> dict[str, str]:
    """The same of the messages in the list `named`."""
    return {
        param: id
        for index, message in enumerate(messages)
        for param, id in files_of(message, within=f"{named}[{index}].").items()
    }


def searchable_files(
    messages: Sequence[CreateMessage], *, named: str = "additional_messages"
) -> dict[str, str]:
    """The files that new messages attach to be searched: the parameter of each, and its id.

    `named` is the list that the messages are in; that of one by itself is empty.
    """
    return {
        f"{within}attachments[{number}].file_id": attachment.file_id
        for index, message in enumerate(messages)
        for within in [f"{named}[{index}]." if named else ""]
        for number, attachment in enumerate(message.attachments or ())
        if attachment.file_id is not UNSET
        and any(isinstance(tool, FileSearchToolTypeOnly) for tool in attachment.tools)
    }
