"""One answer of a model while it is being received."""

from __future__ import annotations

import msgspec

from famulus_runs.usage import estimate
from famulus_schemas.inference import ChatChunk, ChatRequest, FinishReason, TokenUsage


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and how many tokens it was counted to have."""

    request: ChatRequest
    tokens: int


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
