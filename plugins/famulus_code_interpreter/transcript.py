"""What came of one call's code: as its step shows it, and as the model reads it."""

from __future__ import annotations

from collections.abc import Sequence

from famulus_schemas.files import File
from famulus_schemas.messages import ImageFile, ImageFileContentBlock
from famulus_schemas.sandbox import (
    HOME,
    BoxFile,
    BoxGone,
    CutOutput,
    EndOutput,
    ErrorOutput,
    FilesOutput,
    ImageOutput,
    Output,
    ResultOutput,
    TextOutput,
)
from famulus_schemas.steps import (
    CodeInterpreterImage,
    CodeInterpreterImageFile,
    CodeInterpreterLogs,
    CodeInterpreterOutput,
)

NO_OUTPUT = "The code ran, and put out nothing."
SHOWN = "[The image {name} is shown to the user.]"
TIMEOUT = (
    "[The code was stopped after {limit:g} seconds. Variables and files are kept. Do less at once, "
    "or in several calls.]"
)
INTERRUPTED = "[The code was interrupted. Variables and files are kept.]"
GONE = "[{message} All variables are lost; the next call begins in a new session.]"
NO_MODULE = (
    "[Nothing can be installed here, and there is no network. Use the standard library{packages}.]"
)
LEFT_OUT = "\n[... {chars} characters are left out here ...]\n"


class Transcript:
    """Gathers what comes out of a box."""

    def __init__(self, *, cell_s: float, packages: Sequence[str] = ()) -> None:
        self._cell_s = cell_s
        self._packages = packages
        self._shown: list[CodeInterpreterOutput] = []
        self._logs: list[str] = []
        """Of the output that is last, which is logs then."""
        self._told: list[str] = []
        self._notes: list[str] = []
        self.content: list[ImageFileContentBlock] = []
        self.changed: Sequence[BoxFile] = ()
        self.deleted: Sequence[str] = ()
        self.is_error = False

    # --- what comes ---------------------------------------------------------------------------

    def add(self, output: Output) -> None:
        """Take what the box gave; an image only once it is kept, by `add_image`."""
        match output:
            case TextOutput():
                self._log(output.text)
            case ResultOutput():
                self._line(output.text)
            case ErrorOutput():
                self._error(output)
            case CutOutput():
                self._cut(output)
            case FilesOutput():
                self.changed, self.deleted = output.changed, output.deleted
            case EndOutput():
                self._end(output)
            case ImageOutput():
                pass

    def add_image(self, file: File) -> None:
        """An image that is kept in a file."""
        self._close_logs()
        image = CodeInterpreterImageFile(file_id=file.id)
        self._shown.append(CodeInterpreterImage(image=image))
        self.content.append(ImageFileContentBlock(image_file=ImageFile(file_id=file.id)))
        self._tell(SHOWN.format(name=file.filename))

    def note(self, text: str) -> None:
        """Tell the model something after all that the code put out."""
        self._notes.append(text)

    def lost(self, gone: BoxGone) -> None:
        """The box is no more."""
        self.is_error = True
        self._line(GONE.format(message=gone.message))

    def _error(self, error: ErrorOutput) -> None:
        self.is_error = True
        self._line(error.traceback)
        if error.name in ("ModuleNotFoundError", "ImportError"):
            packages = f" and {', '.join(self._packages)}" if self._packages else " alone"
            self.note(NO_MODULE.format(packages=packages))

    def _cut(self, cut: CutOutput) -> None:
        if cut.what == "images":
            self._line(f"[{cut.left_out} more images are left out.]")
        elif cut.what == "files":
            self.note(f"[{cut.left_out} more changed files are not looked at.]")
        else:
            self._line(f"[{cut.left_out} more bytes of {cut.what} are left out.]")

    def _end(self, end: EndOutput) -> None:
        if end.status == "ok":
            return
        self.is_error = True
        if end.status == "timeout":
            self._line(TIMEOUT.format(limit=self._cell_s))
        elif end.status == "interrupted":
            self._line(INTERRUPTED)

    # --- text ---------------------------------------------------------------------------------

    def _log(self, text: str) -> None:
        if text:
            self._logs.append(text)
            self._told.append(text)

    def _line(self, text: str) -> None:
        """Text that begins in a line of its own, and ends it."""
        begun = self._logs and not self._logs[-1].endswith("\n")
        self._log(("\n" if begun else "") + text.removesuffix("\n") + "\n")

    def _tell(self, text: str) -> None:
        begun = self._told and not self._told[-1].endswith("\n")
        self._told.append(("\n" if begun else "") + text + "\n")

    def _close_logs(self) -> None:
        if self._logs:
            self._shown.append(CodeInterpreterLogs(logs="".join(self._logs)))
            self._logs = []

    # --- what it comes to ---------------------------------------------------------------------

    def shown(self) -> tuple[CodeInterpreterOutput, ...]:
        """All that the step shows so far."""
        if not self._logs:
            return tuple(self._shown)
        if len(self._logs) > 1:
            self._logs = ["".join(self._logs)]
        return (*self._shown, CodeInterpreterLogs(logs=self._logs[0]))

    def told(self, *, chars_max: int) -> str:
        """What the model reads: its output, the middle left out where it is long, and the notes."""
        text = _shortened("".join(self._told).rstrip("\n"), chars_max)
        return "\n".join(part for part in (text or NO_OUTPUT, *self._notes) if part)


def link(path: str) -> str:
    """How the model links a file in the box's home."""
    return f"sandbox:{HOME}/{path}"


def _shortened(text: str, chars_max: int) -> str:
    """The beginning and the end of a long text; errors stand at the end."""
    if len(text) <= chars_max:
        return text
    end = chars_max // 2
    begin = chars_max - end
    return text[:begin] + LEFT_OUT.format(chars=len(text) - chars_max) + text[-end:]
