"""What hostile code tries in a box: one table, for every local sandbox.

Each attack is code. It prints `TRIED` once it was made, and a line that begins with `LEAK` for
whatever it got. Some are the end of their box: then `gone` says for which reasons it may be.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from famulus.testing.sandbox_conformance import text
from famulus_boxes.syscalls import numbers
from famulus_schemas.sandbox import Box, BoxFileMissing, BoxFileRefused, BoxGone, CellLimits, Output

LIMITS = {
    "memory_bytes": 120_000_000,
    "files_bytes": 16_000_000,
    "files_max": 1_500,
    "tasks_max": 24,
    "flood_bytes": 1_000_000,
    "wall_s": 4.0,
    "grace_s": 0.5,
    "transfer_s": 5.0,
    "warm": 0,
}
CELL = CellLimits(wall_s=8.0, flood_bytes=1_000_000)
SHORT = CellLimits(wall_s=0.5, flood_bytes=1_000_000)

CANARY = "canary-" + secrets.token_hex(12)
"""In the server's environment and memory; it must be nowhere in a box."""

PRELUDE = """
import ctypes, errno, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def leak(*words): print("LEAK", *words, flush=True)
def refused(what, function, *arguments):
    try:
        leak(what, function(*arguments))
    except (OSError, ValueError, MemoryError):
        pass
def call(what, name, *arguments):
    # Refused is EPERM, or ENOSYS where the call is hidden; all else says that it was looked at.
    result = libc.syscall({numbers!r}[name], *arguments)
    if result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        leak(what, name, result, ctypes.get_errno())
def read(path): return open(path, "rb").read(64)
def in_child(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]
secret, port, abstract, socket_file = {secret!r}, {port}, {abstract!r}, {socket_file!r}
server, canary, outside = {server}, {canary!r}, {outside!r}
"""


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One way of trying."""

    name: str
    code: str
    gone: tuple[str, ...] = ()
    """Why the box may end of it; empty where it must live."""
    may_live: bool = False
    """Whether it may live though it may end."""
    short: bool = False
    """Whether it would last for ever, so that its time is cut."""
    only: str = ""
    """The one sandbox that promises it."""


def python_of_the_machine() -> str | None:
    """An interpreter that any user can reach, where the server's own cannot be by a box's."""
    if os.geteuid() != 0 or not sys.base_prefix.startswith("/root"):
        return None
    found = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("no Python here can be reached by any user but root")
    return found


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach, as pytest's own are not."""
    with TemporaryDirectory(prefix="open-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder).resolve()


# -- the bait -------------------------------------------------------------------------------------


class Bait(msgspec.Struct, frozen=True, kw_only=True):
    """What lies outside."""

    secret: Path
    prelude: str
    outside: Path
    listening: tuple[socket.socket, ...]

    def visitors(self) -> int:
        """How many came through to a socket of the server's."""
        count = 0
        for each in self.listening:
            try:
                each.accept()[0].close()
                count += 1
            except BlockingIOError:
                pass
        return count


@contextmanager
def bait() -> Iterator[Bait]:
    """A file, sockets and a secret in the environment, as wide open as a careless server has."""
    with (
        TemporaryDirectory(prefix="bait-") as folder,
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
    ):
        place = Path(folder)
        place.chmod(0o777)
        secret = place / "famulus.sqlite3"
        secret.write_text(CANARY)
        secret.chmod(0o666)
        name = f"bait-{secrets.token_hex(6)}"
        tcp.bind(("127.0.0.1", 0))
        abstract.bind("\0" + name)
        named.bind(str(place / "s"))
        (place / "s").chmod(0o777)
        for each in (tcp, abstract, named):
            each.listen(8)
            each.setblocking(False)
        prelude = PRELUDE.format(
            numbers=numbers(),
            secret=str(secret),
            port=tcp.getsockname()[1],
            abstract=name,
            socket_file=str(place / "s"),
            server=os.getpid(),
            # In two halves, so that the code itself is not what it looks for.
            canary=(CANARY[:10], CANARY[10:]),
            outside=str(place),
        )
        yield Bait(secret=secret, prelude=prelude, outside=place, listening=(tcp, abstract, named))


# -- making one -----------------------------------------------------------------------------------


async def made(attack: Attack, box: Box, bait: Bait) -> None:
    """Make an attack, and judge it."""
    outputs: list[Output] = []
    why = None
    before = {each.name for each in bait.outside.iterdir()}
    try:
        async for output in box.run(
            bait.prelude + attack.code, limits=SHORT if attack.short else CELL
        ):
            outputs.append(output)  # noqa: PERF401 - what came before it ended is looked at, too.
    except BoxGone as error:
        why = error.why
    said = text(outputs)
    assert not re.findall("^LEAK.*", said, re.MULTILINE), said
    assert CANARY not in repr(outputs)
    assert bait.visitors() == 0
    assert bait.secret.read_text() == CANARY
    assert {each.name for each in bait.outside.iterdir()} == before
    if why is None:
        assert "TRIED" in said, outputs
        assert attack.may_live or not attack.gone, "the box should have ended"
    else:
        assert why in attack.gone, (why, said, text(outputs, "stderr"))


def survivors(pids: set[int]) -> set[int]:
    """Those of the processes that are not gone; given a moment, since nobody waits for orphans."""
    for _ in range(200):
        left = {pid for pid in pids if _lives(pid)}
        if not left:
            return left
        time.sleep(0.01)
    return left


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        tasks = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return False
    return state not in ("Z", "X") or tasks > 1


def processes_of_boxes() -> set[int]:
    """Every process on this machine that is in a box of ours: by its user, or by its command."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                is_ours = 2_000_000_000 <= entry.stat().st_uid < 2_000_100_000
                is_ours = is_ours or b"<box>" in (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if is_ours and _descends(int(entry.name)):
                found.add(int(entry.name))
    return found


def _descends(pid: int) -> bool:
    # Other runs of these tests on the machine have boxes, too; an orphan is anybody's.
    for _ in range(100):
        if pid == os.getpid():
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid <= 1:
            return False
    return False


# -- the table ------------------------------------------------------------------------------------

ATTACKS: tuple[Attack, ...] = (
    # Files.
    Attack(name="reads a file of the server's by its path", code="refused('read', read, secret)"),
    Attack(
        name="reads it by the roots of processes",
        code="""
for pid in ("1", "self", "thread-self", str(os.getppid()), str(server)):
    for way in ("root" + secret, "cwd" + "/.." * 9 + secret, "task/%s/root%s" % (pid, secret)):
        refused("read", read, "/proc/%s/%s" % (pid, way))
""",
    ),
    Attack(
        name="reads it by links in its home",
        code="""
for name, make in (("soft", os.symlink), ("hard", os.link)):
    try:
        make(secret, name)
    except OSError:
        continue
    refused("read " + name, read, name)
""",
    ),
    Attack(
        name="climbs out of its home",
        code="refused('read', read, '/'.join(['..'] * 20) + secret)",
    ),
    Attack(
        name="reads what the machine keeps to itself",
        code="""
for path in ("/etc/shadow", "/etc/passwd", "/root/.bashrc", "/root/.ssh", "/var/log/syslog",
             "/etc/hostname", "/run/secrets", "/proc/kcore", "/dev/mem", "/dev/kmsg",
             "/dev/vda", "/dev/sda", "/proc/1/environ"):
    try:
        data = read(path)
    except OSError:
        continue
    if data:
        leak("read", path)
for folder in ("/root", "/home", "/var/lib", "/run", "/boot"):
    try:
        names = os.listdir(folder)
    except OSError:
        continue
    # The way to the box's own Python is there, and nothing else.
    if [each for each in names if not sys.prefix.startswith(os.path.join(folder, each))]:
        leak("listed", folder, names)
""",
    ),
    Attack(
        name="opens files by their handles",
        code="call('opened', 'open_by_handle_at', -100, 0, 0)\n"
        "call('named', 'name_to_handle_at', -100, b'/', 0, 0, 0)",
    ),
    Attack(
        name="writes outside of its home",
        code="""
for folder in (outside, "/usr", "/usr/lib", "/usr/bin", "/usr/local/lib", "/etc", "/dev", "/opt",
               "/", "/mnt", "/proc", "/sys", "/var/tmp", "/run", "/home", sys.prefix,
               os.path.dirname(os.__file__)):
    path = os.path.join(folder, "attack")
    refused("wrote " + folder, open, path, "w")
    refused("made " + folder, os.mkdir, path)
refused("wrote", open, secret, "w")
refused("removed", os.unlink, secret)
refused("changed", os.chmod, "/usr/bin", 0o777)
refused("changed", os.utime, "/usr/bin")
""",
    ),
    Attack(
        name="mounts and changes its root",
        code="""
for name, arguments in (("mount", (b"none", b"/tmp", b"tmpfs", 0, 0)), ("umount2", (b"/proc", 2)),
    ("pivot_root", (b".", b".")), ("chroot", (b".",)), ("fsopen", (b"tmpfs", 0)),
    ("open_tree", (-100, b"/", 1)), ("move_mount", (0, b"", 0, b"", 0)),
    ("mount_setattr", (-100, b"/", 0, 0, 0)), ("fsmount", (0, 0, 0)), ("fspick", (-100, b"/", 0))):
    call("mounted", name, *arguments)
""",
    ),
    Attack(
        name="makes devices",
        code="""
for mode in (0o60666, 0o20666):
    refused("made", os.mknod, "device", mode, os.makedev(254, 0))
    refused("made", os.mknod, "/dev/shm/device", mode, os.makedev(1, 1))
""",
    ),
    Attack(
        name="sets the kernel's parameters",
        code="""
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory",
             "/proc/sys/net/ipv4/ip_forward", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname",
             "/proc/sys/user/max_user_namespaces", "/sys/kernel/uevent_helper",
             "/sys/fs/cgroup/cgroup.procs", "/proc/self/uid_map", "/proc/self/setgroups"):
    try:
        with open(path, "w") as file:
            file.write("1")
        leak("wrote", path)
    except OSError:
        pass
