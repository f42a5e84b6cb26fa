"""The plugin: one backend, where there are weights for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from famulus import CannotStart, Plugin, hookimpl
from famulus.plugin import Host
from famulus_schemas.inference import Backend
from famulus_sentences.settings import SentencesSettings
from famulus_sentences.weights import INSTALL, missing_in, packaged


class Sentences(Plugin[SentencesSettings]):
    """Registers the backend `sentences`."""

    name: ClassVar[str] = "sentences"

    def __init__(self, settings: SentencesSettings, host: Host) -> None:
        super().__init__(settings, host)
        self._backends: list[Backend] = []

    @classmethod
    def off_because(cls, settings: SentencesSettings) -> str | None:
        """Off until there are weights."""
        if settings.folder or packaged():
            return None
        return f"no weights are here: {INSTALL}"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Look for the files, which are read when the model is first asked."""
        # Only here: what does not run is not imported.
        from concurrent.futures import ThreadPoolExecutor

        from famulus_sentences.backend import SentencesBackend

        folder = Path(self.settings.folder) if self.settings.folder else packaged()
        assert folder is not None, "without weights the plugin is off"
        for package in ("numpy", "safetensors"):
            if find_spec(package) is None:
                raise CannotStart(f'{package} is not installed: pip install "famulus[sentences]"')
        if missing := missing_in(folder):
            raise CannotStart(f"{folder} holds no model: {', '.join(missing)} not found")
        pool = ThreadPoolExecutor(self.settings.threads, thread_name_prefix="sentences")
        self._backends.append(SentencesBackend(folder, self.settings, pool))
        try:
            yield
        finally:
            self._backends.clear()
            # Not waited for: a batch ends by itself, and its answer is nobody's any more.
            pool.shutdown(wait=False, cancel_futures=True)

    @hookimpl
    def register_backends(self) -> list[Backend]:
        """The one backend."""
        return list(self._backends)
