"""How far a server, ours or any other, is OpenAI's API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import NoSettings, Plugin, hookimpl

if TYPE_CHECKING:
    import click

__all__ = ["Conformance"]


class Conformance(Plugin[NoSettings]):
    """Brings the command `famulus conformance`."""

    name = "conformance"

    @classmethod
    def off_because(cls, settings: NoSettings) -> str | None:
        """It takes no part in a server."""
        return "it only brings the command `famulus conformance`"

    @staticmethod
    @hookimpl
    def register_commands(cli: click.Group) -> None:
        """`famulus conformance`."""
        from famulus.later import later

        does = "Say how far a server is OpenAI's API, operation by operation."
        cli.add_command(later("conformance", "famulus_conformance.command:conformance", does=does))