""",
    ),
    Attack(
        name="runs programs that are another user's",
        code="""
import glob, subprocess
before = os.getresuid()
for path in ("/usr/bin/su", "/usr/bin/sudo", "/usr/bin/mount", "/usr/bin/passwd", "/bin/ping"):
    if os.path.exists(path):
        done = subprocess.run([path], capture_output=True, stdin=subprocess.DEVNULL, timeout=5)
script = "import os; print(os.getresuid(), os.getresgid())"
done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
if " 0" in done.stdout or "(0" in done.stdout:
    leak("is", done.stdout)
status = open("/proc/self/status").read()
if "NoNewPrivs:\\t1" not in status:
    leak("may gain privileges")
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    if name + ":\\t0000000000000000" not in status:
        leak("has", name)
""",
    ),
    # The environment, and what the server holds.
    Attack(
        name="looks for variables of the server's",
        code="""
word = "".join(canary)
if word in str(os.environ):
    leak("in its own")
pids = ["1", "self", str(os.getppid()), str(server)]
try:
    pids += [each for each in os.listdir("/proc") if each.isdigit()]
except OSError:
    pass
for pid in pids:
    for name in ("environ", "cmdline", "auxv", "stack", "mem"):
        try:
            data = open("/proc/%s/%s" % (pid, name), "rb").read(100_000)
        except OSError:
            continue
        if word.encode() in data or outside.encode() in data:
            leak("in", name, "of", pid)
