"""What one answer of a model server took and used, told once it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from famulus import tracing
from famulus_models.catalog import Served
from famulus_schemas.inference import BackendFault, Endpoint, FaultKind, TokenUsage
from famulus_schemas.notices import BackendFailed, ModelAnswered

if TYPE_CHECKING:
    from famulus_schemas.notices import Notice

_KEYS = (b'"usage":{', b'"usage": {')


class _Details(msgspec.Struct):
    cached_tokens: int | None = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Told(msgspec.Struct):
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Told).decode


class Meter:
    """One answer, from the question to its end."""

    def __init__(
        self,
        served: Served,
        tell: Callable[[Notice], None],
        *,
        asked_for: str,
        endpoint: Endpoint = "chat/completions",
    ) -> None:
        self._served = served
        self._tell = tell
        self._asked_for = asked_for
        self._endpoint = endpoint
        self.span = tracing.child()
        """What the answer is part of, and its server is told."""
        self._fault: FaultKind | None = None
        self._now = asyncio.get_running_loop().time
        self._asked = self._now()
        self._first = 0.0
        self._usage: TokenUsage | None = None
        self.has_begun = False

    @property
    def usage(self) -> TokenUsage | None:
        """What was used so far, as far as the server tells it."""
        return self._usage

    def begin(self) -> None:
        """The first piece of the answer is there."""
        if not self.has_begun:
            self.has_begun = True
            self._first = self._now()

    def use(self, usage: TokenUsage) -> None:
        """So much was used so far."""
        self._usage = usage

    def see(self, item: bytes) -> None:
        """Look for usage in a piece of an answer that is passed on: a body, or some events."""
        self.begin()
        # Most pieces hold none, or one of null: nothing of them is decoded.
        if not any(key in item for key in _KEYS):
            return
        texts = item.split(b"\n\n") if item.startswith(b"data:") else [item]
        for text in texts:
            if any(key in text for key in _KEYS) and (
                usage := _usage_of(text.removeprefix(b"data:"))
            ):
                self._usage = usage

    def failed(self, fault: BackendFault) -> BackendFailed:
        """What to tell of a fault: of an answer that had begun, that it broke off is told later."""
        self._fault = fault.kind
        return BackendFailed(
            backend=self._served.card.backend,
            kind=fault.kind,
            endpoint=self._endpoint,
            asked_for=self._asked_for,
            seconds=self._now() - self._asked,
            span=None if self.has_begun else self.span,
        )

    def end(self) -> None:
        """The answer has ended, however it did; told where it had begun, and once."""
        if not self.has_begun:
            return
        self.has_begun = False
        usage = self._usage
        self._tell(
            ModelAnswered(
                backend=self._served.card.backend,
                model=self._served.card.id,
                seconds=self._now() - self._asked,
                first_s=self._first - self._asked,
                endpoint=self._endpoint,
                asked_for=self._asked_for,
                fault=self._fault,
                span=self.span,
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
                cached_tokens=usage.cached_tokens if usage else 0,
            )
        )


def _usage_of(text: bytes) -> TokenUsage | None:
    try:
        usage = _decode(text).usage
    except msgspec.MsgspecError:
        # What a client is sent is not ours to judge.
        return None
    if usage is None:
        return None
    details = usage.prompt_tokens_details
    return TokenUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )
