"""Boxes behind a real kernel gateway keep the promises of SANDBOX, where they are chosen."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.remote_sandbox.conftest import TOKEN

from famulus import NoSettings, Plugin, want
from famulus.testing import conformance_for, kernel_with
from famulus.testing.sandbox_conformance import OpenSandbox, cell, end, of
from famulus_schemas.ports import SANDBOX
from famulus_schemas.sandbox import BoxGone, ResultOutput, Sandbox

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Has code to run."""

    name = "user"
    sandbox = want(SANDBOX)


@asynccontextmanager
async def opened(url: str | None, data_dir: Path, **settings: Any) -> AsyncIterator[Sandbox]:
    """A server whose boxes are the gateway's kernels."""
    given = {
        "url": url,
        "token": TOKEN,
        "level": "confined",
        "homes": str(data_dir / "homes"),
        "grace_s": 2.0,
        "warm": 0,
        "probe_after_s": 3600,
        **settings,
    }
    async with kernel_with(
        "remote_sandbox",
        User,
        data_dir=data_dir,
        settings={"remote_sandbox": given},
        ports={"sandbox": "remote_sandbox"},
    ) as server:
        yield server.plugin("user").sandbox


class TestRemoteSandbox(conformance_for(SANDBOX)):  # type: ignore[misc]
    @pytest.fixture(scope="class")
    @classmethod
    def open_sandbox(cls, gateway: str, tmp_path_factory: pytest.TempPathFactory) -> OpenSandbox:
        return lambda: opened(gateway, tmp_path_factory.mktemp("data"))


async def test_it_is_off_until_it_is_chosen() -> None:
    async with kernel_with("remote_sandbox", User) as server:
        assert server.state("remote_sandbox") == ("off", "[ports] does not name it")
        assert server.plugin("user").sandbox is None


async def test_what_it_lacks_is_told(gateway: str, tmp_path: Path) -> None:
    known = ("no-such-package", "ipykernel")
    async with opened(gateway, tmp_path, level="isolated", packages=known) as sandbox:
        probe = await sandbox.probe()
        assert probe.level == "isolated"
        assert any("what its operator says" in each for each in probe.reasons)
        assert any("share a file system" in each for each in probe.reasons)
        assert [each.partition(" ")[0] for each in probe.packages] == ["ipykernel"]


async def test_kernels_of_one_file_system_need_homes_of_their_own(
    gateway: str, tmp_path: Path
) -> None:
    async with opened(gateway, tmp_path) as sandbox:
        first = await sandbox.open("s", project="p")
        second = await sandbox.open("t", project="p")
        await cell(first, "open('/mnt/data/a', 'w').write('secret')")
        assert await second.list() == []
        homes = tmp_path / "homes"
        assert len(list(homes.iterdir())) == 2
        await first.close()
        # A kernel that ends in peace leaves nothing.
        assert len(list(homes.iterdir())) == 1


async def test_a_wrong_token_is_told(gateway: str, tmp_path: Path) -> None:
    async with opened(gateway, tmp_path, token="wrong") as sandbox:
        probe = await sandbox.probe()
        assert probe.level == "none"
        assert "set `token`" in probe.reasons[0]
        assert "wrong" not in str(probe)


async def test_a_kernel_that_is_killed_between_cells_is_not_used_again(
    gateway: str, tmp_path: Path
) -> None:
    async with opened(gateway, tmp_path) as sandbox:
        box = await sandbox.open("s", project="p")
        [pid] = of(ResultOutput, await cell(box, "import os\nos.getpid()"))
        os.kill(int(pid.text), signal.SIGKILL)
        with pytest.raises(BoxGone) as gone:
            while True:
                await cell(box, "1")
        assert gone.value.why == "exited"
        other = await sandbox.open("s", project="p")
        assert end(await cell(other, "os")) == "error"


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:8888", "http://", "http://host?a=b", "http://user:word@host"]
)
async def test_a_url_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    async with kernel_with(
        "remote_sandbox",
        data_dir=tmp_path,
        settings={"remote_sandbox": {"url": url}},
        ports={"sandbox": "remote_sandbox"},
    ) as server:
        state, reason = server.state("remote_sandbox")
        assert state == "failed"
        assert "url" in reason
        assert "word" not in reason
