"""What code in a box tries in order to break out, as the probe has it try at the start.

Each attempt prints a line for whatever it could do and must not; nothing is printed where the box
holds. What can be seen from outside is judged from outside, in `probing.py`.
"""

from __future__ import annotations

READ_FILES = """
import os, glob
for path in [{secret!r}, "/etc/shadow", "/root/.bashrc", "/proc/1/root" + {secret!r},
             "/proc/1/cwd/.." + {secret!r}, "/proc/self/root" + {secret!r}]:
    try:
        with open(path) as file:
            print("read", path, file.read(20)[:4])
    except OSError:
        pass
os.chdir("/mnt/data") if os.path.isdir("/mnt/data") else None
try:
    os.symlink({secret!r}, "link")
    print("read a link", open("link").read(20)[:4])
except OSError:
    pass
"""

READ_ENVIRONMENT = """
import os
known = {known!r}
names, seen = set(os.environ), ["1", "self", "{server}"]
try:
    seen += [entry for entry in os.listdir("/proc") if entry.isdigit()]
except OSError:
    pass
for entry in seen:
    try:
        data = open("/proc/" + entry + "/environ", "rb").read()
    except OSError:
        continue
    names |= {{each.split(b"=")[0].decode(errors="replace") for each in data.split(b"\\0")}}
for name in sorted(names - set(known) - {{""}}):
    print("saw the variable", name)
"""

NETWORK = """
import socket
def attempt(what, family, kind, address=None, protocol=0):
    try:
        with socket.socket(family, kind, protocol) as made:
            made.settimeout(0.3)
            if address is not None:
                made.connect(address)
            print("opened", what)
    except OSError:
        pass
here = ("127.0.0.1", {port})
attempt("a TCP connection to this machine", socket.AF_INET, socket.SOCK_STREAM, here)
attempt("a UDP socket", socket.AF_INET, socket.SOCK_DGRAM)
attempt("an IPv6 socket", socket.AF_INET6, socket.SOCK_STREAM)
attempt("an abstract socket", socket.AF_UNIX, socket.SOCK_STREAM, "\\0" + {abstract!r})
attempt("a socket file", socket.AF_UNIX, socket.SOCK_STREAM, {socket_file!r})
attempt("a netlink socket", 16, socket.SOCK_RAW)
attempt("a vsock", 40, socket.SOCK_STREAM)
attempt("a packet socket", 17, socket.SOCK_RAW)
"""

DESCRIPTORS = """
import os
for number in range(5, 256):
    try:
        os.fstat(number)
        print("has descriptor", number, os.readlink("/proc/self/fd/%d" % number))
    except OSError:
        pass
"""

PTRACE = """
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
child = os.fork()
if child == 0:
    signal.pause()
    os._exit(0)
if libc.ptrace(16, child, 0, 0) == 0:
    print("traces a process")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
for pid in (1, {server}):
    try:
        os.kill(pid, 0 if pid == {server} else signal.SIGURG)
        if pid == {server}:
            print("may send signals to the server")
    except OSError:
        pass
for call in {calls!r}:
    number, name = call
    if libc.syscall(number, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() not in (1, 38):
        print("may call", name, ctypes.get_errno())
"""

WRITE_OUTSIDE = """
import os
for folder in [{outside!r}, "/usr", "/usr/lib", "/etc", "/dev", "/", "/opt", "/mnt", "/proc",
               "/var/tmp"]:
    path = os.path.join(folder, "famulus-probe")
    try:
        open(path, "w").close()
        print("wrote", path)
        os.unlink(path)
    except OSError:
        pass
"""

FORKS = """
import os, signal
made = []
try:
    while len(made) <= {tasks_max}:
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        made.append(child)
except OSError:
    pass
for child in made:
    os.kill(child, signal.SIGKILL)
for child in made:
    os.waitpid(child, 0)
if len(made) >= {tasks_max}:
    print("made", len(made), "processes")
"""

ONE_PROCESS = """
try:
    block = bytearray({memory_bytes} + 1)
    print("took", len(block), "bytes of memory")
except MemoryError:
    pass
"""

DISK = """
import os
for folder in (".", "/tmp", "/dev/shm", "/var/tmp", "/run"):
    total, number = 0, 0
    try:
        while total <= {files_bytes}:
            with open(os.path.join(folder, "probe%d" % number), "wb", 0) as file:
                number += 1
                for _ in range(16):
                    total += file.write(bytes(262144))
    except OSError:
        pass
    for each in range(number):
        try:
            os.unlink(os.path.join(folder, "probe%d" % each))
        except OSError:
            pass
    if total > {files_bytes}:
        print("wrote", total, "bytes to", folder)
"""

MANY_PROCESSES = """
import os, signal, time
for _ in range(6):
    if os.fork() == 0:
        block = bytearray(b"x" * ({memory_bytes} // 4))
        time.sleep(20)
        os._exit(0)
time.sleep(20)
print("took more memory than it may, in several processes")
"""
