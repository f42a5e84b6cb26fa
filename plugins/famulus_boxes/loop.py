"""What runs in a box: reads requests from descriptor 3, does them, and answers on descriptor 4.

It is sent into the box as text, so it imports nothing but the standard library, and runs on Python
3.9 and later. The code of cells runs in the same process and can do anything here: what is checked,
is checked by whoever reads the answers.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import json
import linecache
import os
import resource
import signal
import stat
import struct
import sys
import time
import traceback
import types
from typing import Any

HEAD = struct.Struct("!II")
PIECE = 65_536
ME = os.getpid()


class Wire:
    """Frames: the lengths of a JSON object and of the bytes that belong to it, and then both."""

    def __init__(self) -> None:
        self.id = 0
        self.sending = self.stopped = False

    def read(self) -> tuple[dict[str, Any], bytes]:
        head_bytes, blob_bytes = HEAD.unpack(self._exactly(HEAD.size))
        head = json.loads(self._exactly(head_bytes))
        return head, self._exactly(blob_bytes)

    def _exactly(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            piece = os.read(3, count - len(got))
            if not piece:
                os._exit(0)
            got += piece
        return got

    def send(self, kind: str, blob: bytes = b"", **fields: Any) -> None:
        head = json.dumps({"id": self.id, "kind": kind, **fields}).encode()
        left = memoryview(HEAD.pack(len(head), len(blob)) + head + blob)
        # Half a frame would be the end of the box, so an interrupt waits for it to be whole.
        self.sending = True
        while left:
            left = left[os.write(4, left) :]
        self.ready()

    def wait(self) -> None:
        """Until the other end has taken what was sent, so that what follows comes after it."""
        self.sending = True
        self.read()
        self.ready()

    def ready(self) -> None:
        self.sending = False
        if self.stopped:
            self.stopped = False
            raise KeyboardInterrupt


wire = Wire()


def clean(text: str) -> str:
    """As text that can be sent: without halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def cut(what: str, text: str, most: int) -> str:
    """The text as far as it may be sent; what is left out is told."""
    data = clean(text).encode()
    if len(data) > most:
        wire.send("cut", name=what, size=len(data) - most)
        data = data[:most]
    return data.decode("utf-8", "ignore")


# -- images -----------------------------------------------------------------------------------

TYPES = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))


def send_image(data: bytes) -> None:
    """An image in pieces; one that is too large, or one too many, is only counted."""
    kind = next((name for begin, name in TYPES if data.startswith(begin)), None)
    if kind is None:
        return
    flush()
    if cell.images >= cell.limits["images_max"] or len(data) > cell.limits["image_bytes"]:
        wire.send("cut", name="images", size=1)
        return
    cell.images += 1
    wire.send("image", name=kind, size=len(data))
    for at in range(0, len(data), PIECE):
        wire.send("data", data[at : at + PIECE])
    wire.wait()


def send_figures(*_args: Any, **_keywords: Any) -> None:
    """Every figure of pyplot that is open, and close them; stands in for `pyplot.show`."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not hasattr(pyplot, "get_fignums"):
        return
    for number in pyplot.get_fignums():
        figure, file = pyplot.figure(number), io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight")
        send_image(file.getvalue())
    pyplot.close("all")


class ShowFigures:
    """Replaces `show` once pyplot is imported: nobody would see the window of a box."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != "matplotlib.pyplot":
            return None
        sys.meta_path.remove(self)
        spec = importlib_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            module.show = send_figures

        spec.loader.exec_module = exec_module
        return spec


def importlib_spec(name: str) -> Any:
    import importlib.util

    return importlib.util.find_spec(name)


def display(*values: Any) -> None:
    """Show values as a notebook does: images where they are any, else their `repr`."""
    for value in values:
        data = None
        to_png = getattr(value, "_repr_png_", None)
        if callable(to_png):
            data = to_png()
        if isinstance(data, bytes):
            send_image(data)
        else:
            print(repr(value))


# -- cells ------------------------------------------------------------------------------------


class Cell:
    number = 0
    running = False
    images = 0
    limits: dict[str, Any] = {}
    home = ""
    alias: list[str] | None = None


cell = Cell()
main = types.ModuleType("__main__")
main.__dict__.update(display=display, __builtins__=builtins)


def on_interrupt(_number: int, _frame: Any) -> None:
    # A signal that comes late must not stop the loop.
    if cell.running and os.getpid() == ME:
        if wire.sending:
            wire.stopped = True
            return
        raise KeyboardInterrupt


