"""One plugin, from found to stopped: its state, with a reason, and its lifespan in a task.

In a task of its own, because what a lifespan opens (a task group, a session) must be closed by the
task that opened it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from famulus.hooks import HookError
from famulus.mistakes import ConfigError
from famulus.plugin import CannotStart

if TYPE_CHECKING:
    from famulus.discover import Found
    from famulus.plugin import Plugin, Settings
    from famulus.services import PluginServices
    from famulus_schemas.ports import Port


class State(StrEnum):
    """Where a plugin is in its life."""

    DISABLED = "disabled"
    OFF = "off"
    LOADED = "loaded"
    RUNNING = "running"
    BLOCKED = "blocked"
    FAILED = "failed"
    STOPPED = "stopped"


class BootError(Exception):
    """The server cannot start with this configuration; the message is for its operator."""


class Slot:
    """One plugin and how it is."""

    def __init__(self, found: Found) -> None:
        self.name = found.name
        self.source = found.source
        self.found = found
        self.state = State.LOADED
        self.reason = ""
        self.required = False
        self.is_hopeless = False
        """Whether it failed in a way that trying again cannot mend."""
        self.plugin_type: type[Plugin[Any]] | None = None
        self.settings: Settings | None = None
        self.plugin: Plugin[Any] | None = None
        self.services: PluginServices | None = None
        self.on_death: Callable[[Slot, Exception], None] = _ignore
        """Told when the lifespan ends by itself."""
        self._task: asyncio.Task[None] | None = None
        self._down = asyncio.Event()

    def become(self, state: State, reason: str = "") -> None:
        """Take a state, and the reason for it."""
        self.state, self.reason = state, reason

    @property
    def alive(self) -> bool:
        """Whether the plugin is, or may yet be, part of the server."""
        return self.state in (State.LOADED, State.RUNNING)

    @property
    def needs(self) -> list[Port[Any]]:
        """Ports that it cannot do without."""
        return [one.port for one in self._ports() if not one.optional]

    @property
    def wants(self) -> list[Port[Any]]:
        """Ports that it uses where they are filled."""
        return [one.port for one in self._ports() if one.optional]

    @property
    def provides(self) -> tuple[Port[Any], ...]:
        """Ports that it fills."""
        return self.plugin_type.provides if self.plugin_type else ()

    def _ports(self) -> tuple[Any, ...]:
        return self.plugin_type.ports() if self.plugin_type else ()

    async def start(self, start_s: float) -> None:
        """Enter the lifespan. Ends RUNNING or FAILED; never raises."""
        assert self.plugin is not None
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._down = asyncio.Event()
        self._task = asyncio.create_task(self._live(up), name=f"plugin {self.name}")
        try:
            async with asyncio.timeout(start_s):
                await asyncio.shield(up)
        except TimeoutError:
            self._task.cancel()
            await asyncio.wait([self._task])
            # Looked at, so that asyncio does not report it as forgotten.
            up.exception()
            self.become(State.FAILED, f"did not start within {start_s:g} s (server.start_s)")
        except Exception as error:  # Isolation: a plugin that cannot start must not stop others.
            self.is_hopeless = isinstance(error, CannotStart)
            self.become(State.FAILED, describe(error))
        else:
            self.become(State.RUNNING)

    async def _live(self, up: asyncio.Future[None]) -> None:
        assert self.plugin is not None
        assert self.services is not None
        try:
            async with self.plugin.lifespan():
                if unfilled := self.services.unfilled():
                    raise LookupError(f"its lifespan did not fill {', '.join(unfilled)}")
                up.set_result(None)
                await self._down.wait()
        except BaseException as error:  # Told to whoever waits for the start, or to on_death.
            if not up.done():
                up.set_exception(_startable(error))
            elif not self._down.is_set() and isinstance(error, Exception):
                self.on_death(self, error)
            else:
                raise

    async def stop(self, stop_s: float) -> str:
        """Leave the lifespan; what went wrong with that, if anything."""
        if self._task is None or self._task.done():
            return ""
        self._down.set()
        done, _ = await asyncio.wait([self._task], timeout=stop_s)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])
            return f"did not stop within {stop_s:g} s (server.stop_s)"
        error = None if self._task.cancelled() else self._task.exception()
        return describe(error) if error else ""


def _ignore(slot: Slot, error: Exception) -> None:
    """What is told of a death that nobody waits for."""


def _startable(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(describe(error))


def describe(error: BaseException) -> str:
    """An exception in one line, for a reason; a group by its first member."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error)
    if isinstance(error, ConfigError | BootError | HookError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
