"""What is kept beside runs and steps, and shown to whoever asks for it: our own additions.

They come under the key `famulus`, which OpenAI's objects do not have, and only where `include[]`
names them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from famulus_schemas.inference import ChatRequest
from famulus_schemas.runs import RunUsage

PROMPT = "famulus.prompt"
USAGE = "famulus.usage"

_LEVEL = 1
"""Prompts of one run repeat each other; the fastest level takes most of that out."""


class RunAdditions(msgspec.Struct, frozen=True, kw_only=True):
    """What else a run should carry; on the wire `include[]`."""

    include: list[Literal["famulus.usage"]] = []


def pack(request: ChatRequest | None) -> bytes:
    """A request as a step's record keeps it; empty where nothing was asked."""
    return b"" if request is None else zlib.compress(msgspec.json.encode(request), _LEVEL)


def with_additions(body: bytes, include: Sequence[str], *, prompt: bytes, usage: bytes) -> bytes:
    """A wire form with what is asked for of the two, each as it is sent."""
    wanted = {PROMPT: b'"prompt":' + prompt, USAGE: b'"usage":' + usage}
    parts = [part for name, part in wanted.items() if name in include]
    return body[:-1] + b',"famulus":{' + b",".join(parts) + b"}}" if parts else body


def unpack(packed: bytes) -> bytes:
    """What `famulus.prompt` shows; null where it was not kept."""
    return zlib.decompress(packed) if packed else b"null"


def usage_note(usage: RunUsage | None, *, is_estimate: bool) -> bytes:
    """What `famulus.usage` shows: whether the usage was reported or estimated; null without one."""
    if usage is None:
        return b"null"
    return b'{"estimated":true}' if is_estimate else b'{"estimated":false}'
