"""What of ours lives in a kernel. It is sent there as text, and needs ipykernel and nothing else.

It makes cells behave as in a local box, and reads and writes files. Nothing keeps the code in the
kernel from changing it: whatever it answers is checked by the server.
"""

from __future__ import annotations

import ast
import atexit
import base64
import codecs
import json
import os
import select
import shutil
import stat
import sys
import tempfile
import threading
import traceback
import warnings
from importlib import metadata
from typing import Any

HOME = "/mnt/data"
ME = os.getpid()
FILES_SEEN_MAX = 20_000
READ_MAX = 2_000_000
FORMS = ("image/png", "image/jpeg")


class State:
    """Of the box, and of its running cell."""

    home = HOME
    shell: Any = None
    limits: dict[str, Any] = {}
    before: dict[str, tuple[int, int, int]] = {}
    cuts: dict[str, int] = {}
    writing: tuple[Any, str, str] | None = None
    reading: int | None = None


class Told:
    """An answer; its `repr` is what the server reads."""

    def __init__(self, head: dict[str, Any], blob: bytes = b"") -> None:
        self.text = f"{encoded(json.dumps(head).encode())} {encoded(blob)}"

    def __repr__(self) -> str:
        return self.text


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def clean(text: str) -> str:
    """As text that can be sent: without halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()


# -- what is written --------------------------------------------------------------------------


class Pipe:
    """All that is written to a descriptor, in the order of what Python itself writes there."""

    def __init__(self, number: int, stream: Any) -> None:
        self.number, self.stream = number, stream
        self.write_on = stream.write
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.lock = threading.RLock()
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.dup2(writer, number)
        os.close(writer)
        stream.write = self.write
        threading.Thread(target=self.watch, daemon=True).start()

    def write(self, text: str) -> int:
        if os.getpid() != ME:
            # A child's text takes the way of all processes.
            data = memoryview(clean(text).encode())
            while data:
                data = data[os.write(self.number, data) :]
            return len(text)
        with self.lock:
            self.pump()
            self.write_on(clean(text))
        return len(text)

    def pump(self) -> None:
        """Hand on what lies in the pipe."""
        with self.lock:
            read = 0
            while read < READ_MAX:
                try:
                    data = os.read(self.reader, 65_536)
                except BlockingIOError:
                    return
                if not data:
                    return
                read += len(data)
                self.write_on(self.decoder.decode(data))

    def watch(self) -> None:
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        while os.getpid() == ME:
            if any(event & ~select.POLLIN for _, event in poll.poll()):
                return
            self.pump()


pipes: list[Pipe] = []


def drain(*_: Any) -> None:
    if os.getpid() == ME:
        for pipe in pipes:
            pipe.pump()


# -- what is shown ----------------------------------------------------------------------------


def shown(formatted: Any) -> Any:
    """A formatter that keeps to what a box may show, and counts what is too large."""

    def form(value: Any, *args: Any, **keywords: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if type(value) is Told:
            return {"text/plain": repr(value)}, {}
        drain()
        data, about = formatted(value, *args, **keywords)
        image = next((name for name in FORMS if name in data), None)
        if image is not None:
            size = len(data[image]) * (3 if isinstance(data[image], str) else 4) // 4
            if size > State.limits.get("image_bytes", size):
                State.cuts["images"] = State.cuts.get("images", 0) + 1
                return {}, {}
            return {image: data[image]}, {}
        text = clean(str(data.get("text/plain", ""))).encode()
        most = State.limits.get("stream_bytes", len(text))
        if len(text) > most:
            State.cuts["result"] = State.cuts.get("result", 0) + len(text) - most
        return {"text/plain": text[:most].decode("utf-8", "ignore")}, about

    return form


def explain(*_: Any, **__: Any) -> None:
    """Tell of the exception that ended the cell, in its own frames."""
    drain()
    kind, error = sys.exc_info()[:2]
    if kind is None or error is None:
        return
    if isinstance(error, SystemExit):
        if error.code in (None, 0):
            return
        text = f"SystemExit: {error.code}"
    else:
        text = explained(error)
    data = clean(text).encode()
    most = State.limits.get("stream_bytes", len(data))
    if len(data) > most:
        State.cuts["traceback"] = len(data) - most
    text = data[:most].decode("utf-8", "ignore")
    # Neither is the message of an exception always to be had, nor is it needed once more.
    State.shell._showtraceback(kind, "", [text])


def explained(error: BaseException) -> str:
    try:
        told = traceback.TracebackException.from_exception(error)
        thin(told)
        return "".join(told.format())
    except Exception:  # An exception can be made so that it cannot be shown.
        return f"{type(error).__name__}\n"


def thin(told: traceback.TracebackException, depth: int = 0) -> None:
    own = ("<cell ", State.home + "/")
    told.stack[:] = [frame for frame in told.stack if frame.filename.startswith(own)][-50:]
    for name in ("__cause__", "__context__"):
        inner = getattr(told, name)
        if inner is not None and depth < 20:
            thin(inner, depth + 1)
            if not inner.stack:
                setattr(told, name, None)
    for each in getattr(told, "exceptions", None) or ():
        if depth < 20:
            thin(each, depth + 1)


def no_input(*_: Any, **__: Any) -> str:
    raise EOFError("nobody can answer: code in the sandbox cannot ask for input")


class Renamed(ast.NodeTransformer):
    """Paths of the home in the code, where the home is at another place."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str) and (node.value + "/").startswith(HOME + "/"):
            return ast.copy_location(ast.Constant(State.home + node.value[len(HOME) :]), node)
        return node


