"""What one cell shows, put together from what its box writes and says, within the limits."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Literal, cast

import msgspec

from famulus_boxes.channel import Stream
from famulus_boxes.frames import ForgedFrame, Reply
from famulus_boxes.paths import is_path
from famulus_schemas.sandbox import (
    BoxFile,
    CellLimits,
    CutOutput,
    EndOutput,
    ErrorOutput,
    FilesOutput,
    ImageOutput,
    Output,
    ResultOutput,
    TextOutput,
)

Stopped = Literal["timeout", "interrupted"]
CutName = Literal["stdout", "stderr", "result", "traceback", "images", "files"]

_CUTS = ("result", "traceback", "images", "files")
_FRAMES_MAX = 20_000
_MEDIA = {
    "png": (b"\x89PNG\r\n\x1a\n", "image/png"),
    "jpeg": (b"\xff\xd8\xff", "image/jpeg"),
    "gif": (b"GIF8", "image/gif"),
    "webp": (b"RIFF", "image/webp"),
}


class Flooded(Exception):
    """More was written than a box may live with."""


class StreamText:
    """One stream's bytes as text, the first of them; the rest is counted."""

    def __init__(self, stream: Stream, limits: CellLimits) -> None:
        self._stream: Stream = stream
        self._limits = limits
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._shown = self._total = 0

    def take(self, data: bytes) -> TextOutput | None:
        """What is to be shown of it. Raises Flooded."""
        self._total += len(data)
        if self._total > self._limits.flood_bytes:
            raise Flooded
        room = self._limits.stream_bytes - self._shown
        if room <= 0:
            return None
        self._shown += min(room, len(data))
        text = self._decoder.decode(data[:room], final=len(data) > room)
        return TextOutput(stream=self._stream, text=_clean(text)) if text else None

    def ends(self) -> Iterator[Output]:
        """Half a character that was left, and how much was left out."""
        if text := self._decoder.decode(b"", final=True):
            yield TextOutput(stream=self._stream, text=text)
        if left_out := self._total - self._shown:
            yield CutOutput(what=self._stream, left_out=left_out)


class Picture(msgspec.Struct):
    """An image of which not all has come."""

    name: str
    bytes: int
    data: bytearray


class CellOutputs:
    """What a cell showed so far. Everything here raises ForgedFrame for what no cell says."""

    def __init__(self, limits: CellLimits) -> None:
        self._limits = limits
        self._texts = {
            "stdout": StreamText("stdout", limits),
            "stderr": StreamText("stderr", limits),
        }
        self._picture: Picture | None = None
        self._frames = self._images = 0
        self._once: set[str] = set()
        self._changed: list[BoxFile] = []
        self._deleted: list[str] = []
        self._cuts: dict[CutName, int] = {}
        self._failed = False

    def text(self, stream: Stream, data: bytes) -> TextOutput | None:
        """What is to be shown of what was written."""
        return self._texts[stream].take(data)

    def reply(self, reply: Reply, blob: bytes, stopped: Stopped | None) -> Output | None:
        """What is to be shown of what the box said."""
        self.count()
        if self._picture is not None or reply.kind == "data":
            return self._more(reply, blob)
        if reply.kind == "image":
            self._begin(reply)
        elif reply.kind == "changed" and is_path(reply.name):
            self._changed.append(BoxFile(path=reply.name, bytes=reply.size))
        elif reply.kind == "deleted" and is_path(reply.name):
            self._deleted.append(reply.name)
        elif reply.kind == "cut":
            self._cut(reply.name, reply.size)
        elif reply.kind in ("result", "error"):
            return self._told(reply, stopped)
        elif reply.kind not in ("changed", "deleted"):
            raise ForgedFrame(f"{reply.kind} is no reply to a cell")
        if len(self._changed) + len(self._deleted) > self._limits.changes_max:
            raise ForgedFrame("it tells of too many files")
        return None

    def count(self) -> None:
        """Count a frame, whatever it says."""
        self._frames += 1
        if self._frames > _FRAMES_MAX:
            raise ForgedFrame("there are too many")

    def ends(self, *, stopped: Stopped | None, wall_s: float) -> Iterator[Output]:
        """What is told at the end of a cell."""
        if self._picture is not None:
            raise ForgedFrame("an image is not whole")
        for text in self._texts.values():
            yield from text.ends()
        for what, left_out in self._cuts.items():
            yield CutOutput(what=what, left_out=left_out)
        if self._changed or self._deleted:
            yield FilesOutput(changed=tuple(self._changed), deleted=tuple(self._deleted))
        status = "error" if self._failed else "ok"
        if stopped is not None and self._failed:
            status = stopped
        yield EndOutput(status=cast("Literal['ok', 'error']", status), wall_s=round(wall_s, 3))

    # -- one kind each -------------------------------------------------------------------------

    def _begin(self, reply: Reply) -> None:
        self._images += 1
        if (
            reply.name not in _MEDIA
            or not 0 < reply.size <= self._limits.image_bytes
            or self._images > self._limits.images_max
        ):
            raise ForgedFrame("it is no image that may be shown")
        self._picture = Picture(reply.name, reply.size, bytearray())

    def _more(self, reply: Reply, blob: bytes) -> ImageOutput | None:
        picture = self._picture
        if picture is None or reply.kind != "data":
            raise ForgedFrame("there is no image of which it could be a part")
        picture.data += blob
        if len(picture.data) < picture.bytes:
            return None
        self._picture = None
        begin, media_type = _MEDIA[picture.name]
        if len(picture.data) > picture.bytes or not picture.data.startswith(begin):
            raise ForgedFrame("it is not the image that was announced")
        return ImageOutput(
            data=bytes(picture.data), media_type=cast("Literal['image/png']", media_type)
        )

    def _told(self, reply: Reply, stopped: Stopped | None) -> Output:
        if reply.kind in self._once:
            raise ForgedFrame(f"there is a second {reply.kind}")
        self._once.add(reply.kind)
        what: CutName = "result" if reply.kind == "result" else "traceback"
        text = self._fitting(what, reply.text)
        if reply.kind == "result":
            return ResultOutput(text=text)
        self._failed = True
        name = _clean(reply.name)[:200]
        if stopped is not None:
            after = f" after {self._limits.wall_s:g} s" if stopped == "timeout" else ""
            text += f"The code was stopped{after}. Its variables and files are kept.\n"
            name = "TimeoutError" if stopped == "timeout" else name
        return ErrorOutput(name=name, traceback=text)

    def _fitting(self, what: CutName, text: str) -> str:
        data = text.encode()
        if left_out := max(0, len(data) - self._limits.stream_bytes):
            self._cut(what, left_out)
        return _clean(data[: self._limits.stream_bytes].decode(errors="ignore"))

    def _cut(self, what: str, size: int) -> None:
        if what not in _CUTS:
            raise ForgedFrame("nothing of that kind is cut")
        name = cast("CutName", what)
        self._cuts[name] = self._cuts.get(name, 0) + size


def _clean(text: str) -> str:
    # Stores refuse it, and no terminal shows it.
    return text.replace("\0", "\ufffd")
