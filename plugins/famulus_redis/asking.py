"""Questions to a script in Redis. What is asked in one turn of the event loop goes there together.

To the client a question by itself, with its connection, its write and its wait for an answer,
costs as much as several that share these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from redis.asyncio import Redis

TOGETHER_MAX = 100
"""More go in several, so that answers to the first are there before the last is written."""


class _Question(NamedTuple):
    command: tuple[Any, ...]
    """Of EVALSHA, behind the script."""
    answer: asyncio.Future[Any]


class Asking:
    """Asks one script."""

    def __init__(self, client: Redis, script: str, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._script = client.register_script(script)
        self._waiting: list[_Question] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, keys: Sequence[str], arguments: Sequence[str]) -> list[Any]:
        """What the script answers. Raises TimeoutError, and what the client does where Redis is
        away."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append(_Question((len(keys), *keys, *arguments), answer))
        return await answer

    async def close(self) -> None:
        """Wait for no answer any more."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        # Who is gone meanwhile asks nothing.
        asked = [question for question in waiting if not question.answer.done()]
        for at in range(0, len(asked), TOGETHER_MAX):
            task = asyncio.create_task(self._answered(asked[at : at + TOGETHER_MAX]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _answered(self, questions: Sequence[_Question]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                answers = await self._asked([question.command for question in questions])
        except BaseException as error:  # Whatever it is, it is the answer to those who wait.
            for question in questions:
                _give(question.answer, error)
            if not isinstance(error, Exception):
                raise
            return
        for question, answer in zip(questions, answers, strict=True):
            _give(question.answer, answer)

    async def _asked(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        answers = await self._executed(commands)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # Redis was started anew, or told to forget scripts; nothing of these was done.
            await cast(Awaitable[Any], self._client.script_load(cast(str, self._script.script)))
            again = await self._executed([commands[at] for at in unknown])
            for at, answer in zip(unknown, again, strict=True):
                answers[at] = answer
        return answers

    async def _executed(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.evalsha(self._script.sha, *command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers


def _give(answer: asyncio.Future[Any], found: Any) -> None:
    if answer.done():
        return
    if isinstance(found, asyncio.CancelledError):
        answer.cancel()
    elif isinstance(found, BaseException):
        answer.set_exception(found)
    else:
        answer.set_result(found)
