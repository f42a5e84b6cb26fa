"""Counting tokens with a `tokenizer.json`, without holding up the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

INLINE_CHARS = 1000
"""Up to here a hop to a thread costs more than the counting."""


class _Outline(msgspec.Struct):
    """What tells a tokenizer.json from the other files beside it."""

    model: dict[str, Any]
    added_tokens: list[Any]


class TokenizerFile:
    """One tokenizer of a model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path) -> TokenizerFile:
        """Read it, which takes a while. Raises ValueError or OSError saying what to name."""
        data = path.read_bytes()
        try:
            msgspec.json.decode(data, type=_Outline)
        except ValueError as error:
            raise ValueError(f"{path} is not a model's tokenizer.json: {error}") from error
        # Its own threads would take the cores that the event loop needs, and it warns after a
        # fork.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_buffer(data))

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special ones."""
        if sum(map(len, texts)) <= INLINE_CHARS:
            return self._count(texts)
        return await asyncio.to_thread(self._count, texts)

    def _count(self, texts: Sequence[str]) -> list[int]:
        # Of the library's ways to encode, only the batches let other threads run meanwhile.
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]
