"""`famulus sandbox`: what code in boxes can import, and whether there can be boxes here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import NoSettings, Plugin, hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["SandboxCommands"]


class SandboxCommands(Plugin[NoSettings]):
    """Brings the commands `famulus sandbox install` and `famulus sandbox status`."""

    name = "sandbox"

    @classmethod
    def off_because(cls, settings: NoSettings) -> str | None:
        """It takes no part in a server."""
        return "it only brings the command `famulus sandbox`"

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus sandbox`."""
        from famulus.later import later

        does = "Boxes in which the code of models runs."
        cli.add_command(later("sandbox", "famulus_sandbox.commands:sandbox", does=does))
