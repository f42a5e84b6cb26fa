"""One answer of a model while it is being received."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from famulus_runs.showing import images_of, with_parts
from famulus_runs.usage import estimate
from famulus_schemas.images import data_bytes, scheme_of
from famulus_schemas.inference import (
    ChatChunk,
    ChatRequest,
    FinishReason,
    ImageContent,
    PromptMessage,
    TokenUsage,
)


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and how many tokens it was counted to have."""

    request: ChatRequest
    tokens: int

    def without_images(self) -> Prompt:
        """The same with the size of each picture that is in it, in place of its content.

        That is enough for whoever looks at it later, and a picture is megabytes.
        """
        if not any(map(images_of, self.request.messages)):
            return self
        messages = tuple(map(_without_images, self.request.messages))
        return replace(self, request=replace(self.request, messages=messages))


def _without_images(message: PromptMessage) -> PromptMessage:
    if not images_of(message):
        return message
    assert not isinstance(message.content, str)
    return with_parts(
        message,
        [
            ImageContent(image_url=replace(part.image_url, url=_brief(part.image_url.url)))
            if isinstance(part, ImageContent)
            else part
            for part in message.content or ()
        ],
    )


def _brief(url: str) -> str:
    if scheme_of(url) != "data":
        return url
    return f"{url.partition(',')[0]},({data_bytes(url)} bytes)"


class Answer:
    """What came of it so far, so that its cost is known wherever it is broken off."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.finish: FinishReason | None = None
        self.usage: TokenUsage | None = None
        """As the model's server reports it."""
        self.has_begun = False
        self._received: list[str] = []

    def take(self, chunk: ChatChunk) -> None:
        """Note what a chunk adds."""
        self.has_begun = True
        self.finish = chunk.finish_reason or self.finish
        self.usage = chunk.usage or self.usage
        self._received.append(chunk.content or chunk.reasoning or chunk.refusal)
        for call in chunk.tool_calls:
            self._received += (call.name or "", call.arguments)

    @property
    def received(self) -> str:
        """All that the model wrote, whatever it was."""
        return "".join(self._received)

    def cost(self) -> TokenUsage:
        """What was sent and received so far."""
        return self.usage or estimate(self.prompt.tokens, self.received)