""",
    ),
    Attack(
        name="looks at who called bubblewrap, and how",
        only="bubblewrap",
        code="""
line = open("/proc/1/cmdline", "rb").read()
if b"--ro-bind" in line or b"famulus" in line or outside.encode() in line:
    leak(line)
if open("/proc/1/environ", "rb").read():
    leak("variables")
""",
    ),
    Attack(
        name="sees other processes",
        only="bubblewrap",
        code="""
pids = sorted(int(each) for each in os.listdir("/proc") if each.isdigit())
if len(pids) > 3 or pids[0] != 1:
    leak(pids)
if os.path.exists("/proc/%d" % server) and server > 50:
    leak("sees the server")
""",
    ),
    # The network.
    Attack(
        name="connects to the server's machine",
        code="""
for family, address in ((socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port)),
                        (socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET, ("10.0.0.1", 80))):
    def connect():
        with socket.socket(family, socket.SOCK_STREAM) as made:
            made.settimeout(0.3)
            made.connect(address)
    refused("connected", connect)
""",
    ),
    Attack(
        name="connects to an abstract socket",
        code="""
def connect():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.connect("\\0" + abstract)
refused("connected", connect)
def send():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", "\\0" + abstract)
refused("sent", send)
""",
    ),
    Attack(
        name="connects to a socket in a file",
        code="""
