"""A mistake in the settings is told at the start, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from famulus.mistakes import ConfigError
from famulus.testing import kernel_with

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"networks": ["10.1.2.3/8"]}, "networks: 10.1.2.3/8 has host bits set"),
        ({"networks_denied": ["here"]}, "networks_denied: 'here'"),
        ({"hosts": ["https://a.example"]}, "hosts: 'https://a.example' must look like a.example"),
        ({"hosts_denied": ["A.example"]}, "hosts_denied: 'A.example'"),
        ({"hosts": ["a.*.example"]}, "hosts: 'a.*.example'"),
        ({"schemes": ["ftp"]}, "schemes"),
        ({"ports": [0]}, "ports"),
        ({"total_s": 0}, "total_s"),
    ],
)
async def test_a_mistake_is_told_by_name(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="fetch") as told:
        async with kernel_with("fetch", settings={"fetch": settings}, data_dir=tmp_path):
            pass
    assert said in str(told.value)


async def test_certificates_that_are_not_there_are_told_at_the_start(tmp_path: Path) -> None:
    settings = {"fetch": {"ca_file": "/nowhere.pem"}}
    async with kernel_with("fetch", settings=settings, data_dir=tmp_path) as server:
        state, reason = server.state("fetch")
    assert (state, "ca_file: /nowhere.pem" in reason) == ("failed", True)
