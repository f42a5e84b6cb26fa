"""What everyone who keeps limits promises, as tests: subclass, say how to open them, run pytest.

    class TestMyLimits(LimitsConformance):
        @pytest.fixture
        def open_limits(self):
            return lambda clock: open_my_limits(clock)

They go by the clock that they are opened with, which the tests move. `examples` is how many
histories each property is tried on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus.testing.kit import FixedClock
from famulus.testing.slots_conformance import (
    PROPERTY,
    OpenLimits,
    SlotsConformance,
    hold,
    new_project,
)
from famulus_schemas.limits import Limit, Limits, Refused, Standing, Taken

# Numbers that floats hold exactly, so that the model's answer is the only right one.
RATES = st.integers(1, 64).map(lambda eighths: eighths / 8)
BURSTS = st.integers(1, 40)
PAUSES = st.integers(0, 80).map(lambda quarters: quarters / 4)
COSTS = st.integers(0, 40)


def limit(key: str = "a", *, rate: float = 1.0, burst: float = 10.0, cost: float = 1.0) -> Limit:
    """A limit, of a unit a second where nothing else is said."""
    return Limit(key=key, rate=rate, burst=burst, cost=cost)


class Model:
    """The promise in its plainest form, in exact numbers."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.limits = limits
        self.levels = [Fraction(0) for _ in limits]

    def pass_time(self, seconds: float) -> None:
        for at, one in enumerate(self.limits):
            leaked = Fraction(seconds) * Fraction(one.rate)
            self.levels[at] = max(Fraction(0), self.levels[at] - leaked)

    def take(self, costs: Sequence[int]) -> bool:
        whole = zip(self.levels, costs, self.limits, strict=True)
        if any(level + cost > one.burst for level, cost, one in whole):
            return False
        self.levels = [level + cost for level, cost in zip(self.levels, costs, strict=True)]
        return True

    def settle(self, differences: Sequence[int]) -> None:
        whole = zip(self.levels, differences, strict=True)
        self.levels = [max(Fraction(0), level + difference) for level, difference in whole]

    def remaining(self) -> list[Fraction]:
        whole = zip(self.levels, self.limits, strict=True)
        return [max(Fraction(0), Fraction(one.burst) - level) for level, one in whole]


