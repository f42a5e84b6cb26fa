"""Hostile code in boxes by Landlock: nothing leaks, and nothing is left."""

from __future__ import annotations

import os

import pytest
from tests.plugins.boxes_attacked import attacks_for
from tests.plugins.landlock.test_landlock import needs_landlock, opened

from famulus_schemas.sandbox import Sandbox


@needs_landlock
class TestAttacks(attacks_for("landlock", opened)):  # type: ignore[misc]
    @pytest.mark.skipif(os.geteuid() != 0, reason="the kernel counts what a user has, not a box")
    async def test_a_box_that_is_full_of_processes_leaves_others_theirs(
        self, sandbox: Sandbox
    ) -> None:
        await super().test_a_box_that_is_full_of_processes_leaves_others_theirs(sandbox)
