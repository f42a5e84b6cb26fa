"""The command line. The kernel's own commands are here; plugins add theirs by a hook."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from famulus import __version__, failpoints
from famulus.commands import DEFAULT_FILE, add_options, config_file, config_from, takes_flags
from famulus.config import load_config
from famulus.config_commands import check_command, config_command, row
from famulus.discover import Found, discover
from famulus.later import Later
from famulus.mistakes import ConfigError
from famulus.plugin import Plugin, Settings
from famulus.plugin_slot import BootError, Slot, State, describe
from famulus.server_settings import ServerSettings
from famulus.setting_fields import settings_fields, takes_list
from famulus.variables import CONFIG

if TYPE_CHECKING:
    from famulus.kernel import Kernel


GC_THRESHOLD = 100_000
"""Objects made before the collector looks, more than a start makes. It keeps them: at Python's 700,
looking through them took a tenth of its CPU. A server sets its own once it is ready."""


def main() -> None:
    """The `famulus` command. Errors that are worded for people are one line, without a trace."""
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
    try:
        _arm_failpoint()
        command_line()(prog_name="famulus")
    except (ConfigError, BootError) as error:
        for line in str(error).splitlines():
            click.echo(f"famulus: {line}", err=True)
        sys.exit(2)


def _arm_failpoint() -> None:
    try:
        failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    except ValueError as error:
        raise ConfigError(f"{failpoints.VARIABLE}: {error}") from error


def command_line() -> CommandLine:
    """All commands, with the flags and commands that the found plugins bring."""

    @click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__, prog_name="famulus")
    def famulus() -> None:
        """A home for code written against the OpenAI Assistants API."""

    famulus.plugin_types = _plugin_types()
    for make in (_serve, check_command, config_command, _plugins, _migrate, _openapi, _new_plugin):
        famulus.add_command(make())
    for plugin_type in famulus.plugin_types.values():
        _register_commands(plugin_type, famulus)
    return famulus


class CommandLine(click.Group):
    """The commands, each made whole when it is given: with its code, and the flags of `serve`."""

    plugin_types: Mapping[str, type[Plugin[Any]]] = {}
    """Whose settings have flags."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, of the whole command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self._made_whole(command), rest

    def whole(self) -> click.Group:
        """This, with all commands made whole, for whoever describes them."""
        self.commands = {name: self._made_whole(each) for name, each in self.commands.items()}
        return self

    def _made_whole(self, command: click.Command) -> click.Command:
        whole = command.loaded if isinstance(command, Later) else command
        add_options(whole, self._options)
        return whole

    @cached_property
    def _options(self) -> list[click.Parameter]:
        return _options(self.plugin_types)


def _register_commands(plugin_type: type[Plugin[Any]], famulus: click.Group) -> None:
    register = getattr(plugin_type, "register_commands", None)
    try:
        if register is not None:
            register(famulus)
    except Exception as error:  # Isolation: as with the import.
        click.echo(f"famulus: commands of {plugin_type.__name__}: {describe(error)}", err=True)


# --- flags ------------------------------------------------------------------------------------


def _plugin_types() -> dict[str, type[Plugin[Any]]]:
    """What can be imported of what is installed; the rest is told when something is started."""
    types = {}
    disabled = _disabled_early()
    for found in _discovered_early():
        if found.name in disabled:
            continue
        try:
            types[found.name] = found.load()
        except Exception as error:  # Isolation: a broken plugin must not break the command line.
            reason = describe(error)
            click.echo(f"famulus: plugin {found.name} ({found.source}): {reason}", err=True)
    return types


def _discovered_early() -> list[Found]:
    folder = os.environ.get("FAMULUS_PLUGINS_DIR")
    return discover(Path(folder) if folder else None)


def _disabled_early() -> set[str]:
    """Plugins that the configuration switches off, which are therefore not imported."""
    try:
        config = load_config(config_file(_config_option()))
    except ConfigError:
        # It is told when a command reads its configuration.
        return set()
    return {plugin.name for plugin in config.plugins.values() if not plugin.enabled}


def _config_option() -> Path | None:
    """The file that the command line or the environment names, before click reads either."""
    words = sys.argv[1:]
    for word, value in itertools.pairwise([*words, ""]):
        if word == "--config":
            return Path(value)
        if word.startswith("--config="):
            return Path(word.partition("=")[2])
    named = os.environ.get(CONFIG)
    return Path(named) if named else None


def _options(types: Mapping[str, type[Plugin[Any]]]) -> list[click.Parameter]:
    options: list[click.Parameter] = [
        click.Option(
            ["--config", "config_file"],
            type=click.Path(path_type=Path),
            envvar=CONFIG,
            help=f"The TOML file; {DEFAULT_FILE} where there is one.",
        )
    ]
    tables: dict[str, type[Settings]] = {"server": ServerSettings}
    tables |= {name: plugin_type.settings_type for name, plugin_type in types.items()}
    for table, settings_type in tables.items():
        for field, why, env, flag in settings_fields(settings_type):
            if flag is None:
                continue
            many = takes_list(field.type)
            about = f"{why} [{env}]" if env else why
            options.append(
                click.Option(
                    [flag, f"{table}__{field.name}"],
                    multiple=many,
                    help=about + (" May be given several times." if many else ""),
                )
            )
    return options


