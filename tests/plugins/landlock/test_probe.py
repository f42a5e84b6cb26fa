"""A protection that is missing is missed by the probe, each of them by itself."""

from __future__ import annotations

import pytest
from tests.plugins.box_attacks import open_folder, python_of_the_machine
from tests.plugins.landlock.test_landlock import needs_landlock

from famulus_boxes.environment import find_environment
from famulus_boxes.probing import tried
from famulus_landlock.settings import LandlockSettings
from famulus_landlock.wall import LandlockWall

pytestmark = [pytest.mark.anyio, needs_landlock]

SETTINGS = LandlockSettings()


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("", ""),
        ("landlock", "files: read"),
        ("landlock", "writing: wrote"),
        ("seccomp", "network: opened a UDP socket"),
        ("seccomp", "processes: traces a process"),
        ("RLIMIT_NPROC", "forks: made"),
        ("RLIMIT_AS", "memory: took"),
    ],
)
async def test_what_is_left_out_is_told(without: str, told: str) -> None:
    # As open as a careless server's folder is; Landlock holds all the same.
    with open_folder() as folder:
        environment = find_environment(folder, python_of_the_machine())
        wall = LandlockWall(SETTINGS, environment, without={without})
        reasons = "\n".join((await tried(wall, SETTINGS, folder))[1])
    assert told in reasons
    assert bool(reasons) == bool(told)
