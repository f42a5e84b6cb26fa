"""What everyone who keeps limits promises of slots; part of `LimitsConformance`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from famulus.testing.kit import FixedClock
from famulus_schemas.limits import Full, Hold, Limit, Limits, Refused, Slot, Taken

OpenLimits = Callable[[Callable[[], float]], AbstractAsyncContextManager[Limits]]
"""Opens limits that go by a clock; within one test always the same ones, unused at first."""

PROPERTY = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    # The fixture only says how to open; each example has a project of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)

# Numbers that floats hold exactly, so that the model's answer is the only right one.
PAUSES = st.integers(0, 24).map(lambda quarters: quarters / 4)
LEASES = st.integers(1, 40).map(lambda quarters: quarters / 4)
WHO = st.sampled_from(("run_1", "run_2", "run_3", "run_4"))
WHICH = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)
WHAT = st.sampled_from(("hold", "hold", "renew", "release"))


def new_project() -> str:
    """A project that nothing was taken in."""
    return f"p_{secrets.token_hex(6)}"


def hold(holder: str, *keys: str, at_once_max: int = 1, lease_s: float = 10.0, **more: int) -> Hold:
    """Slots of one holder, each for one where nothing else is said."""
    names = {**dict.fromkeys(keys or (() if more else ("a",)), at_once_max), **more}
    slots = tuple(Slot(key=key, at_once_max=number) for key, number in names.items())
    return Hold(holder=holder, slots=slots, lease_s=lease_s)


class Model:
    """The promise in its plainest form: who holds what until when."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.now = 0.0
        self.ends: list[dict[str, float]] = [{} for _ in sizes]

    def others(self, which: int, who: str) -> int:
        """How many but this one hold a slot."""
        ends = self.ends[which]
        return sum(end > self.now for holder, end in ends.items() if holder != who)

    def do(self, what: str, who: str, which: list[int], lease_s: float) -> int | None:
        """Do it, and say which slot was full, by its place among these."""
        full = [at for at, one in enumerate(which) if self.others(one, who) >= self.sizes[one]]
        if what == "hold" and full:
            return full[0]
        for one in which:
            if what == "release":
                self.ends[one].pop(who, None)
            else:
                self.ends[one][who] = self.now + lease_s
        return None


