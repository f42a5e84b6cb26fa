"""The model that is always there: a stand-in of fixed rules, with no weights and no network."""

from __future__ import annotations

from famulus import Plugin, hookimpl
from famulus_builtin.settings import BuiltinSettings
from famulus_schemas.inference import Backend

__all__ = ["Builtin", "BuiltinSettings"]


class Builtin(Plugin[BuiltinSettings]):
    """Registers the backend `builtin`: the stand-in `famulus-builtin`, and the lexical embedder."""

    name = "builtin"

    @hookimpl
    def register_backends(self) -> list[Backend]:
        """The one backend, which opens nothing."""
        from famulus_builtin.backend import BuiltinBackend

        return [BuiltinBackend(self.settings)]
