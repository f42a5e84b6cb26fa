"""A backend with one model, which repeats what it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.inference import (
    Backend,
    BackendFault,
    ChatChunk,
    ChatRequest,
    ModelCard,
    PromptMessage,
    TextContent,
    TokenUsage,
)

MODEL = "echo"


class Echo(Plugin[NoSettings]):
    """Serves the model `echo`."""

    name = "example_echo"

    @hookimpl
    def register_backends(self) -> list[Backend]:
        """The one backend."""
        return [EchoBackend()]


class EchoBackend:
    """Answers with the last message, word by word."""

    name = "example_echo"

    async def models(self) -> Sequence[ModelCard]:
        """The one model."""
        return [ModelCard(id=MODEL, backend=self.name, owned_by="famulus-example")]

    async def chat(self, request: ChatRequest) -> AsyncIterator[Sequence[ChatChunk]]:
        """Stream the last message back."""
        if request.model != MODEL:
            raise BackendFault("not_found", f"no model {request.model!r}", backend=self.name)
        words = _text(request.messages[-1]).split(" ")
        for at, word in enumerate(words):
            yield [ChatChunk(content=word if at == 0 else f" {word}")]
        read = sum(len(_text(message).split(" ")) for message in request.messages)
        usage = TokenUsage(
            prompt_tokens=read, completion_tokens=len(words), total_tokens=read + len(words)
        )
        yield [ChatChunk(finish_reason="stop", usage=usage)]


def _text(message: PromptMessage) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content if isinstance(part, TextContent))
