"""One simulated server: the real plugins on simulated ports, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation.ports import (
    SimAssistants,
    SimEvents,
    SimInference,
    SimStore,
)
from tests.simulation.profile import Profile
from tests.simulation.virtual_time import Process

from famulus.plugin import Host, Plugin
from famulus_jobs.plugin import JobsPlugin
from famulus_jobs.settings import JobSettings
from famulus_runs.event_operations import EventOperations
from famulus_runs.operations import RunOperations
from famulus_runs.plugin import Runs
from famulus_runs.settings import RunSettings
from famulus_schemas.identity import Principal
from famulus_schemas.inference import PromptMessage
from famulus_schemas.ports import ASSISTANTS, EVENTS, INFERENCE, JOBS, RECORDS, THREADS, Port
from famulus_schemas.records import Conflict, StoreUnavailable, Unit
from famulus_schemas.runs import Run
from famulus_threads.message_operations import MessageOperations
from famulus_threads.plugin import ThreadsPlugin
from famulus_threads.settings import ThreadsSettings
from famulus_threads.thread_operations import ThreadOperations

if TYPE_CHECKING:
    from tests.simulation.client import Connection
    from tests.simulation.world import World

FORESEEN = (StoreUnavailable, Conflict)
"""What plugins may meet, and say so in the log. Anything else is a mistake of theirs."""

JOB_SETTINGS = JobSettings(heartbeat_s=1.0, lease_s=3.0, poll_s=1.0, retry_s=1.0)
"""All times stand to each other as by default, so that much can happen in little time."""

RUN_S = 15

CALM = Profile(
    servers=0,
    exclusive=False,
    threads=0,
    latency_s=0.0,
    skew_s=0.0,
    runs_at_once_max=0,
    waiting_events_max=0,
    finish_s=0.0,
    pause_s=0.0,
)
"""No faults."""


class SimLog:
    """A plugin's logger: what it says goes into the trace."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def bind(self, **values: Any) -> SimLog:
        return self

    def debug(self, event: str, **values: Any) -> None:
        self._server.note(event, values)

    info = warning = debug

    def error(self, event: str, **values: Any) -> None:
        self._server.note(event, values)
        error = values.get("exc_info")
        if error is not None and not isinstance(error, FORESEEN):
            self._server.world.watch.violated(
                "no plugin fails by itself", f"{event} at {self._server}: {error!r}"
            )


class SimServices:
    """The ports of one server."""

    def __init__(self) -> None:
        self.filled: dict[Port[Any], Any] = {}

    def get(self, port: Port[Any]) -> Any:
        return self.filled[port]

    def get_or_none(self, port: Port[Any]) -> Any:
        return self.filled.get(port)

    def provide(self, port: Port[Any], service: Any) -> None:
        self.filled[port] = service


class SimHooks:
    """The hooks of one server."""

    def __init__(self, tools: Sequence[Any]) -> None:
        self._tools = tools
        self.runs: Runs | None = None

    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> Unit:
        assert self.runs is not None
        return [*unit, *await self.runs.join_unit(principal=principal, action=action, unit=unit)]

    async def prepare_messages(
        self, run: Run, messages: list[PromptMessage]
    ) -> list[PromptMessage]:
        return messages

    def gather(self, hook: str) -> Sequence[Any]:
        return self._tools if hook == "register_tools" else ()

    def tell(self, event: object) -> None:
        """Nobody listens."""