class SlotsConformance:
    """The promises of slots. A subclass gives `open_limits`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def open_limits(self) -> OpenLimits:
        raise NotImplementedError("a subclass says how its limits are opened")

    @pytest.fixture
    async def limits(
        self, open_limits: OpenLimits, fixed_clock: FixedClock
    ) -> AsyncIterator[Limits]:
        async with open_limits(fixed_clock) as limits:
            yield limits

    async def test_a_slot_is_held_by_so_many_and_free_again_when_one_gives_it_back(
        self, limits: Limits
    ) -> None:
        holds = [hold(f"run_{at}", at_once_max=2) for at in range(3)]
        outcomes = [await limits.hold("p", one) for one in holds]
        assert outcomes == [Taken(standings=()), Taken(standings=()), Full(which=0, held=(2,))]
        await limits.release("p", holds[0])
        assert isinstance(await limits.hold("p", holds[2]), Taken)
        assert await limits.held("p", holds[0].slots) == (2,)

    async def test_whoever_holds_a_slot_holds_it_once(self, limits: Limits) -> None:
        for _ in range(3):
            assert isinstance(await limits.hold("p", hold("run_1")), Taken)
        assert await limits.held("p", hold("run_1").slots) == (1,)
        await limits.release("p", hold("run_1"))
        await limits.release("p", hold("run_1"))
        assert await limits.held("p", hold("run_1").slots) == (0,)

    async def test_of_several_slots_all_are_held_or_none(self, limits: Limits) -> None:
        await limits.hold("p", hold("run_1", "key"))
        refused = await limits.hold("p", hold("run_2", "project", "key", "model"))
        assert refused == Full(which=1, held=(0, 1, 0))
        assert await limits.held("p", hold("", "project", "key", "model").slots) == (0, 1, 0)

    async def test_slots_and_limits_are_taken_together_or_not_at_all(self, limits: Limits) -> None:
        two = [Limit(key="requests", rate=1, burst=2)]
        await limits.hold("p", hold("run_1"), two)
        full = await limits.hold("p", hold("run_2"), two)
        assert isinstance(full, Full)
        # Nothing of the limit was taken, and it is told how that stands.
        assert [one.remaining for one in full.standings] == [1]
        taken = await limits.hold("p", hold("run_1"), two)
        assert [one.remaining for one in taken.standings] == [0]
        refused = await limits.hold("p", hold("run_3", "free"), two)
        assert isinstance(refused, Refused)
        assert await limits.held("p", hold("", "free").slots) == (0,)
        # Where both are missing, there is a time to wait for.
        assert isinstance(await limits.hold("p", hold("run_2"), two), Refused)

    async def test_whoever_does_not_renew_in_time_has_given_back(
        self, limits: Limits, fixed_clock: FixedClock
    ) -> None:
        await limits.hold("p", hold("run_1", lease_s=10))
        fixed_clock.move(9)
        await limits.renew("p", hold("run_1", lease_s=10))
        fixed_clock.move(9)
        assert isinstance(await limits.hold("p", hold("run_2")), Full)
        fixed_clock.move(1)
        assert isinstance(await limits.hold("p", hold("run_2")), Taken)

    async def test_who_is_at_work_keeps_its_slot_though_it_was_lost(
        self, limits: Limits, fixed_clock: FixedClock
    ) -> None:
        await limits.hold("p", hold("run_1"))
        fixed_clock.move(60)
        await limits.hold("p", hold("run_2"))
        await limits.renew("p", hold("run_1"))
        assert await limits.held("p", hold("").slots) == (2,)
        await limits.release("p", hold("run_2"))
        # There is room only when all are done who have it.
        assert isinstance(await limits.hold("p", hold("run_3")), Full)

    async def test_projects_and_keys_have_slots_of_their_own(self, limits: Limits) -> None:
        for project in ("p", "q", "p}{", ""):
            for key in ("a", "a:b", "größe", "x" * 1000):
                assert isinstance(await limits.hold(project, hold("run_1", key)), Taken)
                assert isinstance(await limits.hold(project, hold("run_2", key)), Full)

    async def test_a_slot_that_nobody_can_hold_is_a_bug(self, limits: Limits) -> None:
        with pytest.raises(ValueError, match="one of 0"):
            await limits.hold("p", hold("run_1", a=0))
        twice = Hold(holder="run_1", slots=hold("", "a").slots * 2, lease_s=1)
        with pytest.raises(ValueError, match="twice"):
            await limits.hold("p", twice)

    async def test_of_many_at_once_no_more_hold_a_slot_than_may(self, limits: Limits) -> None:
        outcomes = await asyncio.gather(
            *(limits.hold("p", hold(f"run_{at}", a=7, b=9)) for at in range(40))
        )
        assert sum(isinstance(one, Taken) for one in outcomes) == 7

    @PROPERTY
    @given(
        sizes=st.tuples(*[st.integers(1, 3)] * 3),
        history=st.lists(st.tuples(PAUSES, WHAT, WHO, WHICH, LEASES), max_size=25),
    )
    async def test_every_history_of_slots_is_the_models(
        self,
        open_limits: OpenLimits,
        sizes: tuple[int, int, int],
        history: list[tuple[float, str, str, list[int], float]],
    ) -> None:
        clock, project, model = FixedClock(), new_project(), Model(sizes)
        slots = [Slot(key=f"{at}", at_once_max=size) for at, size in enumerate(sizes)]
        async with open_limits(clock) as limits:
            for pause, what, who, which, lease_s in history:
                clock.move(pause)
                model.now += pause
                wanted = Hold(holder=who, slots=tuple(slots[one] for one in which), lease_s=lease_s)
                outcome = await getattr(limits, what)(project, wanted)
                full = model.do(what, who, which, lease_s)
                assert (outcome.which if isinstance(outcome, Full) else None) == full
                held = tuple(model.others(at, "") for at in range(3))
                assert await limits.held(project, slots) == held
