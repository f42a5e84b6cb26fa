"""A protection that is missing is missed by the probe, each of them by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.box_attacks import open_folder
from tests.plugins.bubblewrap.test_bubblewrap import needs_bubblewrap

from famulus_boxes.environment import find_environment
from famulus_boxes.probing import tried
from famulus_boxes.processes import children
from famulus_boxes.starting import StartFailed
from famulus_boxes.wall import Grip, Launch, Usage
from famulus_bubblewrap.grip import NamespaceGrip
from famulus_bubblewrap.settings import BubblewrapSettings
from famulus_bubblewrap.wall import BubblewrapWall
from famulus_schemas.sandbox import BoxLimits

pytestmark = [pytest.mark.anyio, needs_bubblewrap]

SETTINGS = BubblewrapSettings()


async def reasons(
    tmp_path: Path, wall: type[BubblewrapWall] = BubblewrapWall, **less: object
) -> str:
    """What the probe says where something is left out."""
    made = wall(SETTINGS, find_environment(tmp_path), **less)  # type: ignore[arg-type]
    return "\n".join((await tried(made, SETTINGS, tmp_path))[1])


async def test_with_all_protections_nothing_is_missed(tmp_path: Path) -> None:
    assert await reasons(tmp_path) == ""


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("--unshare-net", "network: opened an abstract socket"),
        ("seccomp", "network: opened a netlink socket"),
        ("seccomp", "processes: traces a process"),
        ("--remount-ro", "writing: wrote /famulus-probe"),
        ("--size", "disk: "),
        ("RLIMIT_NPROC", "forks: made"),
        # Took it, or was ended for it: whichever is seen first.
        ("RLIMIT_AS", "memory: "),
        ("empty-environment", "environment: saw the variable FAMULUS_PROBED"),
        ("close-descriptors", "descriptors: has descriptor"),
    ],
)
async def test_what_is_left_out_is_told(
    tmp_path: Path, without: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAMULUS_PROBED", "1")
    assert told in await reasons(tmp_path, without={without})


async def test_a_file_of_the_server_that_can_be_read_is_told() -> None:
    with open_folder() as folder:
        assert "files: read" in await reasons(folder, shown=(str(folder),))


async def test_without_processes_of_its_own_no_box_starts(tmp_path: Path) -> None:
    with pytest.raises(StartFailed):
        await reasons(tmp_path, without={"--unshare-pid"})


class Blind(NamespaceGrip):
    """Sees no memory."""

    def usage(self, limits: BoxLimits) -> Usage:
        return Usage(memory_bytes=0)


class Unwatched(BubblewrapWall):
    def grip(self, pid: int, launch: Launch) -> Grip:
        assert children(pid)
        return Blind(pid)


async def test_memory_that_nobody_adds_up_is_told(tmp_path: Path) -> None:
    assert "memory: processes take more together" in await reasons(tmp_path, Unwatched)