class Server(Process):
    """A process that serves the API on the shared store."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(name)
        self.world = world
        self.is_killed = False
        self.is_up = False
        self.skew_s = world.profile.skew_s * (world.rng.random() - 0.5)
        self.cut_off_until = 0.0
        self.troubled_until = 0.0
        """When its last misfortune was over, that those who are connected may feel."""
        self.chats = 0
        """Answers of the model that are being written."""
        self.connections: dict[Connection, None] = {}
        self.events = SimEvents(self)
        self._stop = asyncio.Event()
        self._plug()
        world.loop.start(self, self._live())

    # --- wiring -------------------------------------------------------------------------------

    def _plug(self) -> None:
        world, profile = self.world, self.world.profile
        store = SimStore(self)
        services = SimServices()
        services.filled = {
            RECORDS: store,
            RECORDS.system: store,
            EVENTS: self.events,
            INFERENCE: SimInference(self),
            ASSISTANTS: SimAssistants(world.model.assistant),
        }
        hooks = SimHooks(world.model.tools(self))
        host = Host(
            data_dir=Path(),
            clock=lambda: world.now() + self.skew_s,
            make_id=world.make_id,
            log=SimLog(self),
            services=services,
            hooks=hooks,
        )
        self.threads = ThreadsPlugin(ThreadsSettings(), host)
        self.jobs = JobsPlugin(world.mutant.job_settings(JOB_SETTINGS), host)
        settings = RunSettings(
            run_s=RUN_S,
            tool_s=3.0,
            cancel_s=1.0,
            runs_at_once_max=profile.runs_at_once_max,
            runs_per_thread_waiting_max=2,
            expiry_poll_s=1.0,
            finish_s=profile.finish_s,
        )
        self.runs = hooks.runs = world.mutant.runs(settings, host)
        self.of_threads = ThreadOperations(self.threads)
        self.of_messages = MessageOperations(self.threads)
        self.of_runs = RunOperations(self.runs)
        self.of_events = EventOperations(self.runs)
        self._services = services

    async def _live(self) -> None:
        try:
            async with AsyncExitStack() as lives:
                plugins: list[Plugin[Any]] = [self.threads, self.jobs, self.runs]
                for plugin in plugins:
                    await lives.enter_async_context(plugin.lifespan())
                    if plugin is self.threads:
                        threads = self.world.mutant.threads(self._services.filled[THREADS])
                        self._services.filled[THREADS] = threads
                    elif plugin is self.jobs:
                        jobs = self.world.mutant.jobs(self._services.filled[JOBS])
                        self._services.filled[JOBS] = jobs
                self.is_up = True
                self.note("is up")
                await self._stop.wait()
                self.is_up = False
        except FORESEEN as error:
            self.note("did not live", error)
        finally:
            self.is_up = False
            if not self.is_gone:
                self.events.here.stop()
                self.die("stopped")

    # --- fate ---------------------------------------------------------------------------------

    @property
    def is_gone(self) -> bool:
        """Whether nothing that it does has an effect any more."""
        return self.is_killed or self.world.is_over

    @property
    def is_well(self) -> bool:
        """Whether it could do something now."""
        return self.is_up and not self.is_stopped and self.world.loop.time() >= self.cut_off_until

    @property
    def room(self) -> int:
        """How many more runs it would take."""
        return int(self._services.filled[JOBS].room_for("run"))

    @property
    def worker(self) -> str:
        """The name of its worker."""
        name: str = self._services.filled[JOBS].worker
        return name

    @property
    def dice(self) -> Profile:
        """How likely which fault is now."""
        return CALM if self.world.is_calm else self.world.profile

    def befalls(self, rate: float) -> bool:
        """Whether something of this likelihood happens now."""
        return rate > 0.0 and self.world.rng.random() < rate

    def note(self, what: str, *details: object) -> None:
        """Add to the trace."""
        self.world.note(self.name, what, *details)

    def die(self, how: str) -> None:
        """Never do anything again; everyone who is connected notices."""
        self.note(how)
        self.is_killed = self.is_stopped = True
        for connection in list(self.connections):
            connection.break_off()
        self.world.one_is_gone(self)

    def maybe_crash(self) -> None:
        """Perhaps die, in the midst of something that does not wait."""
        if not self.is_gone and self.befalls(self.dice.crash):
            self.die("crashed")

    def freeze(self, seconds: float) -> None:
        """Stand still for a while."""
        self.note("frozen", seconds)
        self.is_stopped = True
        self.world.loop.call_later(seconds, self._thaw, context=self.world.context)

    def _thaw(self) -> None:
        if not self.is_gone:
            self.note("thawed")
            self.troubled_until = self.world.loop.time()
            self.world.loop.resume(self)

    def leave(self) -> None:
        """Stop in good order."""
        self.note("leaves")
        self._stop.set()

    async def point(self) -> None:
        """A moment between two effects: time passes, and the server may not live to its end."""
        if self.world.is_over:
            raise StoreUnavailable("simulated: over")
        dice, rng = self.dice, self.world.rng
        if dice is not CALM:
            roll = rng.random()
            if roll < dice.crash:
                self.die("crashed")
            elif roll < dice.crash + dice.freeze:
                self.freeze(rng.choice((0.3, 2.0, 6.0, 10.0)))
            elif roll < dice.crash + dice.freeze + dice.cut_off:
                seconds = rng.choice((0.5, 2.0, 6.0))
                self.note("cut off", seconds)
                self.cut_off_until = self.troubled_until = self.world.loop.time() + seconds
        await self.breathe()
        if self.world.is_over:
            raise StoreUnavailable("simulated: over")

    async def breathe(self) -> None:
        """Let others go on."""
        world = self.world
        roll = world.rng.random()
        if self.is_stopped or 0.4 < roll < 0.75:
            await asyncio.sleep(0)
        elif roll > 0.75:
            await asyncio.sleep(roll * world.profile.latency_s)

    async def reach_store(self) -> None:
        """The way to the store."""
        await self.point()
        if self.world.loop.time() < self.cut_off_until:
            raise StoreUnavailable("simulated: cut off")

    def reconnect(self) -> None:
        """The store can be reached again."""
        self.cut_off_until = 0.0

    def check_health(self) -> None:
        """What an orchestrator does: end a server that says that it is down."""
        if self.is_up and not self.is_stopped and getattr(self.jobs, "_lost", False):
            self.die("replaced: its lease is lost")
