"""What a plugin's own commands stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from famulus.commands import add_options, configured, started
from famulus.config import Config, load_config
from famulus.lifecycle import BootError
from famulus.mistakes import ConfigError

FILE = """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from famulus.plugin import NoSettings, Plugin, Settings, need
from famulus_schemas.ports import EVENTS, RECORDS
"""

SHELF = """
class ShelfSettings(Settings, frozen=True):
    label: str = "default"

class Shelf(Plugin[ShelfSettings]):
    events = need(EVENTS)
"""

POSTMAN = """
class Postman(Plugin[NoSettings]):
    provides = (EVENTS,)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.provide(EVENTS, object())
        yield
"""

BROKEN_POSTMAN = """
class Postman(Plugin[NoSettings]):
    provides = (EVENTS,)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        raise OSError("the van is gone")
        yield
"""

BYSTANDER = """
class Bystander(Plugin[NoSettings]):
    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        (self.data_dir / "bystander was here").touch()
        yield
"""


def configuration(tmp_path: Path, postman: str = POSTMAN, **tables: Any) -> Config:
    """A configuration of a shelf that needs a postman, and of a bystander."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, source in (("shelf", SHELF), ("postman", postman), ("bystander", BYSTANDER)):
        (folder / f"{name}.py").write_text(FILE + source)
    server = {"plugins_dir": str(folder), "data_dir": str(tmp_path / "data")}
    config = load_config(None, environment={}, flags={"server": server, **tables})
    ports = {"events": "postman"}
    return type(config)(server=config.server, plugins=config.plugins, ports=ports)


@asynccontextmanager
async def shelf(config: Config, **settings: Any) -> AsyncIterator[Any]:
    async with started(config, "shelf", **settings) as plugin:
        yield plugin


async def test_a_plugin_is_started_with_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    async with shelf(configuration(tmp_path)) as plugin:
        assert plugin.events is not None
    assert not (tmp_path / "data" / "bystander was here").exists()


async def test_settings_of_a_command_win_over_configured_ones(tmp_path: Path) -> None:
    config = configuration(tmp_path, shelf={"label": "configured"})
    async with shelf(config) as plugin:
        assert plugin.settings.label == "configured"
    async with shelf(config, label="given") as plugin:
        assert plugin.settings.label == "given"


async def test_the_reason_is_that_of_the_plugin_that_failed(tmp_path: Path) -> None:
    config = configuration(tmp_path, BROKEN_POSTMAN)
    with pytest.raises(BootError, match="plugin postman is failed: OSError: the van is gone"):
        async with shelf(config):
            pass


async def test_a_disabled_plugin_cannot_be_started(tmp_path: Path) -> None:
    config = configuration(tmp_path, shelf={"enabled": False})
    with pytest.raises(BootError, match="plugin shelf is disabled: by configuration"):
        async with shelf(config):
            pass


async def test_a_plugin_that_is_not_there_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(BootError, match="there is no plugin 'cupboard'"):
        async with started(configuration(tmp_path), "cupboard"):
            pass


def invoke(*arguments: str) -> Result:
    """Call a command of two words that tells the configuration that it was given."""

    @click.group()
    def cli() -> None:
        """All commands."""

    @cli.group("shelf")
    def group() -> None:
        """A plugin's commands."""

    @group.command("tell")
    @click.option("--loud", is_flag=True)
    @configured
    def tell(config: Config, loud: bool) -> None:
        """Tell the configuration."""
        click.echo(f"{config.server.port} {loud}")

    @group.command("plain")
    def plain() -> None:
        """A command without a configuration."""

    options = [
        click.Option(["--config", "config_file"], type=click.Path(path_type=Path)),
        click.Option(["--port", "server__port"]),
    ]
    add_options(cli, options)
    add_options(cli, options)
    return CliRunner().invoke(cli, arguments)


def test_a_command_is_given_the_configuration_and_its_own_flags() -> None:
    assert invoke("shelf", "tell", "--port", "1234", "--loud").output == "1234 True\n"
    assert invoke("shelf", "tell").output == "8400 False\n"


def test_a_command_reads_the_named_file(tmp_path: Path) -> None:
    path = tmp_path / "famulus.toml"
    path.write_text("[server]\nport = 99\n")
    assert invoke("shelf", "tell", "--config", str(path)).output == "99 False\n"
    assert invoke("shelf", "tell", "--config", str(path), "--port", "1").output == "1 False\n"


def test_a_wrong_configuration_is_told_to_the_commands_user(tmp_path: Path) -> None:
    path = tmp_path / "famulus.toml"
    path.write_text("[server]\nprot = 99\n")
    result = invoke("shelf", "tell", "--config", str(path))
    assert isinstance(result.exception, ConfigError)
    assert "prot" in str(result.exception)


def test_a_command_that_asks_for_no_configuration_has_no_flags_of_it() -> None:
    assert invoke("shelf", "plain").exit_code == 0
    assert invoke("shelf", "plain", "--port", "1").exit_code == 2
