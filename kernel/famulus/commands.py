"""What a plugin's own commands stand on: the configuration, and one plugin at work.

@staticmethod
@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(later("count", "notes_plugin.commands:count", does="Count the notes."))

And in `notes_plugin/commands.py`, which is imported only where somebody counts:

@click.command()
@configured
def count(config: Config) -> None:
    '''Count the notes.'''
    asyncio.run(_count(config))

async def _count(config: Config) -> None:
    async with started(config, "notes") as notes:
        click.echo(await notes.count())
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec.structs import replace

from famulus.config import Config, PluginConfig, load_config
from famulus.later import Later
from famulus.log import make_log
from famulus.plugin import Plugin
from famulus.plugin_slot import BootError, State
from famulus_schemas.identity import Principal
from famulus_schemas.ports import Port
from famulus_schemas.records import Unit

if TYPE_CHECKING:
    from famulus.kernel import Kernel
    from famulus.lifecycle import Lifecycle
    from famulus.plugin_slot import Slot

T = TypeVar("T")
JoinAs = Callable[[Principal, str, Unit], Awaitable[Unit]]

DEFAULT_FILE = "famulus.toml"

_MARK = "__famulus_configured__"


def config_file(named: Path | None) -> Path | None:
    """The file to read: the named one, or the one that lies where the command is given."""
    if named is None and Path(DEFAULT_FILE).is_file():
        return Path(DEFAULT_FILE)
    return named


def config_from(arguments: Mapping[str, Any], mistakes: list[str] | None = None) -> Config:
    """The configuration that a command's flags give, over file and environment.

    `mistakes` as of `load_config`.
    """
    flags: dict[str, dict[str, Any]] = {}
    for name, value in arguments.items():
        table, _, key = name.partition("__")
        if name != "config_file" and value not in (None, ()):
            flags.setdefault(table, {})[key] = list(value) if isinstance(value, tuple) else value
    path = config_file(arguments.get("config_file"))
    return load_config(path, flags=flags, mistakes=mistakes)


def takes_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of `serve`, and call its function with them as they were given."""
    setattr(function, _MARK, True)
    return function


