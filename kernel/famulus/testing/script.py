"""What a scripted model says, turn by turn, and where it waits or fails.

    Script().calls(tool("lookup", {"city": "Oslo"})).says("It rains in Oslo.")

Each method that names an answer adds a turn; each that describes one changes the last turn. A
script never changes: every method returns a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import msgspec

from famulus.testing.faults import ScriptedFault
from famulus_schemas.inference import ChatChunk, FinishReason, TokenUsage, ToolCallDelta

BEFORE_HEADERS = -1
"""A place in an answer: before anything of it is sent."""

_WORD = re.compile(r"\s*\S+|\s+")


class Waitable(Protocol):
    """An event of asyncio or anyio."""

    async def wait(self) -> Any:
        """Return once the event is set."""
        ...


class ScriptedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call that the model makes."""

    name: str
    arguments: str
    id: str | None = None
    """Made from the number of the request where it is None."""


def tool(
    name: str, arguments: Mapping[str, Any] | str = "{}", *, id: str | None = None
) -> ScriptedCall:
    """A call to script. Arguments given as text are sent as they stand, valid or not."""
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return ScriptedCall(name=name, arguments=text, id=id)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the model."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[ScriptedCall, ...] = ()
    pieces: tuple[str, ...] | None = None
    """How the text is cut; a word at a time where it is None."""
    endless: bool = False
    argument_chars: int | None = None
    interleaved: bool = False
    together: int = 1
    finish_reason: FinishReason | None = None
    usage: TokenUsage | None = None
    """Counted by the backend where it is None."""
    sends_usage: bool = True
    sends_done: bool = True
    nulls: bool = False
    wire_bytes: int | None = None
    pause_s: float = 0.0
    waits: tuple[tuple[int, Waitable], ...] = ()
    fault: ScriptedFault | None = None
    fault_after: int = 0

    @property
    def ends_with(self) -> FinishReason:
        """The finish reason: as scripted, or by whether there are calls."""
        return self.finish_reason or ("tool_calls" if self.calls else "stop")

    def chunks(self, request_number: int) -> Iterator[ChatChunk]:
        """The answer in the pieces in which it streams, less finish reason and usage."""
        yield from (ChatChunk(reasoning=piece) for piece in words(self.reasoning))
        yield from (ChatChunk(content=piece) for piece in self._text_pieces())
        yield from (ChatChunk(refusal=piece) for piece in words(self.refusal))
        for delta in self._call_deltas(request_number):
            yield ChatChunk(tool_calls=(delta,))

    def waits_at(self, place: int) -> Iterator[Waitable]:
        """What the answer waits for once `place` chunks were sent."""
        return (event for at, event in self.waits if at == place)

    def waits_from(self, place: int) -> Iterator[Waitable]:
        """What the answer still waits for once all of its `place` chunks were sent."""
        return (event for at, event in self.waits if at >= place)

    def stops_at(self, place: int) -> bool:
        """Whether it waits or fails there, so that what was gathered must go out first."""
        fails = self.fault is not None and self.fault_after == place
        return fails or any(at == place for at, _ in self.waits)

    def _text_pieces(self) -> Iterator[str]:
        pieces = self.pieces if self.pieces is not None else words(self.text)
        yield from pieces
        while self.endless:
            yield from pieces

    def _call_deltas(self, request_number: int) -> Iterator[ToolCallDelta]:
        rows = [self._one_call(index, request_number) for index in range(len(self.calls))]
        if not self.interleaved:
            for row in rows:
                yield from row
            return
        for at in range(max((len(row) for row in rows), default=0)):
            yield from (row[at] for row in rows if at < len(row))

    def _one_call(self, index: int, request_number: int) -> list[ToolCallDelta]:
        call = self.calls[index]
        id = call.id or f"call_{request_number}_{index}"
        if self.argument_chars is None:
            return [ToolCallDelta(index=index, id=id, name=call.name, arguments=call.arguments)]
        step = self.argument_chars
        cuts = [call.arguments[at : at + step] for at in range(0, len(call.arguments), step)]
        return [
            ToolCallDelta(index=index, id=id, name=call.name),
            *(ToolCallDelta(index=index, arguments=cut) for cut in cuts),
        ]


def words(text: str) -> tuple[str, ...]:
    """The text cut before each space, so that the pieces joined are the text again."""
    return tuple(_WORD.findall(text))


