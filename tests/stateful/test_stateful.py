"""The API keeps its promises in whatever order it is used.

FAMULUS_STATEFUL_EXAMPLES says how many histories are tried (60), and FAMULUS_STATEFUL_STEPS how
long each is (20). With FAMULUS_STATEFUL_RANDOM=1 they are others each time.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

# What differs is shown where a history fails.
pytest.register_assert_rewrite(
    *(f"tests.stateful.{name}" for name in ("expected", "listener", "machine"))
)

from tests.stateful.expected import ENDS  # noqa: E402
from tests.stateful.machine import Machine  # noqa: E402
from tests.stateful.mutants import ALL  # noqa: E402
from tests.stateful.place import AT_ONCE_MAX  # noqa: E402

EXAMPLES = int(os.environ.get("FAMULUS_STATEFUL_EXAMPLES", "60"))
STEPS = int(os.environ.get("FAMULUS_STATEFUL_STEPS", "20"))
IS_RANDOM = os.environ.get("FAMULUS_STATEFUL_RANDOM", "0") == "1"
MUTANT_EXAMPLES = 200
SELDOM = {
    *ENDS,
    "requires_action",
    "queued at a new start",
    "in_progress at a new start",
    "picked up amid a stream",
}
"""What the histories must have come to, or they would prove little."""


def settings_of(examples: int, **more: Any) -> settings:
    """How histories are looked for."""
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        derandomize=not IS_RANDOM,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        **more,
    )


def outlive_a_kill_while_waiting() -> None:
    """A history that chance seldom comes to: a server dies while a run waits for room."""
    machine = Machine()
    try:
        runs = [("waits", False)] * (AT_ONCE_MAX + 1)
        machine.begin_with_some_runs({"model": "says"}, [], runs)
        machine.everything_is_as_it_must_be()
        machine.kill_and_start()
        machine.everything_is_as_it_must_be()
    finally:
        machine.teardown()


@pytest.mark.timeout(7200)
def test_whatever_is_asked_in_whatever_order_is_answered_as_it_must_be() -> None:
    # Each history that fails is printed as it is: to shorten one takes minutes.
    phases = [Phase.generate, Phase.shrink] if IS_RANDOM else [Phase.generate]
    Machine.seen.clear()

    outlive_a_kill_while_waiting()
    run_state_machine_as_test(Machine, settings=settings_of(EXAMPLES, phases=phases))

    if EXAMPLES * STEPS >= 60 * 20:
        assert set(Machine.seen) >= SELDOM, SELDOM - set(Machine.seen)


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.__name__)
def test_a_server_that_breaks_a_promise_is_noticed(mutant: type[Machine]) -> None:
    # What goes wrong only sometimes is noticed too.
    with pytest.raises((AssertionError, Flaky)):
        run_state_machine_as_test(
            mutant, settings=settings_of(MUTANT_EXAMPLES, phases=[Phase.generate])
        )