def no_input(prompt: object = "") -> str:
    raise EOFError("input() cannot be used here: nobody can answer. Put the values into the code.")


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # The code may have closed or replaced it.
            pass


def streams() -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None or stream.closed or stream is not ours.get(name):
            ours[name] = open(number, "w", 1, "utf-8", "backslashreplace", closefd=False)
            setattr(sys, name, ours[name])


ours: dict[str, Any] = {}


def compiled(code: str, name: str) -> tuple[Any, Any]:
    """The code without its last line, and that where it is an expression."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = ast.parse(code, name)
    if cell.alias:
        tree = ast.fix_missing_locations(Renamed().visit(tree))
    last = None
    end = tree.body[-1] if tree.body else None
    # As in a notebook, a semicolon at the end keeps the value from being shown.
    if isinstance(end, ast.Expr) and not code.rstrip().endswith(";"):
        tree.body.pop()
        # Not with what this file has of the future: the code says for itself what it wants.
        last = compile(ast.Expression(end.value), name, "eval", flags, dont_inherit=True)
    return compile(tree, name, "exec", flags, dont_inherit=True), last


class Renamed(ast.NodeTransformer):
    """Paths of the home in the code, where the home is at another place."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        assert cell.alias is not None
        home, here = cell.alias
        if isinstance(node.value, str) and (node.value + "/").startswith(home + "/"):
            return ast.copy_location(ast.Constant(here + node.value[len(home) :]), node)
        return node


def evaluated(code: types.CodeType) -> Any:
    value = eval(code, main.__dict__)
    if code.co_flags & inspect.CO_COROUTINE:
        import asyncio

        return asyncio.run(value)
    return value


def run_cell(code: str) -> tuple[str, str] | None:
    """Run it. Gives the name and the traceback of the exception that ended it, if one did."""
    name = f"<cell {cell.number}>"
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    try:
        cell.running = True
        body, last = compiled(code, name)
        evaluated(body)
        value = None if last is None else evaluated(last)
        if value is not None:
            main.__dict__["_"] = value
            show_result(value)
        send_figures()
    except SystemExit as error:
        if error.code not in (None, 0):
            return "SystemExit", f"SystemExit: {error.code}"
    except BaseException as error:  # Whatever it is, it is the cell's.
        cell.running = False
        return type(error).__name__, explained(error)
    finally:
        cell.running = False
    return None


def show_result(value: Any) -> None:
    to_png = getattr(value, "_repr_png_", None)
    data = to_png() if callable(to_png) else None
    if isinstance(data, bytes):
        send_image(data)
        return
    pyplot = sys.modules.get("matplotlib.figure")
    if pyplot is not None and isinstance(value, pyplot.Figure) and open_figure(value):
        return
    text = repr(value)
    flush()
    wire.send("result", text=cut("result", text, cell.limits["stream_bytes"]))


def open_figure(figure: Any) -> bool:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot is not None and any(
        pyplot.figure(number) is figure for number in pyplot.get_fignums()
    )


def explained(error: BaseException) -> str:
    """The traceback, with the frames of cells and of files in the home only."""
    try:
        told = traceback.TracebackException.from_exception(error)
        thin(told)
        return "".join(told.format())
    except Exception:  # An exception can be made so that it cannot be shown.
        return f"{type(error).__name__}\n"


def thin(told: traceback.TracebackException, depth: int = 0) -> None:
    own = ("<cell ", cell.home + "/")
    told.stack[:] = [frame for frame in told.stack if frame.filename.startswith(own)][-50:]
    for name in ("__cause__", "__context__"):
        inner = getattr(told, name)
        if inner is not None and depth < 20:
            thin(inner, depth + 1)
            # What happened within a library alone says nothing to whoever wrote the cell.
            if not inner.stack:
                setattr(told, name, None)
    for each in getattr(told, "exceptions", None) or ():
        if depth < 20:
            thin(each, depth + 1)


# -- files ------------------------------------------------------------------------------------

FILES_SEEN_MAX = 20_000


def files() -> dict[str, tuple[int, int, int]]:
    """Regular files of the home: their size and what changes when they are written to."""
    found: dict[str, tuple[int, int, int]] = {}
    folders = [""]
    while folders and len(found) < FILES_SEEN_MAX:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(cell.home, folder)))
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


def tell_changes(before: dict[str, tuple[int, int, int]]) -> None:
    after, most = files(), cell.limits["changes_max"]
    changed = sorted(path for path, info in after.items() if before.get(path) != info)
    deleted = sorted(path for path in before if path not in after)
    for path in changed[:most]:
        wire.send("changed", name=path, size=after[path][0])
    for path in deleted[: max(0, most - len(changed))]:
        wire.send("deleted", name=path)
    if len(changed) + len(deleted) > most:
        wire.send("cut", name="files", size=len(changed) + len(deleted) - most)


