"""Tool calls that a model writes as text: taken out of the text while it streams.

Text is held back only while it may still become a call of an offered function. What turns out to
be none goes on unchanged; what a model says after its calls, without their results, is dropped.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence

from msgspec.structs import replace

from famulus_runs.text_scan import Piece, TextScan
from famulus_schemas.inference import ChatChunk, ToolCallDelta


async def with_textual_calls(
    answer: AsyncIterator[Sequence[ChatChunk]],
    *,
    names: Collection[str],
    lookahead_chars: int,
    call_chars_max: int,
) -> AsyncGenerator[Sequence[ChatChunk], None]:
    """The answer, with calls of these functions that are written as text made calls.

    Closing it closes the answer.
    """
    reading = _Reading(TextScan(names, lookahead_chars, call_chars_max))
    try:
        async for chunks in answer:
            if taken := reading.take(chunks):
                yield taken
        if left := reading.end():
            yield left
    finally:
        close = getattr(answer, "aclose", None)
        if close is not None:
            await close()


class _Reading:
    """Maps chunks to chunks."""

    def __init__(self, scan: TextScan) -> None:
        self._scan = scan
        self._calls = 0
        self._is_over = False

    def take(self, chunks: Sequence[ChatChunk]) -> Sequence[ChatChunk]:
        """What arrived together, less what is held back, and with what no longer is."""
        taken: list[ChatChunk] = []
        for chunk in chunks:
            taken += self._take(chunk)
        return taken

    def end(self) -> list[ChatChunk]:
        """What is left where the answer ends without a finish reason."""
        return [] if self._is_over else self._chunks(self._finish(is_cut=False))

    def _take(self, chunk: ChatChunk) -> list[ChatChunk]:
        pieces: list[Piece] = [chunk.content] if chunk.content else []
        if not self._is_over:
            pieces = self._scan.feed(chunk.content)
            if chunk.tool_calls:
                pieces += self._native()
            elif chunk.finish_reason is not None:
                pieces += self._finish(is_cut=chunk.finish_reason == "length")
        if pieces == [chunk.content]:
            return [self._shifted(chunk)]
        return [*self._chunks(pieces), *self._rest(chunk)]

    def _native(self) -> list[Piece]:
        """The model's server parses calls itself: nothing that follows is looked at."""
        self._is_over = True
        left = self._scan.end(is_cut=True)
        # Blank lines before a call are no message.
        return [piece for piece in left if not isinstance(piece, str) or piece.strip()]

    def _finish(self, *, is_cut: bool) -> list[Piece]:
        self._is_over = True
        return self._scan.end(is_cut=is_cut)

    def _rest(self, chunk: ChatChunk) -> list[ChatChunk]:
        """The chunk without its text; nothing where nothing is left."""
        rest = self._shifted(replace(chunk, content=""))
        return [rest] if rest != ChatChunk() else []

    def _shifted(self, chunk: ChatChunk) -> ChatChunk:
        if not self._calls:
            return chunk
        if chunk.finish_reason == "stop":
            chunk = replace(chunk, finish_reason="tool_calls")
        calls = tuple(replace(call, index=call.index + self._calls) for call in chunk.tool_calls)
        return replace(chunk, tool_calls=calls)

    def _chunks(self, pieces: Sequence[Piece]) -> list[ChatChunk]:
        chunks = []
        for piece in pieces:
            if isinstance(piece, str):
                chunks.append(ChatChunk(content=piece))
                continue
            delta = ToolCallDelta(index=self._calls, name=piece.name, arguments=piece.arguments)
            chunks.append(ChatChunk(tool_calls=(delta,)))
            self._calls += 1
        return chunks
