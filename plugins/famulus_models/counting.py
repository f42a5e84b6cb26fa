"""How many tokens a text is: remembered, asked for, or estimated from what servers reported."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from famulus_schemas.inference import ChatRequest, TextContent, TokenUsage

BYTES_PER_TOKEN = 4.0
"""Of English text and most tokenizers. Bytes, not characters, because that holds better across
scripts: a Chinese character is three bytes and about one token."""
LEARN_WEIGHT = 0.2
LEARN_BYTES_MIN = 200
"""A shorter prompt is mostly what the chat template adds."""
MESSAGE_TOKENS = 4
"""What a chat template adds to each message, roughly."""
RATIOS = (1.0, 12.0)
"""What a server can report and be believed."""


class Memory:
    """Exact counts of texts that were counted before; texts themselves are not kept."""

    def __init__(self, kept_max: int) -> None:
        self._kept_max = kept_max
        self._counts: OrderedDict[bytes, int] = OrderedDict()

    def get(self, model: str, text: str) -> int | None:
        """The count, if it is remembered."""
        return self._counts.get(_key(model, text))

    def put(self, model: str, text: str, count: int) -> None:
        """Remember a count; the oldest is forgotten past the limit."""
        self._counts[_key(model, text)] = count
        while len(self._counts) > self._kept_max:
            self._counts.popitem(last=False)


class Ratios:
    """Bytes for each token of each model, learnt from what its prompts cost."""

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def estimate(self, model: str, text: str) -> int:
        """About how many tokens the text is; rather too many than too few."""
        return math.ceil(_size(text) / self._ratios.get(model, BYTES_PER_TOKEN))

    def learn(self, model: str, request: ChatRequest, usage: TokenUsage) -> None:
        """Take what the server counted for a prompt, if the prompt was nothing but text."""
        size = _prompt_bytes(request)
        tokens = usage.prompt_tokens - MESSAGE_TOKENS * len(request.messages)
        if size is None or size < LEARN_BYTES_MIN or tokens < 1:
            return
        seen = min(max(size / tokens, RATIOS[0]), RATIOS[1])
        known = self._ratios.get(model)
        self._ratios[model] = seen if known is None else known + LEARN_WEIGHT * (seen - known)


def _key(model: str, text: str) -> bytes:
    return blake2b(f"{model}\0{text}".encode(errors="replace"), digest_size=16).digest()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _prompt_bytes(request: ChatRequest) -> int | None:
    if request.tools:
        return None
    size = 0
    for message in request.messages:
        if message.tool_calls:
            return None
        parts = message.content or ()
        if isinstance(parts, str):
            size += _size(parts)
            continue
        for part in parts:
            if not isinstance(part, TextContent):
                return None
            size += _size(part.text)
    return size


def split_known(
    memory: Memory, model: str, texts: Sequence[str]
) -> tuple[list[int | None], list[str]]:
    """The remembered count of each text, and the texts that have none."""
    counts = [memory.get(model, text) for text in texts]
    return counts, [text for text, count in zip(texts, counts, strict=True) if count is None]
