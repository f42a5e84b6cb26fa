"""The wall: Landlock for files, a filter for calls, limits for each process, a watchdog for all."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from famulus_boxes.environment import Environment
from famulus_boxes.processes import memory_file, tasks_of
from famulus_boxes.seccomp import denying, program
from famulus_boxes.starting import BOOTSTRAP
from famulus_boxes.syscalls import numbers
from famulus_boxes.wall import Grip, Launch
from famulus_landlock.calls import ALLOWED
from famulus_landlock.confine import REMOVE, version
from famulus_landlock.grip import GroupGrip
from famulus_landlock.settings import LandlockSettings
from famulus_schemas.sandbox import BoxLimits, Level

_FILES_OPEN_MAX = 128
_UIDS = 1_000
_READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_FULL = 6
"""The version of Landlock since which it holds signals and abstract sockets too."""

LACKS = (
    "files are counted ten times a second, and not bounded by a file system of the box's own",
    "there is no memory of its own for temporary files, and no `/mnt/data` but in the code's text",
    "before Linux 6.12 a box may send signals to what runs as its user",
    "more of the kernel can be reached than from a namespace",
)


def remove(home: Path) -> None:
    """Remove a home, however deep its folders are."""
    command = [REMOVE, "-rf", "--", str(home)]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False)  # noqa: S603 - our own folder.


class LandlockWall:
    """Confines boxes that share all else with the machine."""

    name = "landlock"
    level: Level = "confined"
    lacks: Sequence[str] = LACKS

    def __init__(
        self,
        settings: LandlockSettings,
        environment: Environment,
        *,
        without: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._without = frozenset(without)
        """Protections that are left out, so that tests see that the probe misses them."""
        self._uids = itertools.cycle(range(settings.uid, settings.uid + _UIDS))
        self._homes: dict[int, Path] = {}

    def unusable(self) -> Sequence[str]:
        """Why no box can be started."""
        if not sys.platform.startswith("linux"):
            return ("landlock: it needs Linux",)
        if version() < 1:
            return ("landlock: this kernel has none (5.13 and later do), or it is turned off",)
        try:
            numbers()
        except LookupError:
            return (f"landlock: there is no filter for {os.uname().machine}",)
        return ()

    def launch(self, limits: BoxLimits, *, requests: int, replies: int) -> Launch:
        """How a box is started."""
        uid = next(self._uids) if os.geteuid() == 0 else None
        home = Path(tempfile.mkdtemp(prefix="famulus-box-", dir=self._settings.folder)).resolve()
        if uid is not None:
            os.chown(home, uid, uid)
        rules = [] if "seccomp" in self._without else denying(sockets=False)
        code = program(rules, only=ALLOWED) if rules else b""
        held = [memory_file("filter", code)]
        plan = {
            "uid": uid,
            "nice": self._settings.nice,
            "home": str(home),
            "landlock": "landlock" not in self._without,
            "readable": self._readable(),
            "devices": _DEVICES,
            "requests": requests,
            "replies": replies,
            "filter": held[0],
            "run": [self._environment.python, "-I", "-S", "-c", BOOTSTRAP],
            "environment": self._variables(home),
        }
        held.append(memory_file("plan", json.dumps(plan).encode()))
        packages = self._environment.packages_folder
        return Launch(
            command=(
                *(sys.executable, "-I", "-S"),
                str(Path(__file__).with_name("confine.py")),
                str(held[1]),
            ),
            descriptors=held,
            environment={},
            home=str(home),
            packages=[packages] if packages is not None else [],
            rlimits=self._rlimits(limits, uid),
            clean=lambda: remove(home),
        )

    def grip(self, pid: int, launch: Launch) -> Grip:
        """Take hold of a box."""
        return GroupGrip(pid, Path(launch.home))

    def _readable(self) -> list[str]:
        environment = self._environment
        own = [environment.prefix, environment.packages_folder]
        return [*_READABLE, *(each for each in own if each is not None)]

    def _variables(self, home: Path) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": self._environment.packages_folder or "",
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": str(home / ".matplotlib"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }

    def _rlimits(self, limits: BoxLimits, uid: int | None) -> dict[str, int]:
        # The kernel counts all that a user runs; a box has a user of its own only where the
        # server is root.
        others = 0 if uid is not None else tasks_of(os.getuid())
        found = {
            "RLIMIT_AS": limits.memory_bytes,
            "RLIMIT_FSIZE": limits.files_bytes,
            "RLIMIT_NPROC": others + limits.tasks_max,
            "RLIMIT_NOFILE": _FILES_OPEN_MAX,
            "RLIMIT_CORE": 0,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_NICE": 0,
            "RLIMIT_RTPRIO": 0,
        }
        return {name: value for name, value in found.items() if name not in self._without}
