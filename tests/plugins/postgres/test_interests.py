"""Who listens to what is known for as long as it is so, and no longer."""

from __future__ import annotations

import pytest

from famulus.testing import FixedClock
from famulus_postgres.interests import AwaitedTopics, WantedTopics

T, U = ("p", "t"), ("p", "u")


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(0.0)


def test_a_topic_is_wanted_until_nobody_asks_for_it_any_more(clock: FixedClock) -> None:
    wanted = WantedTopics(keep_s=10, topics_max=5, now=clock)
    wanted.add([T, U])
    clock.move(9)
    wanted.add([T])
    clock.move(2)
    assert T in wanted
    assert U not in wanted
    wanted.forget_old()
    assert len(wanted) == 1


def test_of_too_many_topics_those_asked_for_longest_ago_are_forgotten(clock: FixedClock) -> None:
    wanted = WantedTopics(keep_s=10, topics_max=2, now=clock)
    wanted.add([T, U])
    wanted.add([T, ("p", "v")])
    assert T in wanted
    assert U not in wanted


def test_others_are_told_of_a_topic_when_its_first_listener_comes(clock: FixedClock) -> None:
    awaited = AwaitedTopics(renew_s=5, first_look_s=1, now=clock)
    assert awaited.join(T)
    assert not awaited.join(T)
    assert awaited.join(U)


def test_others_are_told_again_for_as_long_as_somebody_listens(clock: FixedClock) -> None:
    awaited = AwaitedTopics(renew_s=5, first_look_s=1, now=clock)
    awaited.join(T)
    clock.move(4)
    assert awaited.to_tell() == []
    clock.move(1)
    assert awaited.to_tell() == [T]
    assert awaited.to_tell() == []
    awaited.leave(T)
    clock.move(5)
    assert awaited.to_tell() == []
    assert len(awaited) == 0


def test_a_listener_that_comes_again_soon_is_not_told_of_again(clock: FixedClock) -> None:
    awaited = AwaitedTopics(renew_s=5, first_look_s=1, now=clock)
    awaited.join(T)
    awaited.leave(T)
    clock.move(4)
    assert awaited.to_tell() == []
    assert not awaited.join(T)
    clock.move(1)
    assert awaited.to_tell() == [T]


def test_a_quiet_topic_is_looked_at_soon_and_then_more_and_more_rarely(clock: FixedClock) -> None:
    awaited = AwaitedTopics(renew_s=5, first_look_s=0.25, now=clock)
    awaited.join(T)
    looked = []
    for _ in range(80):
        clock.move(0.25)
        if awaited.to_look():
            looked.append(clock())
    assert looked == [0.25, 1.25, 5.25, 10.25, 15.25]


def test_a_topic_of_which_something_was_heard_is_not_looked_at(clock: FixedClock) -> None:
    awaited = AwaitedTopics(renew_s=5, first_look_s=1, now=clock)
    awaited.join(T)
    awaited.join(U)
    awaited.hear(T)
    clock.move(1)
    assert awaited.to_look() == [U]
    clock.move(4)
    assert T in awaited.to_look()


def test_nobody_is_made_to_look_where_nobody_listens(clock: FixedClock) -> None:
    awaited = AwaitedTopics(renew_s=5, first_look_s=1, now=clock)
    awaited.join(T)
    awaited.leave(T)
    clock.move(1)
    assert awaited.to_look() == []
    assert awaited.listened() == []
