"""Who is asking: the principal that a credential stands for."""

from __future__ import annotations

import msgspec

DEFAULT_PROJECT = "default"
SYSTEM_PROJECT = "system"
"""Nobody's: what the processes of a server keep and tell among themselves."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. Everything it reads or writes belongs to `project`."""

    id: str
    """Stable name of the credential's owner, safe to log (never the credential itself)."""
    project: str = DEFAULT_PROJECT
    scopes: tuple[str, ...] = ("*",)
    """Actions that it may take, as `resource.verb`; `*` stands for all."""
    key_id: str | None = None
    """Which API key was used, where one was."""


COMMAND_LINE = Principal(id="command_line", project=SYSTEM_PROJECT, scopes=())
"""Whoever gives commands on the machine that has the records."""
SERVER = Principal(id="server", project=SYSTEM_PROJECT, scopes=())
"""The server itself, for what nobody asked it to do."""
