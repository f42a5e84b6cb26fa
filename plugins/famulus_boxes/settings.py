"""What all local sandboxes are set by; their plugins' settings begin with it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from famulus import Settings, setting
from famulus_schemas.sandbox import BoxLimits, CellLimits

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class BoxSettings(Settings, frozen=True):
    """The limits of boxes and of the cells in them."""

    boxes_max: Annotated[
        Count, setting(why="Boxes at once; each may take `memory_bytes` and `files_bytes`.")
    ] = 8
    wait_s: Annotated[
        float, setting(why="Seconds that a session waits for a place where all are taken.")
    ] = 10.0
    spare_s: Annotated[
        float,
        setting(why="Seconds after which a box that is not used makes room for a new session."),
    ] = 120.0
    idle_s: Annotated[
        Seconds, setting(why="Seconds after which a box that is not used is closed anyway.")
    ] = 1800.0
    warm: Annotated[
        int,
        msgspec.Meta(ge=0),
        setting(why="Boxes kept ready, imports done, so that a session's first cell is quick."),
    ] = 1
    preload: Annotated[
        tuple[str, ...], setting(why="Modules that are imported before a box is given away.")
    ] = ("numpy", "pandas", "matplotlib.pyplot")
    memory_bytes: Annotated[
        Count, setting(why="Memory of a box, all of its processes together.")
    ] = 1_000_000_000
    files_bytes: Annotated[
        Count, setting(why="Files in a box's home; further ones for temporary files are a quarter.")
    ] = 512_000_000
    files_max: Annotated[Count, setting(why="Files, folders and links in a box.")] = 100_000
    tasks_max: Annotated[Count, setting(why="Processes and threads of a box.")] = 64
    wall_s: Annotated[Seconds, setting(why="Seconds a cell may take before it is interrupted.")] = (
        60.0
    )
    grace_s: Annotated[
        Seconds, setting(why="Seconds that interrupted code has to stop before its box is killed.")
    ] = 2.0
    idle_cpu_s: Annotated[
        Seconds,
        setting(why="CPU seconds that what a cell left behind may take until the next one."),
    ] = 10.0
    stream_bytes: Annotated[
        Count, setting(why="Shown of each of stdout, stderr, a result and a traceback.")
    ] = 100_000
    flood_bytes: Annotated[Count, setting(why="Output of a cell at which its box is killed.")] = (
        50_000_000
    )
    images_max: Annotated[int, msgspec.Meta(ge=0), setting(why="Images that a cell may show.")] = 20
    image_bytes: Annotated[Count, setting(why="Size of one image.")] = 10_000_000
    file_bytes: Annotated[Count, setting(why="Size of one file that is taken out.")] = 100_000_000
    files_told: Annotated[Count, setting(why="Files of a box that are listed.")] = 1_000
    transfer_s: Annotated[
        Seconds, setting(why="Seconds without progress after which moving a file ends the box.")
    ] = 30.0
    start_s: Annotated[Seconds, setting(why="Seconds until a box must be ready.")] = 60.0
    python: Annotated[
        str | None,
        setting(why="Interpreter of boxes, 3.9 or later; if not given, the one of the server."),
    ] = None
    probe_after_s: Annotated[
        float,
        setting(why="Seconds after the start at which boxes are tried out, if not needed before."),
    ] = 5.0
    nice: Annotated[
        int,
        msgspec.Meta(ge=0, le=19),
        setting(why="How far boxes give way to the server where the CPU is short."),
    ] = 5

    def box_limits(self) -> BoxLimits:
        """Those of a box for which none were given."""
        return BoxLimits(
            memory_bytes=self.memory_bytes,
            files_bytes=self.files_bytes,
            files_max=self.files_max,
            tasks_max=self.tasks_max,
        )

    def cell_limits(self) -> CellLimits:
        """Those of a cell for which none were given."""
        return CellLimits(
            wall_s=self.wall_s,
            stream_bytes=self.stream_bytes,
            flood_bytes=self.flood_bytes,
            images_max=self.images_max,
            image_bytes=self.image_bytes,
            changes_max=self.files_told,
        )
