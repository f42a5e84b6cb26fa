"""What all tests share."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


# --- where several processes share the tests ----------------------------------------------------


def pytest_configure() -> None:
    # What is told to this process is not for those that tests start.
    os.environ.pop("PYTEST_ADDOPTS", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        # Imported here: without pytest-xdist there is nothing to share.
        from tests.sharing import in_order

        items[:] = [items[at] for at in in_order([item.nodeid for item in items])]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if config.getoption("dist") != "loadfile":
        return None
    from tests.sharing import LongestFirst

    config.option.loadscopereorder = False
    return LongestFirst(config, log)
