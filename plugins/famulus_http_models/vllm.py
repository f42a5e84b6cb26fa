"""vLLM: its tokenizer, its priorities, and how to recognise it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from famulus_http_models.dialect import Caller, plain_roles, streamed
from famulus_schemas.inference import BackendFault, ChatRequest, OfferedTool, PromptMessage


class _Version(msgspec.Struct):
    version: str


class _Count(msgspec.Struct):
    count: int


class _Text(msgspec.Struct):
    model: str
    prompt: str
    add_special_tokens: bool = False


class _Chat(msgspec.Struct, omit_defaults=True):
    model: str
    messages: Sequence[PromptMessage]
    tools: Sequence[OfferedTool] | None = None


class VllmDialect:
    """vLLM's own server."""

    name = "vllm"

    def __init__(self, count_calls_max: int) -> None:
        self._count_calls_max = count_calls_max

    def chat_body(self, request: ChatRequest) -> bytes:
        """The body; everything that a chat request can hold is vLLM's too."""
        return streamed(
            msgspec.json.encode(msgspec.structs.replace(request, messages=plain_roles(request)))
        )

    async def count_tokens(self, caller: Caller, model: str, texts: Sequence[str]) -> list[int]:
        """One call a text, some of them at once. Raises BackendFault."""
        gate = asyncio.Semaphore(self._count_calls_max)

        async def count(text: str) -> int:
            async with gate:
                return await _tokenize(caller, _Text(model=model, prompt=text))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(count(text)) for text in texts]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def count_prompt(
        self,
        caller: Caller,
        model: str,
        messages: Sequence[PromptMessage],
        tools: Sequence[OfferedTool] | None = None,
    ) -> int:
        """Tokens of a whole prompt, with what the chat template adds. Raises BackendFault."""
        return await _tokenize(caller, _Chat(model=model, messages=messages, tools=tools))


async def speaks_vllm(caller: Caller) -> bool:
    """Whether the server is vLLM: it tells its version beside its API. Raises BackendFault."""
    try:
        msgspec.json.decode(await caller.ask_own("/version", None), type=_Version)
    except BackendFault as fault:
        if fault.kind in ("unreachable", "timeout", "overloaded"):
            raise
        return False
    except ValueError:
        return False
    return True


async def _tokenize(caller: Caller, question: _Text | _Chat) -> int:
    answer = await caller.ask_own("/tokenize", msgspec.json.encode(question))
    try:
        return msgspec.json.decode(answer, type=_Count).count
    except ValueError as error:
        raise BackendFault(
            "broken", f"its /tokenize answered no count: {error}", backend=caller.name
        ) from error
