"""What the model was shown for a step: kept beside it, and shown to whoever asks for it."""

from __future__ import annotations

import zlib

import msgspec

from famulus_schemas.inference import ChatRequest

INCLUDE = "famulus.prompt"

_LEVEL = 1
"""Prompts of one run repeat each other; the fastest level takes most of that out."""


def pack(request: ChatRequest | None) -> bytes:
    """A request as a step's record keeps it; empty where nothing was asked."""
    return b"" if request is None else zlib.compress(msgspec.json.encode(request), _LEVEL)


def with_prompt(step: bytes, packed: bytes) -> bytes:
    """A step's wire form with `famulus.prompt`; null where it was not kept."""
    prompt = zlib.decompress(packed) if packed else b"null"
    return step[:-1] + b',"famulus":{"prompt":' + prompt + b"}}"