for path in (socket_file, "/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket",
             "/tmp/.X11-unix/X0", "/run/systemd/private"):
    def connect():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
            made.connect(path)
    refused("connected " + path, connect)
""",
    ),
    Attack(
        name="sends datagrams",
        code="""
def send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", ("127.0.0.1", port))
refused("sent", send)
""",
    ),
    Attack(
        name="opens sockets of every family",
        code="""
for family in (*range(2, 46), 0, -1, 255):
    for kind in (1, 2, 3, 5):
        refused("opened %d %d" % (family, kind), socket.socket, family, kind)
        if family != 1:
            refused("paired %d" % family, socket.socketpair, family, kind)
""",
    ),
    Attack(
        name="listens for others",
        code="""
def listen():
    with socket.socket(socket.AF_INET) as made:
        made.bind(("0.0.0.0", 0))
        made.listen()
refused("listens", listen)
""",
    ),
    Attack(
        name="asks for addresses",
        code="""
refused("resolved", socket.getaddrinfo, "localhost.example", 80)
refused("resolved", socket.gethostbyname, "one.one.one.one")
""",
    ),
    Attack(
        name="has another interface than its own",
        only="bubblewrap",
        code="""
for line in open("/proc/net/dev").readlines()[2:]:
    if line.split(":")[0].strip() != "lo":
        leak(line)
if len(open("/proc/net/unix").readlines()) > 1 or len(open("/proc/net/tcp").readlines()) > 1:
    leak("sees sockets")
""",
    ),
    # The kernel.
    *(
        Attack(name=f"calls {what}", code=f"for name in {names!r}.split():\n" + _CALLS)
        for _CALLS in ("    call('made', name, 0, 0, 0, 0, 0)\n",)
        for what, names in (
            ("io_uring", "io_uring_setup io_uring_enter io_uring_register"),
            ("bpf and perf", "bpf perf_event_open"),
            ("the key ring", "keyctl add_key request_key"),
            ("userfaultfd and fanotify", "userfaultfd fanotify_init"),
            (
                "what only the machine's owner may",
                "reboot kexec_load init_module swapon acct syslog",
            ),
            ("the clock", "clock_settime settimeofday clock_adjtime adjtimex"),
            ("the names of the machine", "sethostname setdomainname"),
            ("other processes' memory", "process_vm_readv process_vm_writev pidfd_getfd kcmp"),
            ("memory that nobody counts", "memfd_create memfd_secret shmget msgget semget mq_open"),
            ("the memory of nodes", "move_pages migrate_pages mbind set_mempolicy"),
            ("the order of the machine's work", "sched_setscheduler sched_setattr ioprio_set"),
            ("another personality", "personality"),
        )
    ),
    Attack(
        name="calls what is newer than the filter",
        code="""
