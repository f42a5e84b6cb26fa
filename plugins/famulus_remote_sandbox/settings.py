"""The settings of the gateway and of the boxes behind it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from famulus import Secret, Settings, setting
from famulus_schemas.sandbox import CellLimits

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class RemoteSandboxSettings(Settings, frozen=True):
    """Table `[plugins.remote_sandbox]`."""

    url: Annotated[
        str | None,
        setting(why="Of the Jupyter gateway or server, such as `https://gateway.boxes.svc:8888`."),
    ] = None
    token: Annotated[Secret | None, setting(why="Sent as `Authorization: token`.")] = None
    level: Annotated[
        Literal["isolated", "confined"] | None,
        setting(
            why="How well the gateway shuts its kernels in: `isolated` where each has a sandbox of "
            "its own, as gVisor's. This server cannot see it: until it is said, there are no boxes."
        ),
    ] = None
    kernel: Annotated[
        str | None,
        setting(
            why="Name of the kernel to start, one of ipykernel; if not given, the gateway's own."
        ),
    ] = None
    homes: Annotated[
        str | None,
        setting(
            why="Where kernels share a file system: the folder in which each makes one of its own. "
            "If not given, each has a `/mnt/data` that no other sees."
        ),
    ] = None
    verify_tls: Annotated[
        bool,
        setting(why="Whether the gateway's certificate is checked; without, anyone can be it."),
    ] = True
    ca_file: Annotated[
        str | None, setting(why="Certificates to trust instead of the machine's, as a PEM file.")
    ] = None
    packages: Annotated[
        tuple[str, ...],
        setting(why="Packages that models are told of where a kernel says that it has them."),
    ] = ("numpy", "pandas", "matplotlib", "scipy", "pillow", "openpyxl")
    boxes_max: Annotated[Count, setting(why="Boxes at once; each is a kernel.")] = 8
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
        setting(why="Kernels kept ready beside the boxes, so that a session waits for no pod."),
    ] = 1
    probe_after_s: Annotated[
        float,
        setting(why="Seconds after the start at which the gateway is tried out, if not before."),
    ] = 5.0
    connect_s: Annotated[Seconds, setting(why="Seconds to connect to the gateway.")] = 5.0
    request_s: Annotated[
        Seconds, setting(why="Seconds that the gateway may take to interrupt or end a kernel.")
    ] = 20.0
    start_s: Annotated[
        Seconds, setting(why="Seconds until a kernel must be ready; a pod may have to be made.")
    ] = 120.0
    transfer_s: Annotated[
        Seconds, setting(why="Seconds without an answer, after which a box is ended.")
    ] = 30.0
    wall_s: Annotated[Seconds, setting(why="Seconds a cell may take before it is interrupted.")] = (
        60.0
    )
    grace_s: Annotated[
        Seconds,
        setting(why="Seconds that interrupted code has to stop before its kernel is ended."),
    ] = 5.0
    stream_bytes: Annotated[
        Count, setting(why="Shown of each of stdout, stderr, a result and a traceback.")
    ] = 100_000
    flood_bytes: Annotated[Count, setting(why="Output of a cell at which its box is ended.")] = (
        50_000_000
    )
    images_max: Annotated[int, msgspec.Meta(ge=0), setting(why="Images that a cell may show.")] = 20
    image_bytes: Annotated[Count, setting(why="Size of one image.")] = 10_000_000
    files_bytes: Annotated[Count, setting(why="Size of one file that is put in.")] = 512_000_000
    file_bytes: Annotated[Count, setting(why="Size of one file that is taken out.")] = 100_000_000
    files_told: Annotated[Count, setting(why="Files of a box that are listed.")] = 1_000
    piece_bytes: Annotated[
        int,
        msgspec.Meta(ge=1_024, le=4_000_000),
        setting(why="Size of the pieces of files; gateways take messages of 10 MB at most."),
    ] = 262_144
    message_bytes: Annotated[
        int,
        msgspec.Meta(ge=1_000_000),
        setting(why="Size of one message of a kernel; an image in base64 must fit in."),
    ] = 20_000_000
    turn_bytes: Annotated[
        int,
        msgspec.Meta(ge=1_000_000),
        setting(why="All that a kernel may say to one request, of whatever kind."),
    ] = 400_000_000

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
