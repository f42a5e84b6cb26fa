"""Events of a streamed chat to typed chunks: lenient in form, strict about how it ends."""

from __future__ import annotations

import msgspec

from famulus_http_models.frames import DONE, payloads
from famulus_http_models.refusals import fault_of_error
from famulus_schemas.inference import (
    BackendFault,
    ChatChunk,
    FinishReason,
    TokenUsage,
    ToolCallDelta,
)


class _Function(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, frozen=True, kw_only=True):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Details(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Chunk(msgspec.Struct, frozen=True, kw_only=True):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Chunk).decode

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class ChatReader:
    """Reads one answer. What went wrong with it is kept in `fault`, behind what came before."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._calls = _CallNumbers()
        self.is_finished = False
        self.is_done = False
        self.fault: BackendFault | None = None

    def read(self, events: bytes) -> list[ChatChunk]:
        """The chunks in these events, less those that add nothing."""
        chunks: list[ChatChunk] = []
        for payload in payloads(events):
            if payload == DONE:
                self.is_done = True
                break
            try:
                self._add(_decode(payload), payload, chunks)
            except (ValueError, RecursionError) as error:
                self.fault = self._broken(f"it sent an event that is no chat chunk: {error}")
            if self.fault:
                break
        return chunks

    def end(self) -> None:
        """The stream has ended: a whole answer has said why it stopped."""
        if not self.is_finished and self.fault is None:
            self.fault = self._broken("its answer ended without a finish_reason")

    def _add(self, chunk: _Chunk, payload: bytes, chunks: list[ChatChunk]) -> None:
        if chunk.choices is None and chunk.usage is None:
            self.fault = fault_of_error(payload, backend=self._backend)
            return
        usage = _usage(chunk.usage) if chunk.usage else None
        for choice in chunk.choices or ():
            if choice.index:
                continue
            self._add_choice(choice, usage, chunks)
            usage = None
        if usage:
            chunks.append(ChatChunk(usage=usage))

    def _add_choice(
        self, choice: _Choice, usage: TokenUsage | None, chunks: list[ChatChunk]
    ) -> None:
        delta = choice.delta or _NO_DELTA
        calls = self._calls.read(delta.tool_calls) if delta.tool_calls else ()
        reason = self._reason(choice.finish_reason) if choice.finish_reason else None
        reasoning = delta.reasoning_content or delta.reasoning or ""
        if delta.content or calls or reason or usage or reasoning or delta.refusal:
            chunks.append(
                ChatChunk(
                    content=delta.content or "",
                    refusal=delta.refusal or "",
                    reasoning=reasoning,
                    tool_calls=calls,
                    finish_reason=reason,
                    usage=usage,
                )
            )

    def _reason(self, reason: str) -> FinishReason | None:
        if reason in ("abort", "error"):
            self.fault = self._broken(f"it gave up in mid-answer (finish_reason {reason})")
            return None
        self.is_finished = True
        # A call that the request named ends in `stop` on vLLM, as on OpenAI's own servers.
        if reason == "stop" and self._calls.count:
            return "tool_calls"
        return _REASONS.get(reason, "stop")

    def _broken(self, message: str) -> BackendFault:
        return BackendFault("broken", message, backend=self._backend)


_NO_DELTA = _Delta()


def _usage(usage: _Usage) -> TokenUsage:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    details = usage.prompt_tokens_details
    return TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=usage.total_tokens or prompt + completion,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
    )


class _CallNumbers:
    """Numbers the calls of an answer: some servers leave the index out, or give every call 0."""

    def __init__(self) -> None:
        self._open: dict[int, _OpenCall] = {}
        self.count = 0

    def read(self, calls: list[_Call]) -> tuple[ToolCallDelta, ...]:
        return tuple(self._delta(call, place) for place, call in enumerate(calls))

    def _delta(self, call: _Call, place: int) -> ToolCallDelta:
        index = place if call.index is None else call.index
        function = call.function or _NO_FUNCTION
        known = self._open.get(index)
        if known is None or (call.id and function.name and call.id != known.id):
            known = self._open[index] = _OpenCall(number=self.count, id=call.id)
            self.count += 1
        else:
            call = _NO_CALL
        name = None if known.is_named else function.name
        known.is_named = known.is_named or bool(name)
        return ToolCallDelta(
            index=known.number, id=call.id, name=name, arguments=function.arguments or ""
        )


class _OpenCall(msgspec.Struct, kw_only=True):
    number: int
    id: str | None
    is_named: bool = False


_NO_CALL = _Call()
_NO_FUNCTION = _Function()
