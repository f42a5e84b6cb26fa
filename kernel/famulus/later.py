"""Commands whose code is imported when they are given, and not at every start."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cached_property
from typing import Any

import click


class Later(click.Command):
    """A command of which only the name and what it does are known yet."""

    def __init__(self, name: str, where: str, *, does: str) -> None:
        super().__init__(name, help=does)
        self._where = where

    @cached_property
    def loaded(self) -> click.Command:
        """The command itself. Raises ClickException where it cannot be imported."""
        try:
            found: click.Command | Callable[[], click.Command] = pkgutil.resolve_name(self._where)
            return found if isinstance(found, click.Command) else found()
        except Exception as error:  # Isolation: as with a plugin that cannot be imported.
            reason = f"{type(error).__name__}: {error}"
            raise click.ClickException(f"{self.name} cannot be loaded: {reason}") from error

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Whoever gives the command deals with what it really is."""
        return self.loaded.make_context(info_name, args, parent, **extra)


def later(name: str, where: str, *, does: str) -> Later:
    """A command that is known by what `--help` says of it, and imported from `where` when given.

    `where` is `module:name`, of a command or of a function without parameters that makes it.
    `does` is the first sentence of the command's own help.
    """
    return Later(name, where, does=does)
