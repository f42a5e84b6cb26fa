"""Stored messages, and calls with their results, as a model is shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from famulus_runs.arguments import shown_arguments
from famulus_schemas.inference import (
    CalledFunction,
    CalledTool,
    ImageContent,
    ImageUrl,
    PromptMessage,
    TextContent,
)
from famulus_schemas.messages import (
    ImageFileContentBlock,
    ImageURLContentBlock,
    Message,
    RefusalContentBlock,
    TextContentBlock,
)
from famulus_schemas.tooling import ToolCall

FILE_SCHEME = "famulus-file"
"""Of an address that stands for a file's content until that is read; no client can give one."""

Part = TextContent | ImageContent


def shown_message(message: Message, notes: Sequence[str] = ()) -> PromptMessage | None:
    """A stored message as the model is shown it, less the content of files.

    `notes` are further lines of it. None where there is nothing to show.
    """
    # Models are shown pictures by users only; what an assistant made they are told of.
    shows = message.role == "user"
    parts: list[Part] = []
    for block in message.content:
        match block:
            case TextContentBlock():
                parts.append(TextContent(text=block.text.value))
            case RefusalContentBlock():
                parts.append(TextContent(text=block.refusal))
            case ImageURLContentBlock():
                image = ImageUrl(url=block.image_url.url, detail=block.image_url.detail)
                parts.append(ImageContent(image_url=image) if shows else image_note(image))
            case ImageFileContentBlock():
                url = f"{FILE_SCHEME}:{block.image_file.file_id}"
                image = ImageUrl(url=url, detail=block.image_file.detail)
                parts.append(ImageContent(image_url=image) if shows else image_note(image))
    parts += [TextContent(text=note) for note in notes]
    if not any(isinstance(part, ImageContent) or part.text for part in parts):
        return None
    return with_parts(PromptMessage(role=message.role), parts)


def with_parts(message: PromptMessage, parts: Sequence[Part]) -> PromptMessage:
    """A message of these parts, as plain text where there is nothing else."""
    texts = [part.text for part in parts if isinstance(part, TextContent)]
    if len(texts) == len(parts):
        return replace(message, content="\n".join(texts))
    return replace(message, content=tuple(parts))


def image_note(image: ImageUrl, reason: str = "") -> TextContent:
    """What a model is told in the place of a picture that it is not shown."""
    scheme, _, rest = image.url.partition(":")
    if scheme == FILE_SCHEME:
        what = f"image file {rest}"
    else:
        what = "image" if scheme.lower() == "data" else f"image {image.url}"
    return TextContent(text=f"[{what}: {reason}]" if reason else f"[{what}]")


def shown_calls(
    content: str | tuple[TextContent | ImageContent, ...] | None,
    calls: Sequence[ToolCall],
    outputs: Mapping[str, str],
) -> list[PromptMessage]:
    """One answer of a model, a tool call never without its result."""
    called = tuple(
        CalledTool(
            id=call.id,
            function=CalledFunction(name=call.name, arguments=shown_arguments(call.arguments)),
        )
        for call in calls
    )
    answer = PromptMessage(role="assistant", content=content or None, tool_calls=called or None)
    results = [
        PromptMessage(role="tool", content=outputs[call.id], tool_call_id=call.id) for call in calls
    ]
    return [answer, *results]


def images_of(message: PromptMessage) -> list[ImageUrl]:
    """The pictures of a message."""
    if message.content is None or isinstance(message.content, str):
        return []
    return [part.image_url for part in message.content if isinstance(part, ImageContent)]


def contents_of(message: PromptMessage) -> list[str]:
    """The texts that a message consists of."""
    if isinstance(message.content, str):
        return [message.content]
    return [part.text for part in message.content or () if isinstance(part, TextContent)]


def texts_of(message: PromptMessage) -> list[str]:
    """All that of a message is text to a tokenizer."""
    texts = contents_of(message)
    for call in message.tool_calls or ():
        texts += [call.function.name, call.function.arguments]
    return texts