# -- files ------------------------------------------------------------------------------------


def files() -> dict[str, tuple[int, int, int]]:
    """Regular files of the home: their size and what changes when they are written to."""
    found: dict[str, tuple[int, int, int]] = {}
    folders = [""]
    while folders and len(found) < FILES_SEEN_MAX:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(State.home, folder)))
        except OSError:
            continue
        for entry in entries:
            path = folder + "/" + entry.name if folder else entry.name
            try:
                info = entry.stat(follow_symlinks=False)
                path.encode()
            except (OSError, UnicodeError):
                continue
            if stat.S_ISDIR(info.st_mode):
                folders.append(path)
            elif stat.S_ISREG(info.st_mode):
                found[path] = (info.st_size, info.st_mtime_ns, info.st_ino)
    return found


def begin(head: dict[str, Any], _: bytes) -> Told:
    State.limits, State.cuts, State.before = head["limits"], {}, files()
    return Told({"kind": "done"})


def end(head: dict[str, Any], _: bytes) -> Told:
    after, before, most = files(), State.before, State.limits["changes_max"]
    changed = sorted(path for path, info in after.items() if before.get(path) != info)
    deleted = sorted(path for path in before if path not in after)
    left = len(changed) + len(deleted) - most
    cuts = {**State.cuts, "files": left} if left > 0 else State.cuts
    told = [(path, after[path][0]) for path in changed[:most]]
    gone = deleted[: max(0, most - len(told))]
    return Told({"kind": "done", "files": told, "deleted": gone, "cuts": cuts})


def put(head: dict[str, Any], _: bytes) -> Told:
    abort({}, b"")
    target = os.path.join(State.home, head["path"])
    os.makedirs(os.path.dirname(target), exist_ok=True)
    part = target + ".part"
    State.writing = (open(part, "xb", 0), part, target)  # noqa: SIM115 - the next requests write.
    return Told({"kind": "done"})


def data(head: dict[str, Any], blob: bytes) -> Told:
    assert State.writing is not None
    left = memoryview(blob)
    while left:
        left = left[State.writing[0].write(left) :]
    return Told({"kind": "done"})


def close(head: dict[str, Any], _: bytes) -> Told:
    assert State.writing is not None
    file, part, target = State.writing
    file.close()
    os.replace(part, target)
    State.writing = None
    return Told({"kind": "done"})


def abort(head: dict[str, Any], _: bytes) -> Told:
    if State.writing is not None:
        file, part, _target = State.writing
        State.writing = None
        file.close()
        os.unlink(part)
    return Told({"kind": "done"})


