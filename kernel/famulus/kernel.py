"""The kernel: plugins brought to life, and one ASGI app in front of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from famulus.admin import Admin
from famulus.clock import Clock, IdPool, MakeId, system_clock
from famulus.config import Config
from famulus.discover import Found, discover
from famulus.front import Front, with_cors
from famulus.gauges import kernel_gauges
from famulus.hooks import Hooks
from famulus.lifecycle import Lifecycle, describe
from famulus.log import Log, Redactor, flush, make_log
from famulus.mistakes import ConfigError
from famulus.notices import Notices
from famulus.operations import Operation, operations
from famulus.plugin_slot import Slot, State
from famulus.secret import secrets_in
from famulus.variables import strange_variables
from famulus.world import World, build_world

if TYPE_CHECKING:
    from famulus_schemas.gauges import Gauge
    from famulus_schemas.identity import Principal
    from famulus_schemas.inference import PromptMessage
    from famulus_schemas.notices import Notice
    from famulus_schemas.records import Unit
    from famulus_schemas.runs import Run


END_S = 2.0
"""What streams that are ended at the end of a drain have for their last event."""


class Kernel:
    """One server: its plugins, and the world that serves requests now.

    An ASGI app with a lifespan of its own; `start` and `stop` do the same without one.
    """

    def __init__(
        self,
        config: Config,
        *,
        found: Iterable[Found] | None = None,
        clock: Clock = system_clock,
        make_id: MakeId | None = None,
        log: Log | None = None,
        serves: bool = True,
    ) -> None:
        self.config = config
        self._serves = serves
        self.settings = config.server
        self._front = Front(config.server)
        self._app = with_cors(self._serve, config.server)
        self._redactor = Redactor()
        self.log = log or make_log(
            config.server.log_level, config.server.log_format, redactor=self._redactor
        )
        self.clock = clock
        self.make_id = make_id or IdPool()
        self._found = None if found is None else list(found)
        self._world: World | None = None
        self._older: list[World] = []
        """Worlds that were swapped out while they had guests."""
        self._draining = False
        self.failure: Exception | None = None
        """Why the start by ASGI lifespan failed."""
        self.notices = Notices(self.settings.notices_max, self.log)
        self._loops: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self._strange: list[str] = []
        """Variables of the environment that look like settings and are none."""
        self._admin = Admin(self)
        self._told: dict[str, tuple[State, str]] = {}
        self.lifecycle = self._new_lifecycle()

    def _new_lifecycle(self) -> Lifecycle:
        lifecycle = Lifecycle(
            data_dir=Path(self.settings.data_dir),
            clock=self.clock,
            make_id=self.make_id,
            log=self.log,
            hooks=self,
            is_public=self.is_public,
            told=self._told,
            serves=self._serves,
        )
        lifecycle.on_change = self._rebuild
        return lifecycle

    # --- life ---------------------------------------------------------------------------------

    def plan(self) -> dict[str, Slot]:
        """What would start, without starting it. Raises ConfigError, BootError."""
        self.lifecycle.load(self._discovered(), self.config)
        self._hide_secrets(self.lifecycle)
        if self._found is None:
            # Only of all that is installed can it be said that a variable means nothing to it.
            self._strange = strange_variables(self.config, self.lifecycle.settings_types())
        return self.lifecycle.slots

    def _hide_secrets(self, lifecycle: Lifecycle) -> None:
        """Keep the configured secrets out of the log, old ones and new ones."""
        settings = [slot.settings for slot in lifecycle.slots.values()]
        self._redactor.learn(secret.reveal() for secret in secrets_in(settings))

    def _discovered(self) -> list[Found]:
        if self._found is not None:
            return self._found
        folder = self.settings.plugins_dir
        return discover(Path(folder) if folder else None)

    async def start(self) -> None:
        """Start every plugin and begin to serve. Raises ConfigError, BootError."""
        self.plan()
        if self._strange:
            self.log.warning("variables_unknown", variables=self._strange)
        self.prepare()
        try:
            await self.lifecycle.start(self.settings.start_s, is_first=True)
            self._rebuild()
            await self._tell_started()
            self.lifecycle.refuse_broken_required()
        except BaseException:
            await self.lifecycle.stop(self.settings.stop_s)
            raise
        self._loops = [
            asyncio.create_task(self.notices.deliver(lambda: self.hooks)),
            asyncio.create_task(self._mend()),
        ]

    def prepare(self) -> None:
        """Make the data folder and every plugin; nothing of theirs is opened yet."""
        self._make_data_dir()
        self.lifecycle.construct()

    def _make_data_dir(self) -> None:
        path = Path(self.settings.data_dir)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"data_dir {path} cannot be made: {error.strerror}") from error

    async def drain(self) -> None:
        """Say that the server is about to stop, and let guests finish for `drain_s`.

        Streams that are open by then are ended, each after a whole event.
        """
        if not self._draining:
            self._draining = True
            if self._world is not None:
                await self._world.hooks.on_drain(self.settings.stop_s, self._drain_failed)
        worlds = self._worlds
        if not await self._left(worlds, self.settings.drain_s):
            for world in worlds:
                world.end_streams()
            await self._drained(worlds, END_S)

    async def _tell_started(self) -> None:
        """Have plugins do what needs all others; that of one that cannot is served by 503."""
        failed: list[tuple[str, Exception]] = []
        await self.world.hooks.on_started(
            self.settings.start_s, lambda plugin, error: failed.append((plugin, error))
        )
        for plugin, error in failed:
            self.lifecycle.fail(plugin, f"on_started: {describe(error)}")
        if failed:
            self._rebuild()

    def _drain_failed(self, plugin: str, error: Exception) -> None:
        self.log.error("on_drain_failed", plugin=plugin, exc_info=error)

    async def stop(self) -> None:
        """Drain, then stop every plugin."""
        await self.drain()
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.notices.tell_rest(self.hooks)
        await self.lifecycle.stop(self.settings.stop_s)
        flush(self.log)

    async def _drained(self, worlds: Sequence[World], limit_s: float) -> None:
        """Wait until the guests of these worlds have left, but no longer than that."""
        if not await self._left(worlds, limit_s):
            self.log.warning("drain_incomplete", guests=sum(world.guests for world in worlds))

    async def _left(self, worlds: Sequence[World], limit_s: float) -> bool:
        return all(await asyncio.gather(*(world.drained(limit_s) for world in worlds)))

    async def reload(self, config: Config) -> None:
        """Bring the plugins to another configuration; those outside the difference go on as is.

        Raises ConfigError or BootError, and then nothing has changed; but for a plugin that is
        required and turns out not to start, which is then told by `/-/plugins` too. The server's
        own table counts from the next start.
        """
        async with self._reloading:
            planned = self._new_lifecycle()
            planned.load(self._discovered(), config)
            self._hide_secrets(planned)
            kept = planned.keep_from(self.lifecycle)
            old = self.lifecycle
            for name, slot in old.slots.items():
                if name not in kept and slot.state is State.RUNNING:
                    slot.become(State.STOPPED, "the configuration is being changed")
            self._rebuild()
            await self._drained(self._older, self.settings.drain_s)
            await old.stop(self.settings.stop_s, kept)
            planned.adopt(old, kept)
            self.config, self.lifecycle = config, planned
            planned.construct()
            try:
                await planned.start(self.settings.start_s)
            finally:
                self._rebuild()
            await self._tell_started()

    def needs_restart(self, config: Config) -> list[str]:
        """Settings of the server's own table that differ from those it runs with."""
        now, then = self.settings, config.server
        names = now.__struct_fields__
        return [name for name in names if getattr(now, name) != getattr(then, name)]

    async def _mend(self) -> None:
        """Start what others stand on again if it failed, for ever: a database may come later."""
        pause_s = self.settings.retry_failed_s
        attempts = 0
        while True:
            await asyncio.sleep(pause_s)
            broken = self.lifecycle.broken_providers()
            if not broken:
                if attempts:
                    self.log.info("plugins_recovered", attempts=attempts)
                pause_s, attempts = self.settings.retry_failed_s, 0
                continue
            log = self.log.debug if attempts else self.log.info
            attempts += 1
            log("plugins_tried_again", plugins=broken, attempt=attempts)
            try:
                await self.reload(self.config)
            except Exception as error:  # Isolation: one attempt that breaks must not be the last.
                self.log.error("plugins_not_tried_again", exc_info=error)
            pause_s = min(2 * pause_s, self.settings.retry_failed_max_s)

    def _rebuild(self) -> None:
        """Make a world of the plugins as they now are, and let the old one end in peace."""
        self._older = [world for world in (*self._older, self._world) if world and world.guests]
        self._world = build_world(
            self.lifecycle,
            own=operations(self._admin),
            settings=self.settings,
            front=self._front,
            make_id=self.make_id,
            log=self.log,
            notices=self.notices,
        )

    # --- what plugins and the kernel's own operations ask -------------------------------------

    @property
    def world(self) -> World:
        """The world that serves now. Raises RuntimeError before the start."""
        if self._world is None:
            raise RuntimeError("the kernel has not been started")
        return self._world

    @property
    def hooks(self) -> Hooks | None:
        """The hooks of the world that serves now."""
        return self._world.hooks if self._world else None

    @property
    def guests(self) -> int:
        """Requests and streams that are not over, in whatever world they began."""
        return sum(world.guests for world in self._worlds)

    @property
    def streams(self) -> int:
        """Streams of events that are open."""
        return sum(world.streams for world in self._worlds)

    @property
    def _worlds(self) -> list[World]:
        return [*self._older, *([self._world] if self._world else [])]

    @property
    def is_public(self) -> bool:
        """Whether others than this machine can reach it."""
        return self._front.is_public

    @property
    def base_path(self) -> str:
        """The first part of most paths that plugins serve: what a client's base URL ends in."""
        own = {operation.path for operation in operations(self._admin)}
        served = [each.path for each in self.world.operations if each.path not in own]
        # Of a path of one part, such as a page for machines, that part is no base.
        parts = Counter(path.split("/")[1] for path in served if path.count("/") > 1)
        return f"/{parts.most_common(1)[0][0]}" if parts else ""

    @property
    def is_draining(self) -> bool:
        """Whether the server is about to stop."""
        return self._draining

    def gather(self, hook: str) -> Sequence[Any]:
        """The joined answers of running plugins to a boot hook."""
        return [item for _, item in self.lifecycle.answers(hook, self.lifecycle.is_running)]

    def gather_constructed(self, hook: str) -> Sequence[Any]:
        """As `gather`, of plugins that are made but not started."""
        return [item for _, item in self.lifecycle.answers(hook, self.lifecycle.alive)]

    def gauges(self) -> Sequence[Gauge]:
        """What can be read now: the kernel's own gauges, and those of running plugins."""
        return [*kernel_gauges(self), *self.gather("register_gauges")]

    def planned_operations(self) -> list[Operation]:
        """What would be served, of plugins that are made but not started."""
        return [*operations(self._admin), *self.gather_constructed("register_operations")]

    def tell(self, event: Notice) -> None:
        """Tell `on_event`, later."""
        self.notices.tell(self.hooks, event)

    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> Unit:
        """As Hooks.join_unit; before the first world there is nobody to join."""
        hooks = self.hooks
        return unit if hooks is None else await hooks.join_unit(principal, action, unit)

    async def prepare_messages(
        self, run: Run, messages: list[PromptMessage]
    ) -> list[PromptMessage]:
        """As Hooks.prepare_messages."""
        hooks = self.hooks
        return messages if hooks is None else await hooks.prepare_messages(run, messages)

    # --- ASGI ---------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._app(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await receive()
            with contextlib.suppress(OSError):
                await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.world.serve(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:  # Whoever runs the server words it for the operator.
            self.failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})
