"""What a model is asked: instructions, what was said on the thread, this run's own turns.

Whatever does not fit is left out in whole turns, the oldest first; what was asked last and the
newest turn of the run stay. What fits is judged anew at each request, because the run's own turns
take room too. Tokens are counted by the model's own tokenizer where its backend has one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from famulus.log import Log
from famulus_runs.answer import Prompt
from famulus_runs.attached import AttachedFiles
from famulus_runs.engine import AttachedInVain, PromptTooLong
from famulus_runs.fetched_images import FetchedImages
from famulus_runs.history import Piece, Said, ThreadHistory
from famulus_runs.images import Images
from famulus_runs.settings import RunSettings
from famulus_runs.showing import shown_calls
from famulus_runs.token_counts import TokenCounts
from famulus_runs.toolbox import Toolbox
from famulus_runs.turns import Turn
from famulus_schemas.formats import ResponseFormatText
from famulus_schemas.inference import ChatRequest, Inference, ModelCard, PromptMessage
from famulus_schemas.ports import Files, Threads
from famulus_schemas.records import Records
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.tools import FunctionToolChoice

Prepare = Callable[[Run, list[PromptMessage]], Awaitable[list[PromptMessage]]]


class ThreadPrompter:
    """Makes the requests of one run."""

    def __init__(
        self,
        *,
        records: Records,
        threads: Threads,
        inference: Inference,
        counts: TokenCounts,
        settings: RunSettings,
        prepare: Prepare,
        log: Log,
        files: Files | None = None,
        fetched: FetchedImages | None = None,
        reasoning_effort: str | None = None,
    ) -> None:
        self._history = ThreadHistory(
            records=records,
            threads=threads,
            counts=counts,
            settings=settings,
            attached=AttachedFiles(files, records.project),
        )
        self._images = Images(
            project=records.project, files=files, fetched=fetched, settings=settings
        )
        self._project = records.project
        self._inference = inference
        self._counts = counts
        self._settings = settings
        self._prepare = prepare
        self._log = log
        self._reasoning_effort = reasoning_effort
        self._said: Said | None = None
        self._own: list[Piece] = []
        """The run's own turns, as far as they were counted."""
        self._fixed_tokens: int | None = None
        self._card: ModelCard | None = None
        """Of the model, once the fixed tokens are known."""
        self._room_max: int | None = None
        """What the model's server has shown to be too much, halved."""

    async def request(
        self,
        run: Run,
        toolbox: Toolbox,
        turns: Sequence[Turn],
        spent: RunUsage,
        *,
        refused: Prompt | None = None,
    ) -> Prompt:
        """What to ask the model now. Raises PromptTooLong, PromptRefused or AttachedInVain."""
        fixed = await self._fixed(run, toolbox)
        room = self._room(run, spent) - fixed
        await self._count(run, turns)
        if self._said is None:
            names_files = toolbox.offers_of("code_interpreter")
            self._said = await self._history.read(run, room, names_files=names_files)
            self._hold_attachments(run, toolbox.unserved_of(self._said.attached_for))
        if refused is not None:
            self._room_max = (refused.tokens - fixed) // 2
        kept = _that_fit(self._said, self._own, room, self._room_max)
        tokens = fixed + sum(piece.tokens for piece in kept)
        shown = [message for piece in kept for message in piece.messages]
        assert self._card is not None
        asked = [message for piece in self._said.newest for message in piece.messages]
        shown = await self._images.shown(shown, self._card, run_id=run.id, asked=asked)
        messages = await self._prepare(run, [*_system(run, toolbox), *shown])
        request = ChatRequest(
            model=run.model,
            messages=tuple(messages),
            tools=toolbox.offered(),
            tool_choice=_tool_choice(run, toolbox, turns),
            parallel_tool_calls=_parallel_tool_calls(run, toolbox),
            response_format=_response_format(run),
            reasoning_effort=self._reasoning_effort,
            temperature=run.temperature,
            top_p=run.top_p,
            max_tokens=self._answer_tokens(run, spent, tokens, is_tight=refused is not None),
        )
        prompt = Prompt(request=request, tokens=tokens)
        if refused is not None and prompt.without_images().request == refused.request:
            raise PromptTooLong
        return prompt

    def _hold_attachments(self, run: Run, unserved: Sequence[str]) -> None:
        """Refuse files attached for tools that nobody runs, or log that they are ignored."""
        if not unserved:
            return
        if self._settings.unserved_tools == "fail":
            raise AttachedInVain(unserved)
        self._log.info("attachments_ignored", run=run.id, tools=list(unserved))

    async def _count(self, run: Run, turns: Sequence[Turn]) -> None:
        """Count the turns that are new since the last request; earlier ones do not change."""
        new = turns[len(self._own) :]
        shown = [shown_calls(turn.content, turn.calls, turn.outputs) for turn in new]
        # By a call's id, so that who takes the run up after its client need not count anew.
        ids = [f"{run.id}/{turn.calls[0].id if turn.calls else turn.content}" for turn in new]
        counts = await self._counts.of_lasting(
            run.model, self._project, list(zip(ids, shown, strict=True))
        )
        for messages, tokens in zip(shown, counts, strict=True):
            self._own.append(Piece(messages=tuple(messages), tokens=tokens))

    async def _fixed(self, run: Run, toolbox: Toolbox) -> int:
        """Tokens of what every request of the run holds, its instructions and tools."""
        if self._fixed_tokens is None:
            self._card = await self._inference.find(run.model)
            fixed = _system(run, toolbox)
            if offered := toolbox.offered():
                text = msgspec.json.encode(offered).decode()
                fixed.append(PromptMessage(role="system", content=text))
            (self._fixed_tokens,) = await self._counts.of_lasting(
                run.model, self._project, [(run.id, fixed)]
            )
        return self._fixed_tokens

    @property
    def _context_tokens(self) -> int | None:
        """As the model's server says; None where it does not."""
        return None if self._card is None else self._card.context_tokens

    def _room(self, run: Run, spent: RunUsage) -> int:
        """Tokens that a prompt may have now."""
        context = self._context_tokens or self._settings.context_tokens_default
        reserved = run.max_completion_tokens or self._settings.answer_tokens_reserved
        room = context - min(reserved, context // 2)
        if run.max_prompt_tokens is None:
            return room
        return min(room, run.max_prompt_tokens - spent.prompt_tokens)

    def _answer_tokens(
        self, run: Run, spent: RunUsage, prompt_tokens: int, *, is_tight: bool
    ) -> int | None:
        """The limit of the answer; many servers refuse one that the context cannot hold."""
        if run.max_completion_tokens is None:
            return None
        left = run.max_completion_tokens - spent.completion_tokens
        assert left > 0, "a run that may not write any more asks nothing"
        if is_tight:
            left = min(left, self._settings.answer_tokens_reserved)
        if self._context_tokens is None:
            return left
        return min(left, max(1, self._context_tokens - prompt_tokens))


def _that_fit(said: Said, own: Sequence[Piece], room: int, room_max: int | None) -> list[Piece]:
    """What is shown, in its order. Raises PromptTooLong where even the newest is too much.

    The newest of what was asked and the newest of the run's own turns are shown in any case;
    then, from new to old, what else was asked, the run's turns, and the thread's.
    """
    asked = said.newest
    newest = [*asked[-1:], *own[-1:]]
    room -= sum(piece.tokens for piece in newest)
    if room < 0:
        raise PromptTooLong
    if room_max is not None:
        room = min(room, room_max - sum(piece.tokens for piece in newest))
    kept_asked, room = _newest(asked[:-1], room)
    kept_own, room = _newest(own[:-1], room)
    # In between would be a gap otherwise.
    is_whole = len(kept_asked) == len(asked[:-1]) and len(kept_own) == len(own[:-1])
    kept_turns, room = _newest(said.turns if is_whole else (), room)
    return [*kept_turns, *kept_asked, *asked[-1:], *kept_own, *own[-1:]]


def _newest(pieces: Sequence[Piece], room: int) -> tuple[Sequence[Piece], int]:
    """As many as fit of the newest, and the room that is left."""
    first = len(pieces)
    while first and pieces[first - 1].tokens <= room:
        first -= 1
        room -= pieces[first].tokens
    return pieces[first:], room


def _system(run: Run, toolbox: Toolbox) -> list[PromptMessage]:
    """The run's instructions, then what its tools have to say."""
    text = "\n\n".join(part for part in (run.instructions, *toolbox.instructions) if part)
    return [PromptMessage(role="system", content=text)] if text else []


def _tool_choice(run: Run, toolbox: Toolbox, turns: Sequence[Turn]) -> str | dict[str, Any] | None:
    """The run's choice for its first answer; after it the model must be free to stop calling."""
    choice = run.tool_choice
    if turns or not toolbox.offers or choice in (None, "auto"):
        return None
    if choice == "required":
        return "required"
    if isinstance(choice, FunctionToolChoice):
        return {"type": "function", "function": {"name": choice.function.name}}
    wanted = msgspec.to_builtins(choice)["type"]
    for name, offer in toolbox.offers.items():
        if offer.kind.type == wanted:
            return {"type": "function", "function": {"name": name}}
    return None


def _parallel_tool_calls(run: Run, toolbox: Toolbox) -> bool | None:
    """Said only where it is not the default, and where there is something to call."""
    return False if toolbox.offers and not run.parallel_tool_calls else None


def _response_format(run: Run) -> dict[str, Any] | None:
    if run.response_format in (None, "auto") or isinstance(run.response_format, ResponseFormatText):
        return None
    format: dict[str, Any] = msgspec.to_builtins(run.response_format)
    return format
