"""What one cell shows, put together from what its kernel says, within the limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, cast

from famulus_boxes.cell import CutName, Flooded, Stopped, StreamText
from famulus_boxes.paths import is_path
from famulus_remote_sandbox.messages import (
    Answer,
    Bundle,
    ExecuteReply,
    Failure,
    Forged,
    Message,
    Shown,
    Status,
    Stream,
    unpacked,
)
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
)

__all__ = ["CellOutputs", "Flooded", "Stopped"]

_CUTS = ("result", "traceback", "images", "files")
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BEGINS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class CellOutputs:
    """What a cell showed so far. Everything here raises Forged for what no kernel says."""

    def __init__(self, limits: CellLimits) -> None:
        self._limits = limits
        self._texts = {
            "stdout": StreamText("stdout", limits),
            "stderr": StreamText("stderr", limits),
        }
        self._images = 0
        self._has_result = self._failed = False
        self._cuts: dict[CutName, int] = {}
        self._idle = False
        self._reply: ExecuteReply | None = None

    @property
    def is_over(self) -> bool:
        """Whether the kernel is done with the cell and all that it showed is here."""
        return self._idle and self._reply is not None

    def take(self, message: Message, stopped: Stopped | None) -> Output | None:
        """What is to be shown of what was said. Raises Flooded."""
        if message.kind == "stream":
            return self._written(message.read(Stream))
        if message.kind == "execute_result":
            return self._shown(message.read(Shown).data, is_result=True)
        if message.kind == "display_data":
            return self._shown(message.read(Shown).data, is_result=False)
        if message.kind == "error":
            return self._told(message.read(Failure), stopped)
        if message.kind == "status":
            self._idle = self._idle or message.read(Status).execution_state == "idle"
        elif message.kind == "execute_reply":
            self._reply = message.read(ExecuteReply)
        return None

    def ends(self, answer: Answer, *, stopped: Stopped | None, wall_s: float) -> Iterator[Output]:
        """What is told at the end of a cell."""
        reply = self._reply
        assert reply is not None
        if reply.status != "ok" and not self._failed and reply.ename != "SystemExit":
            told = self._told(Failure(reply.ename, reply.evalue, reply.traceback), stopped)
            assert told is not None
            yield told
        for text in self._texts.values():
            yield from text.ends()
        for name, size in answer.cuts.items():
            if name not in _CUTS:
                raise Forged("nothing of that kind is cut")
            self._cut(cast("CutName", name), size)
        yield from (CutOutput(what=what, left_out=size) for what, size in self._cuts.items())
        if len(answer.files) + len(answer.deleted) > self._limits.changes_max:
            raise Forged("it tells of too many files")
        changed = tuple(BoxFile(path=path, bytes=n) for path, n in answer.files if is_path(path))
        deleted = tuple(path for path in answer.deleted if is_path(path))
        if changed or deleted:
            yield FilesOutput(changed=changed, deleted=deleted)
        status = "error" if self._failed else "ok"
        if stopped is not None and self._failed:
            status = stopped
        yield EndOutput(status=cast("Literal['ok', 'error']", status), wall_s=round(wall_s, 3))

    # -- one kind each -------------------------------------------------------------------------

    def _written(self, stream: Stream) -> Output | None:
        if stream.name not in self._texts:
            raise Forged("there is no such stream")
        return self._texts[stream.name].take(stream.text.encode(errors="replace"))

    def _shown(self, data: Bundle, *, is_result: bool) -> Output | None:
        if data.png:
            return self._image("image/png", data.png)
        if data.jpeg:
            return self._image("image/jpeg", data.jpeg)
        if not data.plain:
            return None
        # Notebooks can be set to show every expression.
        if not is_result or self._has_result:
            return self._written(Stream("stdout", data.plain + "\n"))
        self._has_result = True
        return ResultOutput(text=self._fitting("result", data.plain))

    def _image(self, media_type: Literal["image/png", "image/jpeg"], text: str) -> Output | None:
        self._images += 1
        is_large = len(text) * 3 // 4 > self._limits.image_bytes + 1_000
        data = b"" if is_large else unpacked(text)
        if (
            is_large
            or len(data) > self._limits.image_bytes
            or self._images > self._limits.images_max
        ):
            self._cut("images", 1)
            return None
        if not data.startswith(_BEGINS[media_type]):
            raise Forged("it is not the image that was announced")
        return ImageOutput(data=data, media_type=media_type)

    def _told(self, failure: Failure, stopped: Stopped | None) -> Output | None:
        text = _COLOURS.sub("", "\n".join(failure.traceback))
        text = text or f"{failure.ename}: {failure.evalue}\n"
        if self._failed:
            # One is what ended the cell; `%run` tells of others.
            return self._written(Stream("stderr", text))
        self._failed = True
        text = self._fitting("traceback", text)
        name = failure.ename.replace("\0", "\ufffd")[:200]
        if stopped is not None:
            after = f" after {self._limits.wall_s:g} s" if stopped == "timeout" else ""
            text += f"The code was stopped{after}. Its variables and files are kept.\n"
            name = "TimeoutError" if stopped == "timeout" else name
        return ErrorOutput(name=name, traceback=text)

    def _fitting(self, what: CutName, text: str) -> str:
        data = text.encode(errors="replace")
        if left_out := max(0, len(data) - self._limits.stream_bytes):
            self._cut(what, left_out)
        # Stores refuse the sign of nothing.
        fitting = data[: self._limits.stream_bytes].decode(errors="ignore")
        return fitting.replace("\0", "\ufffd")

    def _cut(self, what: CutName, size: int) -> None:
        self._cuts[what] = self._cuts.get(what, 0) + size
