"""How several processes share the tests, where pytest-xdist is told to have some.

`pytest -n 3 --dist loadfile` gives a process whole files, so that what a file's tests share is made
once. What takes minutes is begun first, or all others would wait for it at the end, and the
longest tests are shared one by one: none of them uses what another has made.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdist.scheduler import LoadFileScheduling

ONE_BY_ONE = (
    "tests/crash/test_crash.py",
    "tests/simulation/test_simulation.py",
    "tests/stateful/test_stateful.py",
)
LONGEST = (
    "tests/crash/test_crash.py::test_a_server_killed_anywhere",
    "tests/crash/test_crash.py::test_a_broken_promise_is_found[no_fence",
    "tests/stateful/test_stateful.py::test_whatever_is_asked",
    "tests/simulation/test_simulation.py::test_promises_hold",
    "tests/stateful/test_stateful.py",
    "tests/plugins/postgres/test_store.py",
    "tests/plugins/remote_sandbox/test_remote_sandbox.py",
    "tests/e2e/test_scenarios.py",
    "tests/e2e/test_durability.py",
    "tests/e2e/test_idempotency.py",
    "conformance/test_fuzz.py",
    "conformance/test_report.py",
    *ONE_BY_ONE,
)
"""What is begun first, the longest first. What is not named here comes after all of it."""


class LongestFirst(LoadFileScheduling):
    """Hands files out as xdist does, but no second long one to who has one already."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if file in ONE_BY_ONE else file

    def _reschedule(self, node: object) -> None:
        # A process begins a test only once it knows the next one, so it needs to have two.
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)


def in_order(nodeids: Sequence[str]) -> list[int]:
    """The places of the tests in the order in which to begin them."""

    def rank(at: int) -> int:
        nodeid = nodeids[at]
        named = (rank for rank, part in enumerate(LONGEST) if nodeid.startswith(part))
        return next(named, len(LONGEST))

    return sorted(range(len(nodeids)), key=rank)