class Script:
    """Turns, in the order in which requests get them."""

    def __init__(self, turns: tuple[Turn, ...] = (), *, repeats_last: bool = False) -> None:
        self.turns = turns
        self.repeats_last = repeats_last

    # -- each adds a turn --

    def says(self, text: str) -> Script:
        """Answer with a text."""
        return self._with(Turn(text=text))

    def calls(self, *calls: ScriptedCall) -> Script:
        """Answer with tool calls; several are parallel."""
        return self._with(Turn(calls=calls))

    def refuses(self, refusal: str) -> Script:
        """Answer with a refusal."""
        return self._with(Turn(refusal=refusal))

    def fails(self, fault: ScriptedFault) -> Script:
        """Fail instead of an answer, before anything of one is sent."""
        return self._with(Turn(fault=fault, fault_after=BEFORE_HEADERS))

    def then(self, turn: Turn) -> Script:
        """Answer with a turn written out in full."""
        return self._with(turn)

    # -- each changes the last turn --

    def and_calls(self, *calls: ScriptedCall) -> Script:
        """Make tool calls after the text, in the same answer."""
        return self._changed(calls=calls)

    def thinks(self, reasoning: str) -> Script:
        """Send reasoning before the text."""
        return self._changed(reasoning=reasoning)

    def in_pieces(self, *pieces: str) -> Script:
        """Cut the text so; joined, the pieces need not be what was given before."""
        return self._changed(pieces=pieces, text="".join(pieces))

    def cut_by(self, chars: int) -> Script:
        """Cut text, or arguments where the turn has calls, into pieces of `chars` characters."""
        turn = self._last()
        if turn.calls:
            return self._changed(argument_chars=chars)
        cuts = tuple(turn.text[at : at + chars] for at in range(0, len(turn.text), chars))
        return self._changed(pieces=cuts)

    def interleaved(self) -> Script:
        """Send the pieces of parallel calls by turns."""
        return self._changed(interleaved=True)

    def together(self, chunks: int) -> Script:
        """Deliver so many chunks at once."""
        return self._changed(together=chunks)

    def without_end(self) -> Script:
        """Say the text again and again until the client leaves."""
        return self._changed(endless=True)

    def finishes(self, reason: FinishReason) -> Script:
        """Give this finish reason."""
        return self._changed(finish_reason=reason)

    def uses(self, prompt: int, completion: int, *, cached: int = 0) -> Script:
        """Report these tokens."""
        usage = TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cached_tokens=cached,
        )
        return self._changed(usage=usage)

    def without_usage(self) -> Script:
        """Report no tokens, even if asked."""
        return self._changed(sends_usage=False)

    def without_done(self) -> Script:
        """End the stream without `[DONE]` (over HTTP)."""
        return self._changed(sends_done=False)

    def with_nulls(self) -> Script:
        """Spell out what is absent as null, such as `tool_calls` (over HTTP)."""
        return self._changed(nulls=True)

    def in_writes_of(self, size_bytes: int) -> Script:
        """Cut the stream at any byte, even inside a character (over HTTP)."""
        return self._changed(wire_bytes=size_bytes)

    def pauses(self, pause_s: float) -> Script:
        """Sleep before each chunk, by the backend's `sleep`."""
        return self._changed(pause_s=pause_s)

    def waits_for(self, event: Waitable, *, after: int = 0) -> Script:
        """Wait for the event once `after` chunks were sent; BEFORE_HEADERS for before all."""
        return self._changed(waits=(*self._last().waits, (after, event)))

    def breaks(self, fault: ScriptedFault, *, after: int = 0) -> Script:
        """Fail once `after` chunks were sent, or after the last where there are fewer."""
        return self._changed(fault=fault, fault_after=after)

    def forever(self) -> Script:
        """Answer every further request with the last turn."""
        self._last()
        return Script(self.turns, repeats_last=True)

    def _with(self, turn: Turn) -> Script:
        return Script((*self.turns, turn), repeats_last=self.repeats_last)

    def _changed(self, **changes: Any) -> Script:
        changed = msgspec.structs.replace(self._last(), **changes)
        return Script((*self.turns[:-1], changed), repeats_last=self.repeats_last)

    def _last(self) -> Turn:
        if not self.turns:
            raise ValueError("the script has no turn yet; begin with says, calls, refuses or fails")
        return self.turns[-1]