def configured(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of `serve`, and call its function with `config`."""
    own = set(inspect.signature(function).parameters) - {"config"}

    @functools.wraps(function)
    def run(**arguments: Any) -> None:
        mine = {name: arguments.pop(name) for name in own}
        function(config=config_from(arguments), **mine)

    return takes_flags(run)


def add_options(command: click.Command, options: Sequence[click.Parameter]) -> None:
    """Add the flags of `serve` to every command in a tree of commands that takes them."""
    if isinstance(command, Later):
        command = command.loaded
    if isinstance(command, click.Group):
        for each in command.commands.values():
            add_options(each, options)
    elif getattr(command.callback, _MARK, False):
        names = {parameter.name for parameter in command.params}
        command.params.extend(option for option in options if option.name not in names)


@asynccontextmanager
async def started(config: Config, name: str, **settings: Any) -> AsyncIterator[Plugin[Any]]:
    """A plugin and what it needs, started without serving; `settings` win over configured ones.

    Raises ConfigError or BootError saying why it cannot start.
    """
    async with _started(config, name, settings) as (_, plugin):
        yield plugin


@asynccontextmanager
async def started_among(
    config: Config, name: str, *, hooks: Sequence[str]
) -> AsyncIterator[Plugin[Any]]:
    """As `started`, with all plugins that implement any of these hooks, and what those need.

    For what is not whole without any of them: each must run. Raises ConfigError or BootError.
    """
    async with _started(config, name, {}, hooks) as (kernel, plugin):
        for slot in kernel.lifecycle.slots.values():
            if slot.state in (State.FAILED, State.BLOCKED):
                raise BootError(f"plugin {slot.name} is {slot.state}: {slot.reason}")
        yield plugin


class NobodyProvides(BootError):
    """No plugin that is enabled fills a port."""


@asynccontextmanager
async def provided(config: Config, port: Port[T]) -> AsyncIterator[T]:
    """What fills a port, as `started`: for commands that must work while their own plugin cannot.

    Raises ConfigError or BootError saying why it cannot start; NobodyProvides where nothing would.
    """
    async with provided_and_joined(config, port) as (service, _):
        yield service


@asynccontextmanager
async def provided_and_joined(config: Config, port: Port[T]) -> AsyncIterator[tuple[T, JoinAs]]:
    """As `provided`, and what adds to a unit what others must have committed with it.

    Raises ConfigError or BootError saying why it cannot start.
    """
    from famulus.kernel import Kernel

    planned = Kernel(config, log=make_log("critical"))
    planned.plan()
    filler = planned.lifecycle.plan.filler.get(port.name)
    if not filler:
        raise NobodyProvides(f"nobody provides {port.name}")
    async with _started(config, filler, {}) as (kernel, _):
        service: T = kernel.lifecycle.services.get(port)
        yield service, kernel.join_unit


@asynccontextmanager
async def _started(
    config: Config, name: str, settings: Mapping[str, Any], hooks: Sequence[str] = ()
) -> AsyncIterator[tuple[Kernel, Plugin[Any]]]:
    from famulus.kernel import Kernel

    quiet = make_log("critical")
    planned = Kernel(config, log=quiet)
    planned.plan()
    slots = _needed(planned.lifecycle, name, hooks)
    kernel = Kernel(
        _narrowed(config, slots, name, settings),
        found=[slot.found for slot in slots],
        log=quiet,
        serves=False,
    )
    await kernel.start()
    try:
        yield kernel, _running(kernel.lifecycle, name)
    finally:
        await kernel.stop()


def _needed(lifecycle: Lifecycle, name: str, hooks: Sequence[str]) -> list[Slot]:
    """The plugin, whoever has a part in what commands commit, and all that these cannot do without.

    With `hooks`, also whoever implements them, and all that those use of each other. Raises
    BootError where there is no such plugin.
    """
    if name not in lifecycle.slots:
        raise BootError(f"there is no plugin {name!r}; there are {', '.join(lifecycle.slots)}")
    names: list[str] = []
    joining = [slot.name for slot in lifecycle.slots.values() if _joins(slot)]
    implementing = [slot.name for slot in lifecycle.slots.values() if _has(lifecycle, slot, hooks)]
    waiting = [name, *joining, *implementing]
    while waiting:
        slot = lifecycle.slots.get(waiting.pop())
        if slot is None or slot.name in names:
            continue
        names.append(slot.name)
        ports = [*slot.needs, *slot.wants] if hooks else slot.needs
        waiting.extend(lifecycle.plan.filler.get(port.name, "") for port in ports)
    return [lifecycle.slots[each] for each in names]


def _joins(slot: Slot) -> bool:
    return slot.alive and slot.plugin_type is not None and slot.plugin_type.joins_commands


def _has(lifecycle: Lifecycle, slot: Slot, hooks: Sequence[str]) -> bool:
    if slot.plugin_type is None or not slot.alive:
        return False
    return any(lifecycle.relay.implements(slot.plugin_type, hook) for hook in hooks)


def _narrowed(
    config: Config, slots: Sequence[Slot], name: str, settings: Mapping[str, Any]
) -> Config:
    names = {slot.name for slot in slots}
    plugins = {each: table for each, table in config.plugins.items() if each in names}
    table = plugins.get(name) or PluginConfig(name=name)
    plugins[name] = replace(table, flags={**table.flags, **settings})
    ports = {port: filler for port, filler in config.ports.items() if filler in names}
    return replace(config, plugins=plugins, ports=ports)


def _running(lifecycle: Lifecycle, name: str) -> Plugin[Any]:
    slot = lifecycle.slots[name]
    if slot.state is State.RUNNING:
        assert slot.plugin is not None
        return slot.plugin
    # A blocked plugin's reason is another's failure, which is the one to tell.
    failed = [each for each in lifecycle.slots.values() if each.state is State.FAILED]
    cause = failed[0] if failed else slot
    raise BootError(f"plugin {cause.name} is {cause.state}: {cause.reason}")
