"""What `/proc` says of a box's processes: which there are, and what they take."""

from __future__ import annotations

import os
from collections.abc import Iterable

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_SOCKET_BYTES = 212_992
"""Of a buffer, where the kernel does not tell: what it has of itself."""

FAMILY_MAX = 10_000
"""No box has so many; it bounds the walk where one is forking as fast as it can."""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        # It ended meanwhile.
        return b""


def children(pid: int) -> list[int]:
    """The processes that it started, the first one first; they may end at any time."""
    return [
        int(each)
        for task in _tasks(pid)
        for each in _read(f"/proc/{pid}/task/{task}/children").split()
    ]


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """It and all that descend from it."""
    found, ahead = [pid], [pid]
    while ahead and len(found) < FAMILY_MAX:
        more = children(ahead.pop())
        found += more
        ahead += more
    return found


def of_group(group: int) -> list[int]:
    """The processes of a process group, the dead that nobody has asked for left out."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _read(f"/proc/{entry}/stat").rpartition(b")")[2].split()
            if len(fields) < 3 or int(fields[2]) != group:
                continue
            # One that ended its first thread alone looks dead, and lives on in the others.
            if fields[0] not in (b"Z", b"X") or len(_tasks(int(entry))) > 1:
                found.append(int(entry))
    return found


def memory_bytes(pids: Iterable[int], most: int) -> int:
    """Memory that processes take together, what they share counted once.

    Exact only above `most`: what each one has is quick to read and never less.
    """
    pids = list(pids)
    resident = sum(_resident(pid) for pid in pids)
    return resident if resident <= most else sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    return _pages(_with_memory(pid)) * _PAGE


def _pages(place: str) -> int:
    fields = _read(f"{place}/statm").split()
    return int(fields[1]) if len(fields) > 1 else 0


def _with_memory(pid: int) -> str:
    """Where a process tells of its memory: it goes on without its first thread, which has none."""
    place = f"/proc/{pid}"
    if not _pages(place):
        for task in _tasks(pid):
            if _pages(f"{place}/task/{task}"):
                return f"{place}/task/{task}"
    return place


def _proportional(pid: int) -> int:
    for line in _read(f"{_with_memory(pid)}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def sockets_of_network(pid: int) -> int:
    """How many sockets there are in the network of a process, whoever has them."""
    fields = _read(f"/proc/{pid}/net/sockstat").split(maxsplit=3)
    return int(fields[2]) if len(fields) > 2 else 0


def sockets_of(pids: Iterable[int]) -> int:
    """How many sockets processes have, one that several have counted once."""
    found = set()
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        try:
            for each in os.listdir(folder):
                found.add(os.readlink(f"{folder}/{each}"))
        except OSError:
            # It ended meanwhile, or has closed one.
            continue
    return sum(each.startswith("socket:") for each in found)


def socket_bytes(count: int) -> int:
    """Memory that so many sockets can take, which no process has: as much as waits to be read."""
    return count * int(_read("/proc/sys/net/core/wmem_default") or _SOCKET_BYTES)


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of processes, and of those of their children that ended."""
    ticks = 0
    for pid in pids:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        ticks += sum(int(each) for each in fields[11:15])
    return ticks / _TICKS


def running(pids: Iterable[int]) -> int:
    """How many of their threads run now, or would if a processor were free."""
    return sum(
        _read(f"/proc/{pid}/task/{task}/stat").rpartition(b")")[2].split()[:1] == [b"R"]
        for pid in pids
        for task in _tasks(pid)
    )


def tasks_of(uid: int) -> int:
    """How many processes and threads a user has on this machine."""
    count = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{entry}/task"))
            except OSError:
                continue
    return count


def memory_file(name: str, data: bytes) -> int:
    """A descriptor of a file in memory, at its beginning; it is closed where a program starts."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