def put(path: str) -> None:
    """Write what comes; on a fault the rest is read too, so that the next request is found."""
    target = os.path.join(cell.home, path)
    file: io.FileIO | None = None
    fault: OSError | None = None
    part = target + ".part"
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        file = open(part, "xb", 0)
    except OSError as error:
        fault = error
    while True:
        head, blob = wire.read()
        if head["kind"] != "data":
            break
        try:
            left = memoryview(blob)
            while left and file is not None and fault is None:
                left = left[file.write(left) :]
        except OSError as error:
            fault = error
    if file is not None:
        file.close()
        try:
            if fault is None and head["kind"] == "end":
                os.replace(part, target)
                wire.send("done", size=os.stat(target).st_size)
                return
        except OSError as error:
            fault = error
        os.unlink(part)
    wire.send("refused", text=clean(str(fault.strerror) if fault else "broken off"))


def get(path: str, most: int) -> None:
    target = os.path.join(cell.home, path)
    try:
        # A pipe must not make us wait, and a device is no file.
        file = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        wire.send("missing")
        return
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode):
            wire.send("missing")
            return
        wire.send("file", size=info.st_size)
        left = info.st_size if info.st_size <= most else 0
        while left:
            data = os.read(file, min(PIECE, left))
            if not data:
                break
            left -= len(data)
            wire.send("data", data)
        wire.send("done")
    finally:
        os.close(file)


def delete(path: str) -> None:
    target = os.path.join(cell.home, path)
    try:
        if not stat.S_ISREG(os.lstat(target).st_mode):
            raise OSError
        os.unlink(target)
    except (OSError, ValueError):
        wire.send("missing")
    else:
        wire.send("done")


def list_files(most: int) -> None:
    for path, info in sorted(files().items())[:most]:
        wire.send("changed", name=path, size=info[0])
    wire.send("done")


# -- the loop ---------------------------------------------------------------------------------


def begin(config: dict[str, Any]) -> None:
    """Take on the limits, before anything else is done: the code cannot widen them again."""
    for name, value in config["rlimits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    cell.home, cell.alias = config["home"], config.get("alias")
    sys.path[1:1] = [cell.home]
    sys.path += config["path"]
    sys.argv = [""]
    os.chdir(cell.home)
    for number in (3, 4):
        os.set_inheritable(number, False)
    builtins.input = no_input
    sys.modules["__main__"] = main
    sys.meta_path.insert(0, ShowFigures())
    streams()


def preload(names: list[str]) -> None:
    """Import what most cells import, so that none waits for it."""
    import importlib

    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # It is not installed, or does not work: the code that needs it will see.
            pass


def run(head: dict[str, Any], code: bytes) -> None:
    cell.number += 1
    cell.images, cell.limits, wire.stopped = 0, head["limits"], False
    streams()
    signal.signal(signal.SIGINT, on_interrupt)
    before, begun = files(), time.monotonic()
    failed = run_cell(code.decode())
    if os.getpid() != ME:
        # A child that the code forked came back from it.
        flush()
        os._exit(0)
    if failed is not None:
        send_figures_quietly()
        flush()
        text = cut("traceback", failed[1], cell.limits["stream_bytes"])
        wire.send("error", name=clean(failed[0])[:200], text=text)
    flush()
    tell_changes(before)
    wire.send("done", size=int((time.monotonic() - begun) * 1000))


def send_figures_quietly() -> None:
    try:
        send_figures()
    except Exception:  # What was drawn halfway may not be drawable.
        pass


def serve() -> None:
    head, _ = wire.read()
    wire.id = head["id"]
    begin(head)
    preload(head["preload"])
    signal.signal(signal.SIGINT, on_interrupt)
    wire.send("done", text=".".join(map(str, sys.version_info[:3])))
    while True:
        try:
            head, blob = wire.read()
            wire.id = head["id"]
            kind = head["kind"]
            if kind == "run":
                run(head, blob)
            elif kind == "put":
                put(head["path"])
            elif kind == "get":
                get(head["path"], head["most"])
            elif kind == "delete":
                delete(head["path"])
            elif kind == "list":
                list_files(head["most"])
        except KeyboardInterrupt:
            # It came at the very end of a cell; whoever waits must still be told of that.
            wire.send("error", name="KeyboardInterrupt", text="KeyboardInterrupt\n")
            wire.send("done")


serve()
