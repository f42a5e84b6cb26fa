"""What every provider of VECTORS promises, as tests: subclass, say how to open one, run pytest.

    class TestMyVectors(VectorsConformance):
        @pytest.fixture
        def open_vectors(self, tmp_path):
            return lambda: open_my_vectors(tmp_path)

The tests are coroutines, run by anyio's pytest plugin on asyncio.
"""

from __future__ import annotations

from famulus.testing.vectors_conformance.caches import DamagedCacheTests
from famulus.testing.vectors_conformance.changes import ChangeTests
from famulus.testing.vectors_conformance.filters import FilterTests
from famulus.testing.vectors_conformance.matching import MatchingTests
from famulus.testing.vectors_conformance.nearest import NearestTests
from famulus.testing.vectors_conformance.opening import OpenVectors
from famulus.testing.vectors_conformance.shelf import Shelf, toward

__all__ = ["DamagedCacheTests", "OpenVectors", "Shelf", "VectorsConformance", "toward"]


class VectorsConformance(NearestTests, MatchingTests, FilterTests, ChangeTests):
    """The promises of VECTORS. A subclass gives `open_vectors`.

    One that keeps files of its own as a cache adds `DamagedCacheTests`.
    """
