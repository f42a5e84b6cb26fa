"""An event loop in virtual time, and processes in it that can be frozen or killed.

Nothing sleeps: when no callback is ready, the clock jumps to the next timer. Callbacks run in the
order in which they became ready, so the same program takes the same way every time.

Each callback belongs to the process in whose context it was made. Those of a process that is
stopped are laid aside instead of run: what a pause does to a real one, and, where it never goes
on, a kill.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


_CALLBACKS_TO_END = 1_000_000
"""Left to tasks that are cancelled at the end, however many the work had taken."""


class Stuck(Exception):
    """Nothing will ever happen again, or no time passes any more."""


class Handle:
    """A callback that is to be run once."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Do not run it."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it will not be run."""
        return self.is_cancelled


class Process:
    """Callbacks that stop and go on together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_stopped = False
        self.context = copy_context()
        self.context.run(PROCESS.set, self)
        self.laid_aside: list[Handle] = []

    def __repr__(self) -> str:
        return self.name


if TYPE_CHECKING:
    _Loop = object  # of the many methods of a loop, this one has those that are asked for here
else:
    _Loop = asyncio.AbstractEventLoop


class VirtualLoop(_Loop):
    """Runs coroutines of all processes, one callback after the other."""

    def __init__(self, *, callbacks_max: int = 2_000_000) -> None:
        self._now = 0.0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._timers_made = 0
        self._left = callbacks_max
        self._is_running = False
        self.tasks: list[tuple[asyncio.Task[Any], Process | None]] = []
        """Every task that is not done. Held here, so that no killed one is collected midway."""
        self._tasks_kept_max = 64
        self.complaints: list[dict[str, Any]] = []
        """What would have been logged as an error of asyncio's."""

    @property
    def _as_loop(self) -> Any:
        return self

    # --- running ------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, then end whatever is left."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        events._set_running_loop(self._as_loop)
        self._is_running = True
        try:
            return self._until_done(self.create_task(main))
        finally:
            self._end_all()
            self._is_running = False
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _until_done(self, task: asyncio.Future[T]) -> T:
        ready = self._ready
        while not task.done():
            if not ready:
                self._jump()
            handle = ready.popleft()
            if handle.is_cancelled:
                continue
            process = handle.context.get(PROCESS)
            if process is not None and process.is_stopped:
                process.laid_aside.append(handle)
                continue
            self._left -= 1
            if self._left < 0:
                ready.appendleft(handle)
                self._left = _CALLBACKS_TO_END
                raise Stuck(f"still busy at {self._now:.3f} s")
            handle.context.run(handle.callback, *handle.args)
        return task.result()

    def _jump(self) -> None:
        """Let the time of the next timer come."""
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stuck(f"nothing will happen after {self._now:.3f} s")
        self._now = timers[0][0]
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

    def start(self, process: Process | None, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine in a process, or in none."""
        context = copy_context() if process is None else process.context.copy()
        self.create_task(coroutine, context=context)

    def resume(self, process: Process) -> None:
        """Let a stopped process go on; all that it missed happens to it now."""
        process.is_stopped = False
        self._ready.extend(process.laid_aside)
        process.laid_aside.clear()

    def _end_all(self) -> None:
        """Cancel every task, of dead processes too, until there is none."""
        while self._prune():
            for task, process in self.tasks:
                task.cancel()
                if process is not None:
                    self.resume(process)
            self._until_done(
                asyncio.gather(*(task for task, _ in self.tasks), return_exceptions=True)
            )

    def _prune(self) -> int:
        """Let go of tasks that are done; how many are not."""
        self.tasks = [each for each in self.tasks if not each[0].done()]
        self._tasks_kept_max = 2 * len(self.tasks) + 64
        return len(self.tasks)

    # --- what asyncio asks of a loop ------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        handle = Handle(callback, args, context if context is not None else copy_context())
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> Any:
        handle = Handle(callback, args, context if context is not None else copy_context())
        self._timers_made += 1
        heapq.heappush(self._timers, (max(when, self._now), self._timers_made, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._as_loop)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self._as_loop, name=name, context=context)
        process = PROCESS.get() if context is None else context.get(PROCESS)
        self.tasks.append((task, process))
        if len(self.tasks) > self._tasks_kept_max:
            self._prune()
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(context)

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        self.create_task(generator.aclose())
