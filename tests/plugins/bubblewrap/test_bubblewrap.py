"""Boxes by bubblewrap keep every promise of SANDBOX."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from famulus import NoSettings, Plugin, need
from famulus.testing import conformance_for, kernel_with
from famulus.testing.sandbox_conformance import OpenSandbox
from famulus_schemas.ports import SANDBOX
from famulus_schemas.sandbox import Sandbox, SandboxUnavailable

pytestmark = pytest.mark.anyio

needs_bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed: apt-get install bubblewrap"
)

SMALL = {"memory_bytes": 150_000_000, "files_bytes": 16_000_000, "tasks_max": 32, "warm": 0}


class User(Plugin[NoSettings]):
    """Has code to run."""

    name = "user"
    sandbox = need(SANDBOX)


@asynccontextmanager
async def opened(data_dir: Path, **settings: Any) -> AsyncIterator[Sandbox]:
    given = {"bubblewrap": {**SMALL, **settings}}
    async with kernel_with("bubblewrap", User, data_dir=data_dir, settings=given) as server:
        yield server.plugin("user").sandbox


@needs_bubblewrap
class TestBubblewrap(conformance_for(SANDBOX)):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def open_sandbox(cls, tmp_path_factory: pytest.TempPathFactory) -> OpenSandbox:
        return lambda: opened(tmp_path_factory.mktemp("data"))


async def test_without_bubblewrap_the_server_runs_and_says_what_to_install(tmp_path: Path) -> None:
    async with opened(tmp_path, command="no-such-bwrap") as sandbox:
        probe = await sandbox.probe()
        assert probe.level == "none"
        assert "install the package bubblewrap" in probe.reasons[0]
        with pytest.raises(SandboxUnavailable, match="install the package bubblewrap"):
            await sandbox.open("s", project="p")
