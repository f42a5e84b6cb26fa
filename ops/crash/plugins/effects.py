"""Functions that the server runs, each with an effect in the world outside: a line in a file."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from famulus import NoSettings, Plugin, hookimpl
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

VARIABLE = "CRASH_EFFECTS"
PAUSE_S = {"effect_fast": 0.0, "effect_slow": 0.08}


class Effects:
    """Each run of a call leaves a line with a number of its own, and that number is its output."""

    type = "function"
    place: Literal["server", "client"] = "server"

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The functions of this file; all others are the client's."""
        name = definition["function"]["name"]
        return [OfferedFunction(name=name)] if name in PAUSE_S else []

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Have the effect, and say which one it was."""
        await asyncio.sleep(PAUSE_S[call.name])
        effect = f"effect-{secrets.token_hex(6)}"
        line = f"{call.id} {effect} {os.getpid()}\n".encode()
        file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line)
        finally:
            os.close(file)
        yield ToolOutput(text=effect)


class EffectsPlugin(Plugin[NoSettings]):
    """Lets the crash tests see how often a tool was really run."""

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        """The one kind."""
        return [Effects()]