# --- commands ---------------------------------------------------------------------------------


def _serve() -> click.Command:
    @click.command("serve")
    @takes_flags
    def serve(**arguments: Any) -> None:
        """Serve the API until told to stop."""
        from famulus.kernel import Kernel
        from famulus.server import Server

        given = dict(arguments)
        kernel = Kernel(config_from(given))

        def ready(url: str) -> None:
            slots = kernel.lifecycle.slots.values()
            broken = [s.name for s in slots if s.state in (State.FAILED, State.BLOCKED)]
            if broken:
                kernel.log.error(
                    "incomplete", broken=broken, hint="the reasons are above, and at /-/plugins"
                )
            kernel.log.info(
                "ready",
                url=url,
                base_url=f"{url}{kernel.base_path}",
                docs=f"{url}/docs",
                plugins=sum(slot.state is State.RUNNING for slot in slots),
                failed=len(broken),
            )

        reloads: set[asyncio.Task[None]] = set()

        async def reload() -> None:
            try:
                server.renew_tls()
                config = config_from(given)
                await kernel.reload(config)
            except (ConfigError, BootError) as error:
                kernel.log.error("reload_refused", reason=str(error))
                return
            changed = kernel.needs_restart(config)
            if changed:
                kernel.log.warning("reloaded", needs_restart=changed)
            else:
                kernel.log.info("reloaded")

        def hangup() -> None:
            task = asyncio.get_running_loop().create_task(reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        server = Server(kernel, on_ready=ready, on_hangup=hangup)
        _run(server, kernel)

    return serve


def _run(server: Any, kernel: Kernel) -> None:
    import uvloop

    # uvicorn stops gracefully at a signal and then raises it again: a good end, not a death.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        uvloop.run(server.serve())
    except KeyboardInterrupt:
        return
    if isinstance(kernel.failure, ConfigError | BootError):
        raise kernel.failure
    if kernel.failure is not None:
        raise BootError(describe(kernel.failure)) from kernel.failure
    if not server.started:
        raise BootError(": ".join(["the server could not be started", *server.troubles[:1]]))


def _plugins() -> click.Command:
    @click.command("plugins")
    @takes_flags
    def plugins(**arguments: Any) -> None:
        """List every plugin that was found, what it provides and needs, and how it is."""
        from famulus.kernel import Kernel

        for slot in Kernel(config_from(arguments)).plan().values():
            click.echo(row(slot.name, str(slot.state), slot.reason or _summary(slot)))
            ports = [f"provides {port.name}" for port in slot.provides]
            ports += [f"needs {port.name}" for port in slot.needs]
            click.echo(f"{'':<20} {slot.source}" + (f"; {', '.join(ports)}" if ports else ""))

    return plugins


def _summary(slot: Slot) -> str:
    doc = slot.plugin_type.__doc__ if slot.plugin_type else None
    return (doc or "").strip().split("\n")[0]


def _migrate() -> click.Command:
    @click.command("migrate")
    @click.option("--dry-run", is_flag=True, help="Say what is pending; change nothing.")
    @takes_flags
    def migrate(dry_run: bool, **arguments: Any) -> None:
        """Bring the stores to the form that this version needs."""
        from famulus.kernel import Kernel

        kernel = Kernel(config_from(arguments))
        kernel.plan()
        asyncio.run(_migrated(kernel, dry_run))

    return migrate


async def _migrated(kernel: Kernel, dry_run: bool) -> None:
    kernel.prepare()
    for migrations in kernel.gather_constructed("register_migrations"):
        try:
            titles = await (migrations.pending() if dry_run else migrations.apply())
        except Exception as error:  # A store's own words are for the operator, whatever its type.
            raise BootError(f"{migrations.owner} cannot be migrated: {describe(error)}") from error
        word = "pending" if dry_run else "applied"
        for title in titles:
            click.echo(row(migrations.owner, word, title))
        if not titles:
            click.echo(row(migrations.owner, "up to date", ""))


def _openapi() -> click.Command:
    @click.command("openapi")
    @takes_flags
    def openapi(**arguments: Any) -> None:
        """Print the OpenAPI document of what would be served."""
        from famulus.dispatch import PUBLIC_PATHS
        from famulus.kernel import Kernel
        from famulus.openapi import openapi_document

        kernel = Kernel(config_from(arguments))
        kernel.plan()
        kernel.lifecycle.construct()
        document = openapi_document(kernel.planned_operations(), public_paths=PUBLIC_PATHS)
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())

    return openapi


def _new_plugin() -> click.Command:
    @click.command("new-plugin")
    @click.argument("name")
    @click.option("--single-file", is_flag=True, help="One .py file for --plugins-dir.")
    @click.option(
        "--into",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(),
        help="The folder to make it in.",
    )
    def new_plugin(name: str, single_file: bool, into: Path) -> None:
        """Make a working plugin to start from, with tests that pass."""
        from famulus.new_plugin import NewPluginError, generate

        try:
            made = generate(name, into=into, single_file=single_file)
        except NewPluginError as error:
            raise click.ClickException(str(error)) from error
        for path in made:
            click.echo(f"made {path}")

    return new_plugin
