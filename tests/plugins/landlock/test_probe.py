"""A protection that is missing is missed by the probe, each of them by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.box_attacks import python_of_the_machine
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
async def test_what_is_left_out_is_told(tmp_path: Path, without: str, told: str) -> None:
    # As open as a careless server's folder is; Landlock holds all the same.
    for each in (tmp_path, *tmp_path.parents[:3]):
        each.chmod(0o755)
    tmp_path.chmod(0o777)
    environment = find_environment(tmp_path, python_of_the_machine())
    wall = LandlockWall(SETTINGS, environment, without={without})
    reasons = "\n".join((await tried(wall, SETTINGS, tmp_path))[1])
    assert told in reasons
    assert bool(reasons) == bool(told)
