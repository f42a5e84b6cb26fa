"""How far a server, ours or any other, is OpenAI's API."""

from __future__ import annotations

import click

from famulus import NoSettings, Plugin, hookimpl

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
        from famulus_conformance.command import conformance

        cli.add_command(conformance())
