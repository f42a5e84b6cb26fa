"""`famulus demo`: a whole conversation with a server of its own, by the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import NoSettings, Plugin, hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["Demo"]


class Demo(Plugin[NoSettings]):
    """Brings the command `famulus demo`."""

    name = "demo"

    @classmethod
    def off_because(cls, settings: NoSettings) -> str | None:
        """It takes no part in a server."""
        return "it only brings the command `famulus demo`"

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus demo`."""
        from famulus.later import later

        does = "Play a whole conversation with a server of its own."
        cli.add_command(later("demo", "famulus_demo.command:demo", does=does))