for number in (*range(463, 600), 1000, 100_000):
    if libc.syscall(number, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() not in (1, 38):
        leak(number, ctypes.get_errno())
""",
    ),
    Attack(
        name="calls by the table of x32",
        code="""
if os.uname().machine == "x86_64":
    status = in_child(lambda: print(libc.syscall(0x40000000 + 39)))
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGSYS:
        leak(status)
""",
    ),
    Attack(
        name="calls as a program for i386",
        code="""
import mmap
if os.uname().machine == "x86_64":
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    status = in_child(function)
    if not os.WIFSIGNALED(status):
        leak(status)
""",
    ),
    Attack(
        name="traces",
        code="""
call("traces itself", "ptrace", 0, 0, 0, 0)
child = os.fork()
if child == 0:
    time.sleep(5)
    os._exit(0)
for pid in (child, 1, os.getppid(), server):
    for request in (16, 0x4206):
        call("traces", "ptrace", request, pid, 0, 0)
os.kill(child, 9)
os.waitpid(child, 0)
""",
    ),
    Attack(
        name="types into a terminal",
        code="""
import fcntl
for path in ("/dev/tty", "/dev/ptmx", "/dev/pts/0", "/dev/console"):
    try:
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        continue
    refused("typed", fcntl.ioctl, terminal, 0x5412, b"x")
    os.close(terminal)
for number in (0, 1, 2):
    refused("typed", fcntl.ioctl, number, 0x5412, b"x")
""",
    ),
    # Namespaces, users and limits.
    Attack(
        name="makes namespaces",
        code="""
for flag in (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    call("unshared", "unshare", flag)
    call("unshared", "unshare", flag | 0x10000000)
    result = libc.syscall({numbers!r}["clone"], flag | 17, 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    if result > 0:
        leak("cloned", hex(flag))
call("cloned", "clone3", 0, 0)
""".replace("{numbers!r}", repr(numbers())),
    ),
    Attack(
        name="enters namespaces",
        code="""
for pid in ("1", "self", str(server)):
    for kind in ("mnt", "net", "pid", "user", "ipc", "uts", "cgroup"):
        try:
            place = os.open("/proc/%s/ns/%s" % (pid, kind), os.O_RDONLY)
        except OSError:
            continue
        call("entered", "setns", place, 0)
        os.close(place)
""",
    ),
    Attack(
        name="becomes another user",
        code="""
for function in (os.setuid, os.setgid, os.seteuid, os.setegid):
    refused(function.__name__, function, 0)
refused("groups", os.setgroups, [0])
refused("ids", os.setresuid, 0, 0, 0)
refused("owner", os.chown, ".", 0, 0)
if 0 in (*os.getresuid(), *os.getresgid()):
    leak("is root")
""",
    ),
    Attack(
        name="widens its limits",
        code="""
import resource
for name in dir(resource):
    if name.startswith("RLIMIT_"):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            refused(name, resource.setrlimit, kind, (hard, hard + 1))
            refused(name, resource.setrlimit, kind, (-1, -1))
refused("nice", os.nice, -5)
refused("priority", os.setpriority, os.PRIO_PROCESS, 0, -5)
call("locked", "mlockall", 3)
""",
    ),
    # Descriptors and signals.
    Attack(
        name="has descriptors of the server's",
        code="""
for number in range(5, 1024):
    try:
        leak(number, os.fstat(number))
    except OSError:
        pass
for number in range(5):
    target = os.readlink("/proc/self/fd/%d" % number)
    if not target.startswith("pipe:") and target != "/dev/null":
        leak(number, target)
import subprocess
script = "import os; print(sorted(int(each) for each in os.listdir('/proc/self/fd')))"
done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
if done.returncode == 0 and "5" in done.stdout:
    leak(done.stdout)
""",
    ),
    Attack(
        name="sends signals to the server",
        code="""
for number in (0, signal.SIGURG, signal.SIGTERM):
    refused("signalled", os.kill, server, number)
""",
    ),
    Attack(
        name="sends signals to its supervisor",
        only="landlock",
        code="""
for number in (0, signal.SIGURG):
    refused("signalled", os.kill, os.getppid(), number)
""",
    ),
    Attack(
        name="kills all that it can",
        code="print('TRIED', flush=True)\nos.kill(-1, signal.SIGKILL)\ntime.sleep(1)",
        gone=("exited",),
        may_live=True,
    ),
    Attack(
        name="kills its own group",
        code="os.killpg(0, signal.SIGKILL)",
        gone=("exited",),
    ),
    # The channel of replies.
    Attack(
        name="answers with what is no frame",
        code="os.write(4, b'\\xff' * 100)\ntime.sleep(5)",
        gone=("protocol",),
    ),
    Attack(
        name="answers with a frame that is too long",
        code="os.write(4, struct.pack('!II', 2**31, 0))\ntime.sleep(5)",
        gone=("protocol",),
    ),
    Attack(
        name="answers with a deep nest",
        code="head = b'[' * 200_000\nos.write(4, struct.pack('!II', len(head), 0) + head)\n"
        "time.sleep(5)",
        gone=("protocol",),
    ),
    Attack(
        name="answers with half a frame",
        code="os.write(4, struct.pack('!II', 1000, 0) + b'{')\ntime.sleep(0.1)",
        gone=("protocol", "timeout"),
    ),
    Attack(
        name="answers for other requests",
        code="""
head = b'{"id":999999,"kind":"result","text":"forged"}'
for _ in range(50_000):
    os.write(4, struct.pack('!II', len(head), 0) + head)
""",
        gone=("protocol",),
    ),
    Attack(
        name="answers without an end",
        code="""
import json
head = b'{"id":%d,"kind":"changed","name":"a"}'
number = 1
while True:
    for number in range(200):
        line = head % number
        os.write(4, struct.pack('!II', len(line), 0) + line)
""",
        gone=("protocol",),
    ),
    Attack(
        name="announces an image and sends another thing",
        code="""
for number in range(200):
    head = b'{"id":%d,"kind":"image","name":"png","size":4}' % number
    os.write(4, struct.pack('!II', len(head), 0) + head)
    head = b'{"id":%d,"kind":"data"}' % number
    os.write(4, struct.pack('!II', len(head), 4) + head + b'evil')
""",
        gone=("protocol",),
    ),
    Attack(
        name="closes its pipes",
        code="os.close(4)\nos.close(3)\ntime.sleep(0.1)",
        gone=("exited",),
    ),
    Attack(
        name="tells of files elsewhere",
        code="""
for number in range(200):
    for path in ("../../etc/passwd", "/etc/passwd", "a/../../b", "x\\\\n"):
        head = ('{"id":%d,"kind":"changed","name":"%s","size":1}' % (number, path)).encode()
        os.write(4, struct.pack('!II', len(head), 0) + head)
""",
        gone=("protocol",),
        may_live=True,
    ),
    # Too much of everything.
    Attack(
        name="forks as long as it can",
        code="""
made = []
try:
    while len(made) < 100:
        child = os.fork()
        if child == 0:
            time.sleep(20)
            os._exit(0)
        made.append(child)
except OSError:
    pass
if len(made) > 24:
    leak(len(made))
for child in made:
    os.kill(child, 9)
    os.waitpid(child, 0)
""",
    ),
    Attack(
        name="starts threads as long as it can",
        code="""
import threading
stop, made = threading.Event(), []
threading.stack_size(65_536)
try:
    while len(made) < 100:
        thread = threading.Thread(target=stop.wait)
        thread.start()
        made.append(thread)
except (RuntimeError, MemoryError):
    pass
stop.set()
if len(made) > 24:
    leak(len(made))
""",
    ),
    Attack(
        name="forks and spins for ever",
        code="print('TRIED', flush=True)\nwhile True:\n    try:\n        os.fork()\n"
        "    except BaseException:\n        pass",
        short=True,
        gone=("timeout", "memory"),
        may_live=True,
    ),
    Attack(
        name="takes memory in one process",
        code="refused('took', bytearray, 200_000_000)",
    ),
    Attack(
        name="takes memory in many processes",
        code="""
for _ in range(6):
    if os.fork() == 0:
        block = bytearray(b"x" * 30_000_000)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
""",
        gone=("memory",),
    ),
    Attack(
        name="takes memory that it shares",
        code="""
import mmap
blocks = []
for _ in range(4):
    if os.fork() == 0:
        blocks.append(mmap.mmap(-1, 40_000_000))
        blocks[-1].write(b"x" * 40_000_000)
        time.sleep(20)
        os._exit(0)
time.sleep(20)
""",
        gone=("memory",),
    ),
    Attack(
        name="takes memory in processes without their first thread",
        code="""
import threading
def hold():
    time.sleep(0.3)
    block = bytearray(30_000_000)
    for at in range(0, len(block), 4096):
        block[at] = 1
    time.sleep(20)
    os._exit(0)
for _ in range(6):
    if os.fork() == 0:
        threading.Thread(target=hold).start()
        # Ends this thread alone.
        libc.syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
time.sleep(20)
""",
        gone=("memory",),
    ),
    Attack(
        name="keeps memory in the buffers of sockets",
        code="""
def fill():
    pairs, sent = [], 0
    try:
        while sent < 300_000_000:
            pairs.append(socket.socketpair())
            for each in pairs[-1]:
                each.setblocking(False)
                for option in (socket.SO_SNDBUF, 32):
                    try:
                        each.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
                    except OSError:
                        pass
                try:
                    while sent < 300_000_000:
                        sent += each.send(bytes(60_000))
                except BlockingIOError:
                    pass
    except OSError:
        pass
    time.sleep(20)
for _ in range(15):
    if os.fork() == 0:
        fill()
time.sleep(20)
""",
        gone=("memory",),
    ),
    Attack(
        name="keeps memory in pipes",
        code="call('gave', 'vmsplice', 1, 0, 0, 0)",
    ),
    Attack(
        name="has the machine write its disks out",
        code="call('wrote out', 'syncfs', os.open('/usr', os.O_RDONLY))\n"
        "if libc.syscall({'x86_64': 162, 'aarch64': 81}[os.uname().machine]) == 0:\n"
        "    leak('wrote out')",
    ),
    Attack(
        name="fills its disk",
        code="""
total = 0
try:
    for number in range(200):
        with open("fill%d" % number, "wb", 0) as file:
            for _ in range(16):
                total += file.write(bytes(65_536))
        time.sleep(0.02)
except OSError:
    pass
for number in range(200):
    if os.path.exists("fill%d" % number):
        os.unlink("fill%d" % number)
if total > 60_000_000:
    leak("wrote", total)
""",
        gone=("files",),
        may_live=True,
    ),
    Attack(
        name="fills other places than its home",
        code="""
total = 0
for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/dev/mqueue"):
    try:
        for number in range(60):
            with open(os.path.join(folder, "fill%d" % number), "wb", 0) as file:
                total += file.write(bytes(1_000_000))
    except OSError:
        pass
if total > 24_000_000:
    leak("wrote", total)
""",
    ),
    Attack(
        name="makes one file larger than all may be",
        code="""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def grow():
    with open("large", "wb") as file:
        file.truncate(10**12)
refused("grew", grow)
""",
    ),
    Attack(
        name="makes files without a number",
        code="""
print("TRIED", flush=True)
try:
    os.mkdir("many")
    for number in range(100_000):
        os.mkdir("many/%d" % number)
except OSError:
    pass
time.sleep(3)
""",
        gone=("files",),
    ),
    Attack(
        name="makes files without a number beside its home",
        only="bubblewrap",
        code="""
for folder in ("/tmp", "/dev/shm"):
    for number in range(40_000):
        os.mknod("%s/%d" % (folder, number))
""",
        gone=("files",),
    ),
    Attack(
        name="hides files where no path leads",
        code="""
home = os.getcwd()
print("TRIED", flush=True)
for _ in range(1_000):
    os.mkdir("d" * 100)
    os.chdir("d" * 100)
open("hidden", "wb").write(bytes(1_000_000))
time.sleep(1)
os.chdir(home)
""",
        gone=("files",),
        may_live=True,
    ),
    Attack(
        name="opens files as long as it can",
        code="""
held = []
try:
    while len(held) < 1000:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
if len(held) > 256:
    leak(len(held))
for each in held:
    os.close(each)
""",
    ),
    Attack(
        name="floods stdout",
        code="while True:\n    os.write(1, b'x' * 65_536)",
        gone=("output",),
    ),
    Attack(
        name="floods stderr from another process",
        code="""
import subprocess
subprocess.run(["/bin/sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done"])
""",
        gone=("output", "timeout"),
    ),
    Attack(
        name="loops for ever and listens to no signal",
        code="for number in range(1, 32):\n    try:\n"
        "        signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError):\n"
        "        pass\nwhile True: pass",
        short=True,
        gone=("timeout",),
    ),
    Attack(
        name="stops itself",
        code="os.kill(os.getpid(), signal.SIGSTOP)",
        short=True,
        gone=("timeout",),
    ),
    Attack(
        name="leaves processes behind that nobody asked for",
        code="""
for _ in range(3):
    if os.fork() == 0:
        try:
            os.setsid()
        except OSError:
            pass
        if os.fork() == 0:
            for number in (1, 2, 15):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(60)
        os._exit(0)
time.sleep(0.1)
print("TRIED", flush=True)
os._exit(0)
""",
        gone=("exited",),
    ),
    Attack(
        name="raises what cannot be shown",
        code="""
class Bad(Exception):
    def __str__(self): raise self
    def __repr__(self): raise KeyboardInterrupt
    @property
    def __cause__(self): raise self
print("TRIED", flush=True)
raise Bad("x" * 10_000_000)
""",
        gone=("exited", "memory"),
        may_live=True,
    ),
    Attack(
        name="replaces what the loop is made of",
        code="""
import builtins, json
print("TRIED", flush=True)
json.dumps = lambda *a, **k: "[" * 1000
builtins.len = lambda *_: 2**31
""",
        gone=("protocol", "exited"),
        may_live=True,
    ),
)

assert len(ATTACKS) >= 40
assert len({each.name for each in ATTACKS}) == len(ATTACKS)


def attacks_on(sandbox: str) -> list[Attack]:
    """Those whose outcome a sandbox promises; `TRIED` is added where it is not in the code."""
    return [
        msgspec.structs.replace(
            each,
            code=each.code if "TRIED" in each.code else each.code + "\nprint('TRIED', flush=True)",
        )
        for each in ATTACKS
        if each.only in ("", sandbox)
    ]


async def read_through_a_link(box: Box, bait: Bait) -> None:
    """A link in a box to a file of the server's leads nowhere, when the server takes files out."""
    code = f"import os\nfor name in ('a', 'b'):\n    os.symlink({str(bait.secret)!r}, name)\n"
    code += "os.mkfifo('pipe')\nos.symlink('/proc/1/root', 'root')\nos.symlink('/', 'top')"
    async for _ in box.run(code):
        pass
    for path in ("a", "b", "pipe", f"root{bait.secret}", f"top{bait.secret}"):
        with pytest.raises((BoxFileMissing, BoxFileRefused)):
            async for chunk in box.get(path):
                assert CANARY.encode() not in chunk
    assert not [each.path for each in await box.list() if each.path in ("a", "b", "pipe")]
