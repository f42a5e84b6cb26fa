"""The sandbox's contract: boxes in which a model's code runs and can harm nobody but itself.

A *box* is one session: a Python process with variables, modules and files of its own, which it
keeps from one *cell* (one piece of code) to the next. All that comes out of a box may be forged by
the code in it: it is bounded and checked for its form, and never more than text, bytes and names.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

HOME = "/mnt/data"
"""The folder of a box in which code starts, and to which the paths of files are relative."""

# -- what is there ----------------------------------------------------------------------------

Level = Literal["isolated", "confined", "none"]
"""How well boxes are shut: `isolated`, by namespaces of their own; `confined`, only by what the
kernel refuses them, on shared resources; `none`, so that there are none."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox can do on this machine, as it was found by trying to break out of a box."""

    provider: str
    level: Level
    reasons: tuple[str, ...] = ()
    """Where the level is `none`, why, and what its operator can do; else what boxes lack."""
    python: str = ""
    """Version of the Python in a box, such as `3.11.7`."""
    packages: tuple[str, ...] = ()
    """What it can import beside the standard library, as `numpy 2.3.1`; models are told so."""


# -- limits -----------------------------------------------------------------------------------


class BoxLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one box may have as long as it lives."""

    memory_bytes: int = 1_000_000_000
    """Of all of its processes together; a box that takes more is killed."""
    files_bytes: int = 512_000_000
    """Of all files in its home; a full one refuses to be written to."""
    files_max: int = 100_000
    """Files, folders and links; a box that makes more is killed."""
    tasks_max: int = 64
    """Processes and threads at once; the next one is refused."""


class CellLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell may take and show."""

    wall_s: float = 60.0
    """Seconds after which it is interrupted; its box is killed where it does not stop then."""
    stream_bytes: int = 100_000
    """Shown of each of stdout, stderr, the result and a traceback; the rest is counted."""
    flood_bytes: int = 50_000_000
    """Of a stream in all; a box that writes more is killed."""
    images_max: int = 20
    image_bytes: int = 10_000_000
    """Of one image; a larger one is left out."""
    changes_max: int = 1_000
    """Files that are told as changed."""


# -- what a cell gives ------------------------------------------------------------------------

Stream = Literal["stdout", "stderr"]


class BoxFile(msgspec.Struct, frozen=True, kw_only=True):
    """A regular file in a box, as the box tells it."""

    path: str
    """Relative to the home, with `/`; never absolute, without `..` and control characters."""
    bytes: int


