"""What a plugin is: a name, its settings, what it needs and provides, and one lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Protocol,
    TypeGuard,
    TypeVar,
    get_args,
    overload,
)

import msgspec

from famulus.clock import Clock, MakeId
from famulus_schemas.ports import Port

if TYPE_CHECKING:
    from famulus.log import Log
    from famulus_schemas.gauges import Gauge
    from famulus_schemas.identity import Principal
    from famulus_schemas.inference import PromptMessage
    from famulus_schemas.notices import Notice
    from famulus_schemas.records import Unit
    from famulus_schemas.runs import Run

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every plugin's settings: strict, so that a misspelt key is an error."""


class NoSettings(Settings, frozen=True, kw_only=True):
    """The settings of a plugin that has none."""


S_co = TypeVar("S_co", bound=Settings, covariant=True)


class CannotStart(Exception):
    """What a lifespan raises where trying again is of no use; says what its operator must do.

    The first start of a server ends with it where the plugin fills a port. A plugin that waits
    for something, such as a database that is not up yet, raises anything else, and is tried again.
    """


class Need(Generic[T]):
    """A port that the plugin cannot do without; on the instance it is whoever provides it."""

    optional: ClassVar[bool] = False

    def __init__(self, port: Port[T]) -> None:
        self.port = port

    @overload
    def __get__(self, instance: None, owner: type) -> Need[T]: ...

    @overload
    def __get__(self, instance: Plugin[Any], owner: type) -> T: ...

    def __get__(self, instance: Plugin[Any] | None, owner: type) -> Need[T] | T:
        if instance is None:
            return self
        service: T = instance.host.services.get(self.port)
        return service


class Want(Generic[T]):
    """A port that the plugin uses where somebody provides it; None on the instance otherwise."""

    optional: ClassVar[bool] = True

    def __init__(self, port: Port[T]) -> None:
        self.port = port

    @overload
    def __get__(self, instance: None, owner: type) -> Want[T]: ...

    @overload
    def __get__(self, instance: Plugin[Any], owner: type) -> T | None: ...

    def __get__(self, instance: Plugin[Any] | None, owner: type) -> Want[T] | T | None:
        if instance is None:
            return self
        return instance.host.services.get_or_none(self.port)


def _is_port(value: object) -> TypeGuard[Need[Any] | Want[Any]]:
    return isinstance(value, Need | Want)


def need(port: Port[T]) -> Need[T]:
    """Declare a port that must be running before this plugin starts."""
    return Need(port)


def want(port: Port[T]) -> Want[T]:
    """Declare a port that starts before this plugin where there is one."""
    return Want(port)


class ServicesView(Protocol):
    """The ports as one plugin may see and fill them."""

    def get(self, port: Port[T]) -> T: ...

    def get_or_none(self, port: Port[T]) -> T | None: ...

    def provide(self, port: Port[T], service: T) -> None: ...


class HooksView(Protocol):
    """The hooks that a plugin may itself call."""

    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> Unit: ...

    async def prepare_messages(
        self, run: Run, messages: list[PromptMessage]
    ) -> list[PromptMessage]: ...

    def gather(self, hook: str) -> Sequence[Any]: ...

    def gauges(self) -> Sequence[Gauge]: ...

    def tell(self, event: Notice) -> None: ...


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel lends to one plugin; the plugin's own methods are the short way to it."""

    data_dir: Path
    clock: Clock
    make_id: MakeId
    log: Any
    services: ServicesView
    hooks: HooksView
    serves: bool = True
    """Whether clients are served. A command's plugins begin nothing that only servers should:
    they run no model, and make no first key."""
    is_public: bool = False
    """Whether the server listens for others than its own machine."""


class Plugin(Generic[S_co]):
    """Base class of every plugin; `class Notes(Plugin[NotesSettings])`.

    Making one has no effect. What it opens, it opens in `lifespan`; state lives on `self`.
    """

    name: ClassVar[str] = ""
    """How configuration names it; the entry point's name where it is left empty."""
    provides: ClassVar[tuple[Port[Any], ...]] = ()
    """Ports that its lifespan fills."""
    gathers: ClassVar[tuple[str, ...]] = ()
    """Boot hooks whose answers its lifespan asks for; whoever implements them starts before."""
    stand_in: ClassVar[bool] = False
    """An embedded default: it stays off where another plugin provides the same ports."""
    by_choice: ClassVar[bool] = False
    """It fills its ports only where `[ports]` names it, whoever else provides them or not."""
    joins_commands: ClassVar[bool] = False
    """It has a part in what commands commit, and so is started with every one that commits."""
    extras: ClassVar[Mapping[str, str]] = {}
    """Modules that it cannot start without, and the extra of `famulus` that brings each."""
    settings_type: ClassVar[type[Settings]] = NoSettings

    def __init__(self, settings: S_co, host: Host) -> None:
        self.settings = settings
        self.host = host

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Settings):
                    cls.settings_type = argument

    @classmethod
    def off_because(cls, settings: Any) -> str | None:
        """Why the plugin has nothing to do with these settings, or None if it has."""
        return None

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start, yield while running, stop. Both ends run in one task."""
        yield

    @classmethod
    def ports(cls) -> tuple[Need[Any] | Want[Any], ...]:
        """Every `need` and `want` of the class, in the order of declaration."""
        found: dict[str, Need[Any] | Want[Any]] = {}
        for base in reversed(cls.__mro__):
            found |= {name: port for name, port in vars(base).items() if _is_port(port)}
        return tuple(found.values())

    @property
    def log(self) -> Log:
        """A logger that carries the plugin's name."""
        log: Log = self.host.log
        return log

    @property
    def data_dir(self) -> Path:
        """Where the plugin may keep files; it exists, and is this server's alone."""
        return self.host.data_dir

    def now(self) -> int:
        """Unix seconds by the kernel's clock, which tests fix."""
        return int(self.host.clock())

    def new_id(self, prefix: str) -> str:
        """A new unguessable id, such as `thread_` and 24 characters."""
        return self.host.make_id(prefix)

    def gather(self, hook: str) -> Sequence[Any]:
        """The joined answers of all running plugins to a boot hook that `gathers` names."""
        return self.host.hooks.gather(hook)

    def gauges(self) -> Sequence[Gauge]:
        """All that can be read now of this server and its running plugins."""
        return self.host.hooks.gauges()

    def provide(self, port: Port[T], service: T) -> None:
        """Fill a port that the class lists in `provides`."""
        self.host.services.provide(port, service)

    async def joined(self, principal: Principal, action: str, unit: Unit) -> Unit:
        """The unit with what other plugins must have committed in it (hook `join_unit`)."""
        return await self.host.hooks.join_unit(principal, action, unit)

    def tell(self, event: Notice) -> None:
        """Tell every plugin's `on_event`, later and off this path; lost if too many wait."""
        self.host.hooks.tell(event)
