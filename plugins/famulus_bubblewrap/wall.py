"""The wall: one box a bubblewrap, started by a process that has nothing of the server's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from famulus_boxes.environment import Environment
from famulus_boxes.processes import memory_file
from famulus_boxes.seccomp import denying, program
from famulus_boxes.starting import BOOTSTRAP
from famulus_boxes.syscalls import numbers
from famulus_boxes.wall import Grip, Launch
from famulus_bubblewrap.arguments import PACKAGES, arguments, shown_folders
from famulus_bubblewrap.grip import NamespaceGrip
from famulus_bubblewrap.settings import BubblewrapSettings
from famulus_schemas.sandbox import HOME, BoxLimits, Level

_FILES_OPEN_MAX = 128


class BubblewrapWall:
    """Shuts boxes in by namespaces of their own."""

    name = "bubblewrap"
    level: Level = "isolated"
    lacks: Sequence[str] = ()

    def __init__(
        self,
        settings: BubblewrapSettings,
        environment: Environment,
        *,
        without: Collection[str] = (),
        shown: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._without = frozenset(without)
        self._shown = [word for each in shown for word in ("--ro-bind", each, each)]
        """Protections that are left out, and folders that boxes must not see, so that tests see
        that the probe misses them. Nothing but tests gives these."""

    def unusable(self) -> Sequence[str]:
        """Why no box can be started."""
        reasons = []
        if not sys.platform.startswith("linux"):
            return ("bubblewrap: it needs Linux",)
        if shutil.which(self._settings.command) is None:
            reasons.append(
                f"bubblewrap: there is no {self._settings.command!r}; install the package "
                "bubblewrap (apt-get install bubblewrap, dnf install bubblewrap)"
            )
        try:
            numbers()
        except LookupError:
            reasons.append(f"bubblewrap: there is no filter for {os.uname().machine}")
        return reasons

    def launch(self, limits: BoxLimits, *, requests: int, replies: int) -> Launch:
        """How a box is started."""
        as_root = os.geteuid() == 0
        environment = self._environment
        command = shutil.which(self._settings.command)
        assert command is not None
        filter_bytes = b"" if "seccomp" in self._without else program(denying())
        without = self._without | ({"--seccomp"} if "seccomp" in self._without else set())
        words = arguments(environment, limits, as_root=as_root, without=without)
        words[-2:-2] = self._shown
        held = [
            memory_file("filter", filter_bytes),
            memory_file("arguments", b"".join(word.encode() + b"\0" for word in words)),
        ]
        plan = {
            "command": command,
            "uid": self._settings.uid if as_root else None,
            "shown": shown_folders(environment),
            "nice": self._settings.nice,
            "requests": requests,
            "replies": replies,
            "seccomp": held[0],
            "arguments": held[1],
            "environment": dict(os.environ) if "empty-environment" in without else {},
            "holds_all": "close-descriptors" in without,
            "run": [environment.python, "-I", "-S", "-c", BOOTSTRAP],
        }
        held.append(memory_file("plan", json.dumps(plan).encode()))
        launcher = Path(__file__).with_name("launch.py")
        return Launch(
            command=(sys.executable, "-I", "-S", str(launcher), str(held[2])),
            descriptors=held,
            environment={},
            home=HOME,
            packages=[PACKAGES] if environment.packages_folder is not None else [],
            rlimits=self._rlimits(limits),
            clean=lambda: None,
        )

    def grip(self, pid: int, launch: Launch) -> Grip:
        """Take hold of a box."""
        grip = NamespaceGrip(pid)
        # Where the kernel shares the CPU out by sessions, of which a box has one of its own, its
        # nice value counts for nothing beside other sessions, and this does.
        with contextlib.suppress(OSError):
            Path(f"/proc/{grip.loop}/autogroup").write_text(str(self._settings.nice))
        return grip

    def _rlimits(self, limits: BoxLimits) -> dict[str, int]:
        found = {
            "RLIMIT_AS": limits.memory_bytes,
            "RLIMIT_FSIZE": limits.files_bytes,
            "RLIMIT_NPROC": limits.tasks_max,
            "RLIMIT_NOFILE": _FILES_OPEN_MAX,
            "RLIMIT_CORE": 0,
            "RLIMIT_MSGQUEUE": 0,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_NICE": 0,
            "RLIMIT_RTPRIO": 0,
        }
        return {name: value for name, value in found.items() if name not in self._without}