class TextOutput(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """The next piece of what was written, also by processes that the code started."""

    stream: Stream
    text: str


class ResultOutput(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """The `repr` of the last expression, as a notebook shows it; None is not shown."""

    text: str


class ImageOutput(msgspec.Struct, frozen=True, kw_only=True, tag="image"):
    """An image that was shown, such as a figure of matplotlib."""

    data: bytes
    """Begins as a file of its type does; nothing more is known of it."""
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"] = "image/png"


class ErrorOutput(msgspec.Struct, frozen=True, kw_only=True, tag="error"):
    """The code ended with an exception, or was stopped."""

    name: str
    """Of the exception, such as `ZeroDivisionError`."""
    traceback: str
    """As the model should see it: the code's own frames and the exception's message."""


class CutOutput(msgspec.Struct, frozen=True, kw_only=True, tag="cut"):
    """Something was too much and was left out."""

    what: Literal["stdout", "stderr", "result", "traceback", "images", "files"]
    left_out: int
    """Bytes of a stream or text; a number of images or files."""


class FilesOutput(msgspec.Struct, frozen=True, kw_only=True, tag="files"):
    """What is new or different in the box's home after the cell, in the order of the paths."""

    changed: tuple[BoxFile, ...] = ()
    deleted: tuple[str, ...] = ()


class EndOutput(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """The last output of every cell whose box lives on: its variables and files are kept."""

    status: Literal["ok", "error", "timeout", "interrupted"]
    wall_s: float


Output: TypeAlias = (
    TextOutput | ResultOutput | ImageOutput | ErrorOutput | CutOutput | FilesOutput | EndOutput
)

# -- faults -----------------------------------------------------------------------------------


class SandboxUnavailable(Exception):
    """There are no boxes here; says why, and what the server's operator can do."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("code cannot be run: " + "; ".join(reasons))


class SandboxBusy(Exception):
    """All boxes that there may be at once are in use; later there may be room."""

    def __init__(self, boxes_max: int) -> None:
        super().__init__(f"all {boxes_max} boxes are in use")


Why = Literal["memory", "files", "timeout", "output", "protocol", "exited", "evicted", "closed"]
"""`memory`, `files`, `timeout`, `output`: the code broke that limit. `protocol`: the box answered
what none answers. `exited`: its process ended. `evicted`: others needed its place, or it was
unused for too long. `closed`: by `close`, or because the server stops."""


class BoxGone(Exception):
    """The box is no more, with all variables and files; the session can open another one."""

    def __init__(self, why: Why, message: str) -> None:
        self.why: Why = why
        self.message = message
        """A sentence that the model may be told."""
        super().__init__(message)


class BoxFileMissing(LookupError):
    """There is no regular file of that path in the box's home."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is no file {path!r}")


class BoxFileRefused(Exception):
    """A file cannot be taken in or out: it is too large, the box is full, or the path is none."""


# -- the port ---------------------------------------------------------------------------------


class Box(Protocol):
    """One session. Does one thing at a time; what is asked meanwhile waits for its turn.

    Everything but `close` and `interrupt` raises BoxGone once the box is gone, and while it goes.
    """

    id: str
    """Unique: another one under the same session's key has another id, and is empty."""
    session: str
    project: str

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked something."""
        ...

    @property
    def cells(self) -> int:
        """How many cells were begun in it; 0 as long as it holds nothing of the code's."""
        ...

    def run(self, code: str, *, limits: CellLimits | None = None) -> AsyncIterator[Output]:
        """Run a cell and give what it shows, as it shows it; EndOutput is the last.

        Closing the iterator before interrupts the cell, and kills the box if that does not help.
        An exception in the code is an ErrorOutput; none of it is raised here. A limit that
        only this cell broke ends it with `timeout` and keeps the box.
        """
        ...

    async def put(self, path: str, chunks: AsyncIterable[bytes]) -> BoxFile:
        """Write a file in place of what has the path, and the folders above it.

        Raises BoxFileRefused for a path that is none, or where there is no room; and what the
        chunks raise. Nothing is left at the path then.
        """
        ...

    def get(self, path: str, *, bytes_max: int | None = None) -> AsyncIterator[bytes]:
        """A file's bytes, read by the box itself: a link leads nowhere outside.

        Without `bytes_max`, as many as the provider's setting allows. Raises BoxFileMissing, and
        BoxFileRefused for a larger file, before any of its bytes where its size says so.
        """
        ...

    async def list(self) -> Sequence[BoxFile]:
        """The regular files in the home, at any depth, in the order of their paths.

        Those whose names are no text are left out, and those past the limit on what is told.
        """
        ...

    async def delete(self, path: str) -> None:
        """Remove a file. Raises BoxFileMissing."""
        ...

    async def interrupt(self) -> bool:
        """Stop the running cell as Ctrl-C does; whether there was one. Variables are kept."""
        ...

    async def close(self) -> None:
        """Kill the box, and wait until none of its processes is left. Can be called again."""
        ...


class Sandbox(Protocol):
    """Opens boxes; what `need(SANDBOX)` gives."""

    async def probe(self) -> Probe:
        """How well boxes are shut here. Found out once, by trying, which takes some seconds."""
        ...

    async def open(self, session: str, *, project: str, limits: BoxLimits | None = None) -> Box:
        """The session's box: the one that is open under this key in the project, or a new one.

        A box is used by one session of one project, and by no other after it. `limits` are for a
        new one, and may not be wider than the provider's. Raises SandboxUnavailable where the
        probe found no level, and SandboxBusy where no place becomes free in time.
        """
        ...

    def find(self, session: str, *, project: str) -> Box | None:
        """The box that is open under this key, if there is one."""
        ...
