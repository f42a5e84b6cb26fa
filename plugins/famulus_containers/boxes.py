"""CONTAINERS, and the boxes of containers: opened for whoever runs code, and kept to the files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from famulus import Problem
from famulus_containers.kinds import PREFIX
from famulus_containers.shelf import Given
from famulus_schemas.blobs import BlobsUnavailable
from famulus_schemas.containers import ContainerFile
from famulus_schemas.sandbox import (
    HOME,
    Box,
    BoxFile,
    BoxFileMissing,
    BoxFileRefused,
    BoxGone,
    SandboxUnavailable,
)

if TYPE_CHECKING:
    from famulus_containers.plugin import ContainersPlugin

NO_SANDBOX = "no plugin of this server provides a sandbox"


class ContainerService:
    """What `need(CONTAINERS)` gives."""

    def __init__(self, plugin: ContainersPlugin) -> None:
        self._plugin = plugin
        self._entering: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._boxes: dict[str, tuple[Box, dict[str, str]]] = {}
        """Boxes by their ids, with the files that are in each: their paths by their ids."""

    async def enter(self, project: str, container_id: str) -> Box:
        """As Containers.enter."""
        plugin = self._plugin
        record, container = await plugin.shelf.running(project, container_id)
        await plugin.shelf.used(project, record, container)
        if plugin.sandbox is None:
            raise SandboxUnavailable([NO_SANDBOX])
        lock = self._entering.setdefault((project, container_id), asyncio.Lock())
        async with lock:
            box = await plugin.sandbox.open(container_id, project=project)
            try:
                await self._bring_up_to_date(box)
            except BaseException:
                # A box with half of the files would pass for a whole one.
                await self._leave(box)
                raise
        return box

    async def _bring_up_to_date(self, box: Box) -> None:
        """Have in the box what the container has: another process may have changed that."""
        files = await self._plugin.shelf.files(box.project, box.session)
        has = self._has(box)
        paths = {_path(file) for file in files}
        for id in has.keys() - {file.id for file in files}:
            if (path := has.pop(id)) not in paths:
                with suppress(BoxFileMissing):
                    await box.delete(path)
        for file in files:
            if file.id not in has:
                await self._put(box, file)

    async def _put(self, box: Box, file: ContainerFile) -> None:
        chunks = await self._plugin.contents.open(box.project, file.id)
        await box.put(_path(file), chunks)
        self._has(box)[file.id] = _path(file)

    def _has(self, box: Box) -> dict[str, str]:
        """The files that were put into a box, or kept out of it."""
        return self._boxes.setdefault(box.id, (box, {}))[1]

    def tidy(self) -> None:
        """Forget boxes that are no more."""
        self._boxes = {id: one for id, one in self._boxes.items() if one[0].is_alive}

    async def keep(
        self, project: str, container_id: str, changed: Sequence[BoxFile]
    ) -> Sequence[ContainerFile]:
        """As Containers.keep."""
        plugin, box = self._plugin, self.box(project, container_id)
        if box is None:
            return []
        given: list[Given] = []
        try:
            for one in changed:
                id, limit = plugin.new_id(PREFIX), plugin.settings.file_bytes_max
                try:
                    blob = await plugin.contents.keep(
                        project, id, box.get(one.path, bytes_max=limit)
                    )
                except (BoxFileMissing, BoxFileRefused, Problem):
                    continue
                given.append(
                    Given(
                        id=id,
                        filename=PurePosixPath(one.path).name,
                        path=one.path,
                        bytes=blob.bytes,
                        sha256=blob.sha256,
                    )
                )
            caller = plugin.caller(project)
            kept = await plugin.shelf.add(caller, container_id, given, source="assistant")
        except BaseException:
            await plugin.contents.drop(project, [one.id for one in given])
            raise
        has = self._has(box)
        new = {_path(file): file.id for file in kept}
        for id in [id for id, path in has.items() if path in new]:
            del has[id]
        has |= {id: path for path, id in new.items()}
        return kept

    # --- for what clients do ------------------------------------------------------------------

    def box(self, project: str, container_id: str) -> Box | None:
        """The container's box, where one is open."""
        sandbox = self._plugin.sandbox
        box = None if sandbox is None else sandbox.find(container_id, project=project)
        return box if box is not None and box.is_alive else None

    async def was_added(self, project: str, file: ContainerFile) -> None:
        """Have a new file in the box, too. A box that cannot take it is closed."""
        box = self.box(project, file.container_id)
        if box is None:
            return
        try:
            await self._put(box, file)
        except BoxGone:
            return
        except (BoxFileRefused, BlobsUnavailable) as error:
            # The file is there, so a box without it must not be.
            self._plugin.log.warning("box_closed", container=box.session, reason=str(error))
            await self._leave(box)

    async def was_removed(self, project: str, file: ContainerFile) -> None:
        """Have a file out of the box, too."""
        box = self.box(project, file.container_id)
        if box is not None:
            self._has(box).pop(file.id, None)
            with suppress(BoxGone, BoxFileMissing):
                await box.delete(_path(file))

    async def close(self, project: str, container_id: str) -> None:
        """Have no box of a container that is over."""
        box = self.box(project, container_id)
        if box is not None:
            await self._leave(box)

    async def _leave(self, box: Box) -> None:
        self._boxes.pop(box.id, None)
        await box.close()


def _path(file: ContainerFile) -> str:
    return file.path.removeprefix(f"{HOME}/")
