"""Runs a blocking function beside the event loop, in a thread of its own.

Not in a pool: a function that never returns must cost only its own place, and a daemon thread
does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[[], T], *, name: str, ended: Callable[[], None]) -> T:
    """What the function gives or raises; `ended` is called when it truly has ended.

    Whoever stops waiting does not stop the function.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def finish(result: T | None, error: BaseException | None) -> None:
        ended()
        if not outcome.done():
            outcome.set_result((result, error))

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = context.run(function)
        except BaseException as raised:  # Whoever waits is who must hear of it.
            error = raised
        # The loop is closed where the server has stopped meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, result, error)

    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:
        ended()
        raise
    result, error = await outcome
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # There is a result where there is no error.
