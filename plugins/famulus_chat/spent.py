"""What a relayed answer used: as its server says, or by an estimate where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from famulus_schemas.identity import Principal
from famulus_schemas.inference import MeteredRelay, RelayRequest, TokenUsage
from famulus_schemas.usage import Meter, Used

CHARACTERS_PER_TOKEN = 4
PICTURE_TOKENS = 765
"""Of one of 1024 by 1024, as OpenAI counts them."""
_EVENT = b"data: "
_PROMPTS = ("messages", "prompt", "input", "tools")
_DATA = "data:"


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Told(msgspec.Struct):
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Told).decode


class Spending:
    """One relay's use, noted once: at its end, however it ends."""

    def __init__(
        self,
        meter: Meter | None,
        principal: Principal,
        request: RelayRequest,
        now: Callable[[], int],
    ) -> None:
        self._meter = meter
        self._principal = principal
        self._request = request
        self._now = now
        self._events = 0

    def see(self, frames: bytes) -> None:
        """Count the events of a stream, each for a token where nobody says better."""
        self._events += frames.count(_EVENT)

    def end(self, relay: MeteredRelay, content: bytes | None = None) -> None:
        """Note what was used; `content` is the whole of an answer that is no stream."""
        meter, self._meter = self._meter, None
        if meter is None:
            return
        told = (usage_in(content) if content is not None else None) or relay.usage
        used = told or self._estimate(content)
        request, principal = self._request, self._principal
        meter.note(
            Used(
                at=self._now(),
                what="embeddings" if request.endpoint == "embeddings" else "completions",
                project=principal.project,
                principal=principal.id,
                key=principal.key_id or "",
                model=request.model,
                served_by=relay.served_by,
                input_tokens=used.prompt_tokens,
                cached_tokens=used.cached_tokens,
                output_tokens=used.completion_tokens,
                is_estimate=used.is_estimate,
            )
        )

    def _estimate(self, content: bytes | None) -> TokenUsage:
        fields = self._request.fields
        prompt = sum(_tokens(fields[name]) for name in _PROMPTS if name in fields)
        if self._request.endpoint == "embeddings":
            written = 0
        elif content is None:
            written = self._events
        else:
            written = math.ceil(len(content) / CHARACTERS_PER_TOKEN)
        return TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=written,
            total_tokens=prompt + written,
            is_estimate=True,
        )


def usage_in(content: bytes) -> TokenUsage | None:
    """The usage that a whole answer tells."""
    try:
        usage = _decode(content).usage
    except msgspec.MsgspecError:
        return None
    if usage is None:
        return None
    details, written = usage.prompt_tokens_details, usage.completion_tokens or 0
    return TokenUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=written,
        total_tokens=usage.prompt_tokens + written,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )


def _tokens(raw: msgspec.Raw) -> int:
    pieces = list(_pieces(msgspec.json.decode(raw)))
    pictures = sum(piece.startswith(_DATA) for piece in pieces)
    characters = sum(len(piece) for piece in pieces if not piece.startswith(_DATA))
    return math.ceil(characters / CHARACTERS_PER_TOKEN) + pictures * PICTURE_TOKENS


def _pieces(value: Any) -> Iterable[str]:
    """All texts in it; a number is a token, and stands for as many characters as one has."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int):
        yield " " * CHARACTERS_PER_TOKEN
    elif isinstance(value, list):
        for each in value:
            yield from _pieces(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _pieces(each)
