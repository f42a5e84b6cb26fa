"""`famulus check` and `famulus config`: what is configured, and what is wrong with it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from famulus.commands import config_from, takes_flags
from famulus.config import Config, plugin_settings
from famulus.mistakes import ConfigError
from famulus.plugin import Settings
from famulus.plugin_slot import BootError, Slot, State
from famulus.server_settings import ServerSettings
from famulus.showing import Shown, example, shown_settings, toml

if TYPE_CHECKING:
    from famulus.kernel import Kernel


def row(*cells: str) -> str:
    """A line of a list of plugins."""
    return f"{cells[0]:<20} {cells[1]:<12} {cells[2]}".rstrip()


# --- check ------------------------------------------------------------------------------------


def check_command() -> click.Command:
    """The command that looks for mistakes."""

    @click.command("check")
    @takes_flags
    def check(**arguments: Any) -> None:
        """Validate the configuration and say what would start; nothing is started.

        All mistakes are told at once. Ends with 0 where there is none, and with 2 otherwise.
        """
        from famulus.kernel import Kernel
        from famulus.tls import tls_of

        mistakes: list[str] = []
        kernel = Kernel(config_from(arguments, mistakes))
        try:
            tls_of(kernel.settings)
        except ConfigError as error:
            mistakes += error.mistakes
        try:
            slots = kernel.plan()
        except ConfigError as error:
            raise ConfigError(*mistakes, *error.mistakes) from error
        mistakes += _shared_ports(kernel)
        unable = {slot.name: why for slot in slots.values() if (why := _unable(kernel, slot))}
        for slot in slots.values():
            would = "would start" if slot.state is State.LOADED else str(slot.state)
            state = "cannot start" if slot.name in unable else would
            click.echo(row(slot.name, state, unable.get(slot.name, slot.reason)))
        if mistakes:
            raise ConfigError(*mistakes)
        broken = [slot for slot in slots.values() if slot.state is State.FAILED]
        if broken:
            raise BootError(f"{len(broken)} of {len(slots)} plugins cannot be loaded")
        if unable:
            raise BootError(
                f"{len(unable)} of {len(slots)} plugins cannot start: {', '.join(unable)}"
            )
        click.echo("The configuration is valid.")

    return check


def _unable(kernel: Kernel, slot: Slot) -> str:
    """Why a plugin that is wanted could not start as things are installed and configured."""
    if slot.state is not State.LOADED or slot.plugin_type is None:
        return ""
    for module, extra in slot.plugin_type.extras.items():
        if importlib.util.find_spec(module) is None:
            return f'{module} is not installed: pip install "famulus[{extra}]"'
    for port in slot.needs:
        filler = kernel.lifecycle.plan.filler.get(port.name)
        if not filler:
            return f"needs {port.name}, which no enabled plugin provides"
        state = kernel.lifecycle.slots[filler].state
        if state is not State.LOADED:
            return f"needs {port.name}, whose plugin {filler} is {state}"
    return ""


def _shared_ports(kernel: Kernel) -> Iterator[str]:
    """Mistakes of listening twice on one port of this machine."""
    config = kernel.config
    taken = {config.server.port: "[server] port"}
    for slot in kernel.lifecycle.slots.values():
        port = getattr(slot.settings, "port", None)
        if slot.state is not State.LOADED or not isinstance(port, int) or port == 0:
            continue
        where = f"[plugins.{slot.name}] port"
        if port in taken:
            origin = config.origin(slot.name, "port")
            yield f"{origin}: {where} = {port} is that of {taken[port]}, too; choose another"
        taken[port] = where


# --- config -----------------------------------------------------------------------------------


def config_command() -> click.Command:
    """The command that shows the settings."""

    @click.command("config")
    @click.option("--show", is_flag=True, help="Also say where each value comes from.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option("--example", "as_example", is_flag=True, help="Print every setting's default.")
    @takes_flags
    def config(show: bool, as_json: bool, as_example: bool, **arguments: Any) -> None:
        """Print every setting as it now is, with its reason; secrets are not printed."""
        from famulus.kernel import Kernel

        loaded = config_from(arguments)
        kernel = Kernel(loaded)
        kernel.plan()
        if as_example:
            click.echo(example(_types(kernel)))
            return
        shown = dict(_shown(loaded, kernel))
        if as_json:
            click.echo(_as_json(shown))
            return
        click.echo(f"# from {loaded.source}, environment and flags")
        for title, settings in shown.items():
            click.echo(f"\n[{title}]")
            for each in settings:
                click.echo(_line(each, with_origin=show))

    return config


def _types(kernel: Kernel) -> Mapping[str, type[Settings]]:
    slots = kernel.lifecycle.slots.values()
    types: dict[str, type[Settings]] = {"server": ServerSettings}
    return types | {
        f"plugins.{slot.name}": slot.plugin_type.settings_type
        for slot in slots
        if slot.plugin_type is not None
    }


def _shown(config: Config, kernel: Kernel) -> Iterator[tuple[str, list[Shown]]]:
    yield "server", list(shown_settings(config, "server", config.server))
    for slot in kernel.lifecycle.slots.values():
        if slot.plugin_type is None:
            continue
        settings = slot.settings or plugin_settings(
            config, slot.name, slot.plugin_type.settings_type
        )
        if shown := list(shown_settings(config, slot.name, settings)):
            yield f"plugins.{slot.name}", shown


def _line(each: Shown, *, with_origin: bool) -> str:
    about = f"  # {each.why}" if each.why else ""
    variable = f" [{each.variable}]" if each.variable else ""
    origin = ""
    if with_origin and each.origin != "default":
        origin = f"{'' if about or variable else '  #'} (from {each.origin})"
    # What was not given, and what must not be shown, is no setting for whoever copies it.
    mark = "# " if each.value is None or each.is_hidden else ""
    return f"{mark}{each.key} = {toml(each.value)}{about}{variable}{origin}"


def _as_json(shown: Mapping[str, list[Shown]]) -> str:
    tables = {
        title: {each.key: {"value": each.value, "from": each.origin} for each in settings}
        for title, settings in shown.items()
    }
    return msgspec.json.format(msgspec.json.encode(tables), indent=2).decode()