def get(head: dict[str, Any], _: bytes) -> Told:
    leave({}, b"")
    try:
        # A pipe must not make us wait, and a device is no file.
        file = os.open(
            os.path.join(State.home, head["path"]), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )
    except (OSError, ValueError):
        return Told({"kind": "missing"})
    info = os.fstat(file)
    if not stat.S_ISREG(info.st_mode):
        os.close(file)
        return Told({"kind": "missing"})
    State.reading = file
    return Told({"kind": "file", "size": info.st_size})


def more(head: dict[str, Any], _: bytes) -> Told:
    assert State.reading is not None
    return Told({"kind": "data"}, os.read(State.reading, head["most"]))


def leave(head: dict[str, Any], _: bytes) -> Told:
    if State.reading is not None:
        os.close(State.reading)
        State.reading = None
    return Told({"kind": "done"})


def delete(head: dict[str, Any], _: bytes) -> Told:
    target = os.path.join(State.home, head["path"])
    try:
        if not stat.S_ISREG(os.lstat(target).st_mode):
            return Told({"kind": "missing"})
        os.unlink(target)
    except (OSError, ValueError):
        return Told({"kind": "missing"})
    return Told({"kind": "done"})


def told_files(head: dict[str, Any], _: bytes) -> Told:
    found = sorted((path, info[0]) for path, info in files().items())
    return Told({"kind": "done", "files": found[: head["most"]]})


# -- answering --------------------------------------------------------------------------------


def settle(head: dict[str, Any], _: bytes) -> Told:
    """Make the kernel a box; the first request, and asked once."""
    shell = State.shell = sys.modules["IPython"].get_ipython()
    if head["homes"]:
        os.makedirs(head["homes"], exist_ok=True)
        State.home = tempfile.mkdtemp(prefix="famulus-box-", dir=head["homes"])
        atexit.register(shutil.rmtree, State.home, True)
        shell.ast_transformers.append(Renamed())
    else:
        os.makedirs(HOME, exist_ok=True)
        if os.listdir(HOME):
            return Told({"kind": "refused", "text": f"{HOME} of a new kernel is not empty"})
    os.chdir(State.home)
    sys.path.insert(1, State.home)
    sys.argv = [""]
    pipes.extend(Pipe(number, stream) for number, stream in ((1, sys.stdout), (2, sys.stderr)))
    shell.compile.get_code_name = lambda _raw, _code, number: f"<cell {number}>"
    # Code that is indented is an error in every sandbox, and here too.
    cleanups = shell.input_transformer_manager.cleanup_transforms
    cleanups[:] = [each for each in cleanups if getattr(each, "__name__", "") != "leading_indent"]
    shell.showtraceback = shell.showsyntaxerror = explain
    shell.ask_exit = sys.exit
    shell.display_formatter.format = shown(shell.display_formatter.format)
    shell.events.register("post_run_cell", drain)
    shell.kernel.raw_input = shell.kernel.getpass = no_input
    warnings.filterwarnings("ignore", message="To exit: use")
    version = ".".join(map(str, sys.version_info[:3]))
    return Told({"kind": "done", "text": version, "packages": installed(head["packages"])})


def installed(names: list[str]) -> list[str]:
    """Those of the packages that can be imported here, with their versions."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found


KINDS = {
    "settle": settle,
    "begin": begin,
    "end": end,
    "put": put,
    "data": data,
    "close": close,
    "abort": abort,
    "get": get,
    "more": more,
    "leave": leave,
    "delete": delete,
    "list": told_files,
}


def ask(head: str, blob: str = "") -> Told:
    """What the server asks for, by an expression."""
    fields = json.loads(base64.b64decode(head))
    try:
        return KINDS[fields["kind"]](fields, base64.b64decode(blob))
    except OSError as error:
        return Told({"kind": "refused", "text": clean(str(error.strerror))})


class Module:
    """Stands where modules do, so that expressions find it and no name of the code's is taken."""


Module.ask = staticmethod(ask)  # type: ignore[attr-defined]
sys.modules[__name__] = Module  # type: ignore[assignment]