class LimitsConformance(SlotsConformance):
    """The promises of LIMITS. A subclass gives `open_limits`."""

    async def test_a_burst_is_admitted_and_no_more(self, limits: Limits) -> None:
        outcomes = [await limits.take("p", [limit(burst=3)]) for _ in range(5)]
        assert [type(one) for one in outcomes] == [Taken, Taken, Taken, Refused, Refused]
        assert [one.standings[0].remaining for one in outcomes] == [2, 1, 0, 0, 0]
        assert [one.standings[0].reset_s for one in outcomes] == [1, 2, 3, 3, 3]

    async def test_what_is_taken_now_is_taken_or_left_to_be_asked_for(self, limits: Limits) -> None:
        wanted = [limit(burst=3)]
        outcomes = [limits.take_now("p", wanted) for _ in range(5)]
        if outcomes[0] is None:
            assert outcomes == [None] * 5
            assert await limits.take("p", wanted) == Taken(standings=(Standing(2, 1),))
            return
        assert [type(one) for one in outcomes] == [Taken, Taken, Taken, Refused, Refused]
        assert isinstance(await limits.take("p", wanted), Refused)

    async def test_what_is_refused_is_admitted_after_the_time_that_it_was_told(
        self, limits: Limits, fixed_clock: FixedClock
    ) -> None:
        await limits.take("p", [limit(rate=0.5, burst=4, cost=4)])
        refused = await limits.take("p", [limit(rate=0.5, burst=4, cost=3)])
        assert isinstance(refused, Refused)
        assert refused.retry_after_s == pytest.approx(6, abs=0.002)
        fixed_clock.move(refused.retry_after_s - 0.01)
        assert isinstance(await limits.take("p", [limit(rate=0.5, burst=4, cost=3)]), Refused)
        fixed_clock.move(0.01)
        assert isinstance(await limits.take("p", [limit(rate=0.5, burst=4, cost=3)]), Taken)

    async def test_of_several_limits_all_are_taken_or_none(self, limits: Limits) -> None:
        both = [limit("requests", burst=5), limit("tokens", burst=100, cost=60)]
        assert isinstance(await limits.take("p", both), Taken)
        refused = await limits.take("p", both)
        assert isinstance(refused, Refused)
        assert refused.which == 1
        assert refused.retry_after_s == pytest.approx(20, abs=0.002)
        assert [one.remaining for one in refused.standings] == [4, 40]
        # The request that was refused for its tokens has cost no request.
        asked = await limits.take("p", [limit("requests", burst=5, cost=0)])
        assert asked.standings[0].remaining == 4

    async def test_what_is_seen_of_all_processes_is_what_was_taken_and_nothing_is(
        self, limits: Limits
    ) -> None:
        wanted = [limit("requests", burst=5, cost=2), limit("tokens", burst=100, cost=60)]
        held = hold("run_1")
        await limits.hold("p", held, wanted)
        for _ in range(2):
            seen = await limits.seen("p", wanted, held.slots)
            # Nothing is where each process knows of itself alone.
            if seen is not None:
                assert [one.remaining for one in seen.standings] == [3, 40]
                assert seen.held == (1,)
        asked = await limits.take("p", [limit("requests", burst=5, cost=0)])
        assert asked.standings[0].remaining == 3

    async def test_the_limit_to_wait_for_longest_is_named(self, limits: Limits) -> None:
        three = [limit("a", burst=1), limit("b", rate=0.1, burst=1), limit("c", burst=1)]
        await limits.take("p", three)
        refused = await limits.take("p", three)
        assert isinstance(refused, Refused)
        assert refused.which == 1
        assert refused.retry_after_s == pytest.approx(10, abs=0.002)

    async def test_what_was_not_used_is_given_back(self, limits: Limits) -> None:
        await limits.take("p", [limit(burst=100, cost=90)])
        await limits.settle("p", [limit(burst=100, cost=-70)])
        asked = await limits.take("p", [limit(burst=100, cost=0)])
        assert asked.standings[0].remaining == 80

    async def test_more_than_was_taken_cannot_be_given_back(self, limits: Limits) -> None:
        await limits.take("p", [limit(burst=10, cost=5)])
        await limits.settle("p", [limit(burst=10, cost=-50)])
        assert isinstance(await limits.take("p", [limit(burst=10, cost=10)]), Taken)
        assert isinstance(await limits.take("p", [limit(burst=10)]), Refused)

    async def test_what_was_used_beyond_what_was_taken_is_waited_for(
        self, limits: Limits, fixed_clock: FixedClock
    ) -> None:
        await limits.take("p", [limit(burst=10)])
        await limits.settle("p", [limit(burst=10, cost=29)])
        refused = await limits.take("p", [limit(burst=10)])
        assert isinstance(refused, Refused)
        assert refused.retry_after_s == pytest.approx(21, abs=0.002)
        assert refused.standings[0].remaining == 0
        fixed_clock.move(refused.retry_after_s)
        assert isinstance(await limits.take("p", [limit(burst=10)]), Taken)

    async def test_projects_and_keys_have_limits_of_their_own(self, limits: Limits) -> None:
        for project in ("p", "q", "p}{", ""):
            for key in ("a", "b", "a:b", "größe", "x" * 1000):
                assert isinstance(await limits.take(project, [limit(key, burst=1)]), Taken)
                assert isinstance(await limits.take(project, [limit(key, burst=1)]), Refused)

    async def test_a_clock_that_is_set_back_locks_nobody_out(
        self, limits: Limits, fixed_clock: FixedClock
    ) -> None:
        await limits.take("p", [limit(burst=1)])
        fixed_clock.move(-86_400)
        refused = await limits.take("p", [limit(burst=1)])
        assert isinstance(refused, Refused)
        assert refused.retry_after_s < 2
        await limits.settle("p", [limit(burst=1, cost=0)])
        fixed_clock.move(1)
        assert isinstance(await limits.take("p", [limit(burst=1)]), Taken)

    async def test_what_can_never_be_admitted_is_a_bug(self, limits: Limits) -> None:
        with pytest.raises(ValueError, match="11 of at most 10"):
            await limits.take("p", [limit(cost=11)])
        with pytest.raises(ValueError, match="-1 of at most 10"):
            await limits.take("p", [limit(cost=-1)])
        with pytest.raises(ValueError, match="twice"):
            await limits.take("p", [limit(), limit()])

    async def test_many_at_once_are_not_admitted_beyond_the_burst(self, limits: Limits) -> None:
        outcomes = await asyncio.gather(
            *(limits.take("p", [limit(burst=7), limit("b", burst=9)]) for _ in range(40))
        )
        assert sum(isinstance(one, Taken) for one in outcomes) == 7

    @PROPERTY
    @given(
        shapes=st.lists(st.tuples(RATES, BURSTS), min_size=1, max_size=3),
        history=st.lists(
            st.tuples(PAUSES, st.booleans(), st.tuples(COSTS, COSTS, COSTS)), max_size=20
        ),
    )
    async def test_every_history_is_the_models(
        self,
        open_limits: OpenLimits,
        shapes: list[tuple[float, int]],
        history: list[tuple[float, bool, tuple[int, int, int]]],
    ) -> None:
        clock, project = FixedClock(), new_project()
        plain = [limit(f"{at}", rate=rate, burst=burst) for at, (rate, burst) in enumerate(shapes)]
        model = Model(plain)
        async with open_limits(clock) as limits:
            for pause, settles, costs in history:
                clock.move(pause)
                model.pass_time(pause)
                if settles:
                    # Half of them give back.
                    wanted = [cost - 20 for cost in costs[: len(plain)]]
                    await limits.settle(project, _costing(plain, wanted))
                    model.settle(wanted)
                    continue
                wanted = [min(cost, int(one.burst)) for cost, one in zip(costs, plain)]  # noqa: B905
                outcome = await limits.take(project, _costing(plain, wanted))
                assert isinstance(outcome, Taken) == model.take(wanted)
                left = [one.remaining for one in outcome.standings]
                assert left == pytest.approx([float(one) for one in model.remaining()])

    @PROPERTY
    @given(
        rate=st.floats(0.01, 1e6),
        burst=st.floats(1, 1e6),
        history=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=25),
    )
    async def test_no_window_has_more_than_its_rate_and_a_burst(
        self,
        open_limits: OpenLimits,
        rate: float,
        burst: float,
        history: list[tuple[float, float]],
    ) -> None:
        clock, project = FixedClock(), new_project()
        admitted: list[tuple[float, float]] = []
        async with open_limits(clock) as limits:
            for pause, share in history:
                clock.move(pause)
                wanted = limit(rate=rate, burst=burst, cost=burst * share)
                outcome = await limits.take(project, [wanted])
                if isinstance(outcome, Refused):
                    assert outcome.retry_after_s > 0
                    clock.move(outcome.retry_after_s)
                    outcome = await limits.take(project, [wanted])
                # Whoever waits as long as told, and is alone, is admitted.
                assert isinstance(outcome, Taken)
                admitted.append((clock(), wanted.cost))
        for first, (start, _) in enumerate(admitted):
            used = 0.0
            for end, cost in admitted[first:]:
                used += cost
                # To the microsecond, which is as fine as clocks are.
                assert used <= (burst + rate * (end - start + 1e-5)) * (1 + 1e-6)


def _costing(limits: Sequence[Limit], costs: Sequence[int]) -> list[Limit]:
    whole = zip(limits, costs, strict=True)
    return [limit(one.key, rate=one.rate, burst=one.burst, cost=cost) for one, cost in whole]
