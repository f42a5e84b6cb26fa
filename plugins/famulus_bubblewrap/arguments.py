"""Bubblewrap's arguments: what a box sees of this machine, and that it is alone."""

from __future__ import annotations

import os

from famulus_boxes.environment import Environment
from famulus_bubblewrap.launch import SECCOMP
from famulus_schemas.sandbox import HOME, BoxLimits

PACKAGES = "/opt/packages"
SHOWN = "/mnt"
"""A folder that every machine has; in the mounts of a box's first process, ours are in it."""

OTHER_FILES = ("/dev/shm", "/tmp")  # noqa: S108
"""File systems of a box's own, beside its home."""

_SHARED_MEMORY_BYTES = 16_000_000

Argument = tuple[str, ...]


def arguments(
    environment: Environment,
    limits: BoxLimits,
    *,
    as_root: bool,
    without: frozenset[str] = frozenset(),
) -> list[str]:
    """All arguments before the command. `without` leaves some out, for tests of the probe."""
    found = [
        *_alone(),
        *_machine(),
        *_python(environment, as_root=as_root),
        *_own_files(limits),
        *_person(),
        # Nothing can be made in the root any more; it must be the last of the mounts.
        ("--remount-ro", "/"),
        ("--chdir", HOME),
    ]
    return [word for each in found if not without & {each[0]} for word in each]


def _alone() -> list[Argument]:
    return [
        ("--unshare-user",),
        ("--unshare-ipc",),
        ("--unshare-pid",),
        ("--unshare-net",),
        ("--unshare-uts",),
        ("--unshare-cgroup-try",),
        ("--disable-userns",),
        ("--die-with-parent",),
        ("--new-session",),
        ("--cap-drop", "ALL"),
        ("--seccomp", str(SECCOMP)),
    ]


def _machine() -> list[Argument]:
    return [
        ("--ro-bind", "/usr", "/usr"),
        ("--tmpfs", "/usr/local"),
        *(_beside_usr(name) for name in ("/bin", "/lib", "/lib64") if os.path.exists(name)),
        ("--dir", "/etc"),
        # By which programs find libraries that are not where they look first.
        ("--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"),
        ("--proc", "/proc"),
        ("--dev", "/dev"),
    ]


def _beside_usr(name: str) -> Argument:
    """A folder that most machines have in `/usr`, and some beside it."""
    if os.path.islink(name):
        return ("--symlink", f"usr{name}", name)
    return ("--ro-bind", name, name)


def shown_folders(environment: Environment) -> list[tuple[str, str]]:
    """Folders that only their owner may reach, and where a box's first process shows them."""
    found = []
    if not _is_system(environment):
        found.append((environment.prefix, f"{SHOWN}/python"))
    if environment.packages_folder is not None:
        found.append((environment.packages_folder, f"{SHOWN}/packages"))
    return found


def _is_system(environment: Environment) -> bool:
    return environment.prefix == "/usr"


def _python(environment: Environment, *, as_root: bool) -> list[Argument]:
    places = dict(shown_folders(environment)) if as_root else {}
    found: list[Argument] = []
    if not _is_system(environment):
        # Under its own name: an interpreter may look for its library there.
        source = places.get(environment.prefix, environment.prefix)
        found.append(("--ro-bind", source, environment.prefix))
    if environment.packages_folder is not None:
        source = places.get(environment.packages_folder, environment.packages_folder)
        found.append(("--ro-bind", source, PACKAGES))
    return found


def _own_files(limits: BoxLimits) -> list[Argument]:
    def sized(size: int, place: str) -> list[Argument]:
        return [("--size", str(size)), ("--tmpfs", place)]

    shared = min(_SHARED_MEMORY_BYTES, limits.files_bytes)
    return [
        *sized(shared, "/dev/shm"),  # noqa: S108
        ("--remount-ro", "/dev"),
        *sized(max(1_000_000, limits.files_bytes // 4), "/tmp"),  # noqa: S108
        *sized(limits.files_bytes, HOME),
    ]


def _person() -> list[Argument]:
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "PYTHONPATH": PACKAGES,
        "TMPDIR": "/tmp",  # noqa: S108
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
        # A thread for each core of the machine would use up the tasks of a box.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    return [
        ("--uid", "1000"),
        ("--gid", "1000"),
        ("--hostname", "sandbox"),
        ("--clearenv",),
        *(("--setenv", name, value) for name, value in variables.items()),
    ]
