"""Stored messages, and calls with their results, as a model is shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def shown_message(message: Message) -> PromptMessage | None:
    """A stored message as the model is shown it; None where there is nothing to show."""
    parts: list[TextContent | ImageContent] = []
    for block in message.content:
        match block:
            case TextContentBlock():
                parts.append(TextContent(text=block.text.value))
            case RefusalContentBlock():
                parts.append(TextContent(text=block.refusal))
            case ImageURLContentBlock():
                image = ImageUrl(url=block.image_url.url, detail=block.image_url.detail)
                parts.append(ImageContent(image_url=image))
            case ImageFileContentBlock():
                parts.append(TextContent(text=f"[image file {block.image_file.file_id}]"))
    if not any(isinstance(part, ImageContent) or part.text for part in parts):
        return None
    texts = [part.text for part in parts if isinstance(part, TextContent)]
    if len(texts) == len(parts):
        return PromptMessage(role=message.role, content="\n".join(texts))
    return PromptMessage(role=message.role, content=tuple(parts))


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


def texts_of(message: PromptMessage) -> list[str]:
    """All that of a message is text to a tokenizer."""
    texts = []
    if isinstance(message.content, str):
        texts.append(message.content)
    else:
        parts = message.content or ()
        texts += [part.text for part in parts if isinstance(part, TextContent)]
    for call in message.tool_calls or ():
        texts += [call.function.name, call.function.arguments]
    return texts
