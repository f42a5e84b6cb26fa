"""Deltas: what a streamed message or step gained since the last event.

Clients add deltas up by `index`: strings grow, numbers are summed, null is replaced. So a field
that did not change is absent, and an id or a name is sent once.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from famulus_schemas.messages import CharacterIndex, ImageDetail
from famulus_schemas.wire import Answer, Role, Uri

# -- messages ------------------------------------------------------------------------------


class FileCitationDelta(Answer, frozen=True, kw_only=True):
    """The quoted file."""

    file_id: str | UnsetType = UNSET
    quote: str | UnsetType = UNSET


class FileCitationDeltaAnnotation(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="file_citation"
):
    """A new place that quotes a file."""

    index: int
    text: str | UnsetType = UNSET
    file_citation: FileCitationDelta | UnsetType = UNSET
    start_index: CharacterIndex | UnsetType = UNSET
    end_index: CharacterIndex | UnsetType = UNSET


class FilePathDelta(Answer, frozen=True, kw_only=True):
    """The linked file."""

    file_id: str | UnsetType = UNSET


class FilePathDeltaAnnotation(Answer, frozen=True, kw_only=True, tag_field="type", tag="file_path"):
    """A new place that links to a file."""

    index: int
    text: str | UnsetType = UNSET
    file_path: FilePathDelta | UnsetType = UNSET
    start_index: CharacterIndex | UnsetType = UNSET
    end_index: CharacterIndex | UnsetType = UNSET


AnnotationDelta: TypeAlias = FileCitationDeltaAnnotation | FilePathDeltaAnnotation


class TextDelta(Answer, frozen=True, kw_only=True):
    """More text, and new annotations."""

    value: str | UnsetType = UNSET
    annotations: list[AnnotationDelta] | UnsetType = UNSET


class TextDeltaBlock(Answer, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Growth of a text part."""

    index: int
    text: TextDelta | UnsetType = UNSET


class RefusalDeltaBlock(Answer, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """Growth of a refusal."""

    index: int
    refusal: str | UnsetType = UNSET


class ImageFileDelta(Answer, frozen=True, kw_only=True):
    """The image, by file."""

    file_id: str | UnsetType = UNSET
    detail: ImageDetail | UnsetType = UNSET


class ImageFileDeltaBlock(Answer, frozen=True, kw_only=True, tag_field="type", tag="image_file"):
    """A new image part."""

    index: int
    image_file: ImageFileDelta | UnsetType = UNSET


class ImageURLDelta(Answer, frozen=True, kw_only=True):
    """The image, by address."""

    url: Uri | UnsetType = UNSET
    detail: ImageDetail | UnsetType = UNSET


class ImageURLDeltaBlock(Answer, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    """A new image part."""

    index: int
    image_url: ImageURLDelta | UnsetType = UNSET


MessageContentDelta: TypeAlias = (
    TextDeltaBlock | RefusalDeltaBlock | ImageFileDeltaBlock | ImageURLDeltaBlock
)


class MessageDelta(Answer, frozen=True, kw_only=True):
    """What a message gained."""

    role: Role | UnsetType = UNSET
    content: list[MessageContentDelta] | UnsetType = UNSET


class MessageDeltaEvent(Answer, frozen=True, kw_only=True):
    """The data of `thread.message.delta`."""

    id: str
    object: Literal["thread.message.delta"] = "thread.message.delta"
    delta: MessageDelta


# -- steps ---------------------------------------------------------------------------------


class CodeInterpreterLogsDelta(Answer, frozen=True, kw_only=True, tag_field="type", tag="logs"):
    """More of what the code printed."""

    index: int
    logs: str | UnsetType = UNSET


class CodeInterpreterImageFileDelta(Answer, frozen=True, kw_only=True):
    """The file that holds an image."""

    file_id: str | UnsetType = UNSET


class CodeInterpreterImageDelta(Answer, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """An image that the code made."""

    index: int
    image: CodeInterpreterImageFileDelta | UnsetType = UNSET


CodeInterpreterOutputDelta: TypeAlias = CodeInterpreterLogsDelta | CodeInterpreterImageDelta


class CodeInterpreterCallDelta(Answer, frozen=True, kw_only=True):
    """More code, or new outputs."""

    input: str | UnsetType = UNSET
    outputs: list[CodeInterpreterOutputDelta] | UnsetType = UNSET


class CodeInterpreterToolCallDelta(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="code_interpreter"
):
    """Growth of a run of code."""

    index: int
    id: str | UnsetType = UNSET
    code_interpreter: CodeInterpreterCallDelta | UnsetType = UNSET


class FileSearchCallDelta(Answer, frozen=True, kw_only=True):
    """Always empty: results are told when the step completes."""


class FileSearchToolCallDelta(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="file_search"
):
    """A new search."""

    index: int
    id: str | UnsetType = UNSET
    file_search: FileSearchCallDelta = FileSearchCallDelta()


class FunctionCallDelta(Answer, frozen=True, kw_only=True):
    """The name once, then more of the arguments."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET
    output: str | UnsetType | None = UNSET


class FunctionToolCallDelta(Answer, frozen=True, kw_only=True, tag_field="type", tag="function"):
    """Growth of a function call."""

    index: int
    id: str | UnsetType = UNSET
    function: FunctionCallDelta | UnsetType = UNSET


ToolCallDelta: TypeAlias = (
    CodeInterpreterToolCallDelta | FileSearchToolCallDelta | FunctionToolCallDelta
)


class MessageCreationDelta(Answer, frozen=True, kw_only=True):
    """The message that the step writes."""

    message_id: str | UnsetType = UNSET


class MessageCreationStepDelta(
    Answer, frozen=True, kw_only=True, tag_field="type", tag="message_creation"
):
    """A step that writes a message."""

    message_creation: MessageCreationDelta | UnsetType = UNSET


class ToolCallsStepDelta(Answer, frozen=True, kw_only=True, tag_field="type", tag="tool_calls"):
    """A step that calls tools."""

    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


StepDetailsDelta: TypeAlias = MessageCreationStepDelta | ToolCallsStepDelta


class RunStepDelta(Answer, frozen=True, kw_only=True):
    """What a step gained."""

    step_details: StepDetailsDelta | UnsetType = UNSET


class RunStepDeltaEvent(Answer, frozen=True, kw_only=True):
    """The data of `thread.run.step.delta`."""

    id: str
    object: Literal["thread.run.step.delta"] = "thread.run.step.delta"
    delta: RunStepDelta
