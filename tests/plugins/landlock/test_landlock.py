"""Boxes by Landlock keep every promise of SANDBOX, where the operator chose them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.box_attacks import open_folder, python_of_the_machine

from famulus import NoSettings, Plugin, want
from famulus.testing import conformance_for, kernel_with
from famulus.testing.sandbox_conformance import OpenSandbox, cell
from famulus_landlock.confine import version
from famulus_schemas.ports import SANDBOX
from famulus_schemas.sandbox import BoxGone, Sandbox

pytestmark = pytest.mark.anyio

needs_landlock = pytest.mark.skipif(version() < 1, reason="this kernel has no Landlock")

SMALL = {"memory_bytes": 150_000_000, "files_bytes": 16_000_000, "tasks_max": 32, "warm": 0}


class User(Plugin[NoSettings]):
    """Has code to run."""

    name = "user"
    sandbox = want(SANDBOX)


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[Sandbox]:
    given = {"landlock": {**SMALL, "python": python_of_the_machine(), **settings}}
    ports = {"sandbox": "landlock"}
    async with kernel_with(
        "landlock", User, data_dir=data_dir, settings=given, ports=ports
    ) as server:
        yield server.plugin("user").sandbox


@needs_landlock
class TestLandlock(conformance_for(SANDBOX)):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def open_sandbox(cls, tmp_path_factory: pytest.TempPathFactory) -> OpenSandbox:
        return lambda: opened(tmp_path_factory.mktemp("data"))


async def test_it_is_off_until_it_is_chosen() -> None:
    async with kernel_with("landlock", User) as server:
        assert server.state("landlock") == ("off", "[ports] does not name it")
        assert server.plugin("user").sandbox is None


@needs_landlock
async def test_what_it_lacks_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as sandbox:
        probe = await sandbox.probe()
        assert probe.level == "confined"
        assert any("files are counted" in each for each in probe.reasons)


@needs_landlock
async def test_a_box_leaves_no_folder(tmp_path: Path) -> None:
    with open_folder() as homes:
        await leaves_no_folder(tmp_path, homes)


async def leaves_no_folder(data_dir: Path, homes: Path) -> None:
    async with opened(data_dir, folder=str(homes)) as sandbox:
        box = await sandbox.open("s", project="p")
        assert len(os.listdir(homes)) == 1
        code = "import os\nfor _ in range(900):\n    os.mkdir('d' * 100)\n    os.chdir('d' * 100)"
        with contextlib.suppress(BoxGone):
            await cell(box, code)
        await box.close()
        assert os.listdir(homes) == []
        await sandbox.open("t", project="p")
    assert os.listdir(homes) == []
