"""Boxes behind a real kernel gateway keep the promises of SANDBOX, where they are chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.remote_sandbox.conftest import TOKEN

from famulus import NoSettings, Plugin, want
from famulus.testing import conformance_for, kernel_with
from famulus.testing.sandbox_conformance import OpenSandbox
from famulus_schemas.ports import SANDBOX
from famulus_schemas.sandbox import Sandbox

pytestmark = pytest.mark.anyio


class User(Plugin[NoSettings]):
    """Has code to run."""

    name = "user"
    sandbox = want(SANDBOX)


@asynccontextmanager
async def opened(url: str, data_dir: Path, **settings: Any) -> AsyncIterator[Sandbox]:
    """A server whose boxes are the gateway's kernels."""
    given = {
        "url": url,
        "token": TOKEN,
        "level": "confined",
        "homes": str(data_dir / "homes"),
        "grace_s": 2.0,
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
