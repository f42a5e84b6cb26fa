"""What a stranger's plugin would bring: functions that only the reading process imports."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from famulus_schemas.retrieval import Chunk, Chunking, Section


def rot13(path: Path) -> list[Section]:
    import codecs

    return [Section(text=codecs.decode(path.read_text(), "rot13"), page=3, heading="Secret")]


def sulks(path: Path) -> list[Section]:
    raise ValueError("The file is in a bad mood; ask it again tomorrow.")


def loops(path: Path) -> list[Section]:
    while True:
        pass


def allocates(path: Path) -> list[Section]:
    hoard = [bytearray(100_000_000)]
    while True:
        hoard.append(bytearray(100_000_000))


def floods(path: Path) -> Iterator[Section]:
    while True:
        yield Section(text="more and more and more of it\n" * 10_000)


def shouts(path: Path) -> list[Section]:
    sys.stdout.write("listen to me" * 100_000)
    sys.stdout.flush()
    os.write(1, b"\0\0\0\4nono" * 1000)
    os.write(2, b"and to me")
    return [Section(text="quiet")]


def ends_by_what_it_says(path: Path) -> list[Section]:
    """Ends as the file says: with a signal, or a status."""
    word = path.read_text()
    if word.startswith("exit"):
        os._exit(int(word[4:]))
    number = signal.Signals[word]
    if number != signal.SIGKILL:
        # Whoever started the tests may have had it ignored.
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return []


def leaks_then_crashes(path: Path) -> list[Section]:
    """Crashes in every process that has read a file before."""
    seen = getattr(sys, "files_seen", 0)
    sys.files_seen = seen + 1  # type: ignore[attr-defined]
    if seen:
        os.kill(os.getpid(), signal.SIGSEGV)
    return [Section(text=path.read_text())]


def leaves_a_child(path: Path) -> list[Section]:
    pid = os.fork()
    if pid == 0:
        while True:
            signal.pause()
    Path(path.read_text()).write_text(str(pid))
    signal.pause()
    return []


def waits(path: Path) -> list[Section]:
    """Says that it is there, and never ends."""
    Path(path.read_text()).write_text(str(os.getpid()))
    while True:
        signal.pause()


def tells_where_it_is(path: Path) -> list[Section]:
    """Everything that it could know of the server."""
    import resource

    limits = {
        name: resource.getrlimit(getattr(resource, name))
        for name in ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE")
    }
    descriptors = sorted(int(each) for each in os.listdir("/proc/self/fd"))
    told = {
        "environment": sorted(os.environ),
        "limits": limits,
        "nice": os.nice(0),
        "session": os.getsid(0) == os.getpid(),
        "descriptors": len(descriptors),
        "name": path.name,
        "modules": [name for name in ("famulus", "uvicorn", "httpx") if name in sys.modules],
    }
    import json

    return [Section(text=json.dumps(told))]


def verses(sections: Sequence[Section], chunking: Chunking) -> Iterator[Chunk]:
    """A chunk a line."""
    at = 0
    for line in "".join(each.text for each in sections).splitlines(keepends=True):
        if line.strip():
            yield Chunk(text=line, tokens=1, start=at, end=at + len(line))
        at += len(line)


def lies(sections: Sequence[Section], chunking: Chunking) -> Iterator[Chunk]:
    yield Chunk(text="what never was there", tokens=1, start=0, end=20)


def says_nothing(sections: Sequence[Section], chunking: Chunking) -> list[Chunk]:
    return []


def answers_the_next_file(path: Path) -> list[Section]:
    """Answers twice: for this file, and for the one that is yet to come."""
    os.write(_answers(), _done() * 2)
    signal.pause()
    return []


def forges(path: Path) -> list[Section]:
    """Writes to every pipe that it has, as a hostile file would have it do."""
    for descriptor in range(3, 20):
        try:
            os.write(descriptor, b"\xff\xff\xff\xff" + b"{" * 1000)
        except OSError:
            continue
    return [Section(text="forged")]


def spoils_the_output(path: Path) -> list[Section]:
    """Puts what are no chunks where the chunks belong."""

    (path.parent / "chunks").write_bytes(b"\xff\xff\xff\xffno chunks")
    os.write(_answers(), _done())
    signal.pause()
    return []


def swaps_the_output(path: Path) -> list[Section]:
    """Puts a link to another file where the chunks belong."""
    output = path.parent / "chunks"
    output.unlink()
    output.symlink_to("/etc/passwd")
    os.write(_answers(), _done())
    signal.pause()
    return []


def _answers() -> int:
    """The pipe to the server."""
    [descriptor] = [
        int(each)
        for each in os.listdir("/proc/self/fd")
        if int(each) > 2 and _is_a_pipe_to_write(int(each))
    ]
    return descriptor


def _is_a_pipe_to_write(descriptor: int) -> bool:
    import fcntl

    try:
        is_pipe = os.readlink(f"/proc/self/fd/{descriptor}").startswith(("pipe:", "socket:"))
        return is_pipe and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def _nonce() -> str:
    """What a file's answer must carry; it can be found by whoever runs in the process."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if "job" in frame.f_locals:
            return str(frame.f_locals["job"].nonce)
        frame = frame.f_back
    raise LookupError


def _done() -> bytes:
    import msgspec

    body = msgspec.msgpack.encode({"type": "done", "nonce": _nonce(), "chunks": 1})
    return len(body).to_bytes(4, "big") + body
