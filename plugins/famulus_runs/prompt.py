"""A thread as the model is shown it: instructions, the newest messages that fit, this run's turns.

`auto` truncation keeps the instructions and the newest messages and drops the oldest between
them; `last_messages` keeps that many. Tokens are counted by the model's own tokenizer where its
backend has one, once for each message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from famulus_runs.arguments import shown_arguments
from famulus_runs.engine import PromptTooLong
from famulus_runs.settings import RunSettings
from famulus_runs.toolbox import Toolbox
from famulus_runs.turns import Turn
from famulus_schemas.formats import ResponseFormatText
from famulus_schemas.inference import (
    CalledFunction,
    CalledTool,
    ChatRequest,
    ImageContent,
    ImageUrl,
    Inference,
    PromptMessage,
    TextContent,
)
from famulus_schemas.messages import (
    ImageFileContentBlock,
    ImageURLContentBlock,
    Message,
    RefusalContentBlock,
    TextContentBlock,
)
from famulus_schemas.ports import Threads
from famulus_schemas.runs import Run, RunUsage
from famulus_schemas.tools import FunctionToolChoice

MESSAGE_TOKENS = 4
"""What a chat template adds around one message, about; templates differ by one or two."""

COUNTS_KEPT_MAX = 50_000

Prepare = Callable[[Run, list[PromptMessage]], Awaitable[list[PromptMessage]]]


class TokenCounts:
    """Token counts of messages that do not change, by model and message."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._kept: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def of_message(self, model: str, message: Message, text: str) -> int:
        """Tokens of a stored message."""
        key = (model, message.id)
        if key not in self._kept:
            self._kept[key] = await self.of_text(model, text)
            if len(self._kept) > COUNTS_KEPT_MAX:
                self._kept.popitem(last=False)
        return self._kept[key]

    async def of_text(self, model: str, text: str) -> int:
        """Tokens of a text with what a template adds around it."""
        counted = await self._inference.count_tokens(model, [text])
        return counted.counts[0] + MESSAGE_TOKENS


class ThreadPrompter:
    """Makes the requests of one project's run."""

    def __init__(
        self,
        *,
        project: str,
        threads: Threads,
        inference: Inference,
        counts: TokenCounts,
        settings: RunSettings,
        prepare: Prepare,
        reasoning_effort: str | None = None,
    ) -> None:
        self._project = project
        self._threads = threads
        self._inference = inference
        self._counts = counts
        self._settings = settings
        self._prepare = prepare
        self._reasoning_effort = reasoning_effort
        self._history: list[PromptMessage] | None = None

    async def request(
        self, run: Run, toolbox: Toolbox, turns: Sequence[Turn], spent: RunUsage
    ) -> ChatRequest:
        """What to ask the model now. Raises PromptTooLong."""
        if self._history is None:
            self._history = await self._read(run, toolbox, spent)
        messages = [*_system(run), *self._history, *_of_turns(turns)]
        messages = await self._prepare(run, messages)
        return ChatRequest(
            model=run.model,
            messages=tuple(messages),
            tools=toolbox.offered(),
            tool_choice=_tool_choice(run, toolbox, turns),
            parallel_tool_calls=_parallel_tool_calls(run, toolbox),
            response_format=_response_format(run),
            reasoning_effort=self._reasoning_effort,
            temperature=run.temperature,
            top_p=run.top_p,
            max_tokens=_left(run.max_completion_tokens, spent.completion_tokens),
        )

    async def _read(self, run: Run, toolbox: Toolbox, spent: RunUsage) -> list[PromptMessage]:
        strategy = run.truncation_strategy
        last = strategy.last_messages if strategy else None
        room = await self._room(run, toolbox, spent)
        limit = self._settings.prompt_messages_max
        count_max = min(last or limit, limit)
        kept: list[PromptMessage] = []
        async with aclosing(self._earlier(run)) as newest_first:
            async for message in newest_first:
                shown = _shown(message)
                if shown is None:
                    continue
                room -= await self._counts.of_message(run.model, message, _text_of(shown))
                if room < 0:
                    break
                kept.append(shown)
                if len(kept) >= count_max:
                    break
        if room < 0 and not kept:
            raise PromptTooLong
        kept.reverse()
        return kept

    async def _earlier(self, run: Run) -> AsyncGenerator[Message, None]:
        """What was said before this run; its own messages are told by its turns."""
        async for message in self._threads.history(self._project, run.thread_id, run_id=run.id):
            yield message

    async def _room(self, run: Run, toolbox: Toolbox, spent: RunUsage) -> int:
        """Tokens that the thread's messages may take."""
        card = await self._inference.find(run.model)
        context = card.context_tokens or self._settings.context_tokens_default
        reserved = run.max_completion_tokens or self._settings.answer_tokens_reserved
        room = context - min(reserved, context // 2)
        if run.max_prompt_tokens is not None:
            room = min(room, run.max_prompt_tokens - spent.prompt_tokens)
        fixed = run.instructions
        offered = toolbox.offered()
        if offered:
            fixed += msgspec.json.encode(offered).decode()
        return room - (await self._counts.of_text(run.model, fixed) if fixed else 0)


def _system(run: Run) -> list[PromptMessage]:
    return [PromptMessage(role="system", content=run.instructions)] if run.instructions else []


def _shown(message: Message) -> PromptMessage | None:
    """A stored message as the model is shown it; None where there is nothing to show."""
    parts: list[TextContent | ImageContent] = []
    for block in message.content:
        match block:
            case TextContentBlock():
                parts.append(TextContent(text=block.text.value))
            case RefusalContentBlock():
                parts.append(TextContent(text=block.refusal))
            case ImageURLContentBlock():
                image = ImageUrl(url=block.image_url.url, detail=block.image_url.detail)
                parts.append(ImageContent(image_url=image))
            case ImageFileContentBlock():
                parts.append(TextContent(text=f"[image file {block.image_file.file_id}]"))
    if not any(isinstance(part, ImageContent) or part.text for part in parts):
        return None
    texts = [part.text for part in parts if isinstance(part, TextContent)]
    if len(texts) == len(parts):
        return PromptMessage(role=message.role, content="\n".join(texts))
    return PromptMessage(role=message.role, content=tuple(parts))


def _text_of(message: PromptMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or ()
    return "\n".join(part.text for part in parts if isinstance(part, TextContent))


def _of_turns(turns: Sequence[Turn]) -> list[PromptMessage]:
    """What happened in this run so far, a tool call never without its result."""
    messages = []
    for turn in turns:
        calls = tuple(
            CalledTool(
                id=call.id,
                function=CalledFunction(name=call.name, arguments=shown_arguments(call.arguments)),
            )
            for call in turn.calls
        )
        messages.append(
            PromptMessage(role="assistant", content=turn.content or None, tool_calls=calls or None)
        )
        messages += [
            PromptMessage(role="tool", content=turn.outputs[call.id], tool_call_id=call.id)
            for call in turn.calls
        ]
    return messages


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


def _left(limit: int | None, spent: int) -> int | None:
    return None if limit is None else max(1, limit - spent)
