"""What every record store promises, as tests: subclass, say how to open one, and run pytest.

    class TestMyStore(RecordsConformance):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: open_my_store(tmp_path)

The tests are coroutines, run by anyio's pytest plugin on asyncio.
"""

from __future__ import annotations

from famulus.testing.records_conformance.erasing import ErasingTests
from famulus.testing.records_conformance.indexes import IndexTests
from famulus.testing.records_conformance.opening import Opened, OpenStore
from famulus.testing.records_conformance.pages import PageTests
from famulus.testing.records_conformance.projects import ProjectTests
from famulus.testing.records_conformance.races import RaceTests
from famulus.testing.records_conformance.reopening import ReopeningTests
from famulus.testing.records_conformance.units import UnitTests
from famulus.testing.records_conformance.walks import WalkTests
from famulus.testing.records_conformance.writes import WriteTests

__all__ = ["OpenStore", "Opened", "RecordsConformance"]


class RecordsConformance(
    WriteTests,
    UnitTests,
    RaceTests,
    PageTests,
    IndexTests,
    ProjectTests,
    ErasingTests,
    ReopeningTests,
    WalkTests,
):
    """The promises of RECORDS. A subclass gives `open_store`, and says what it can besides."""
