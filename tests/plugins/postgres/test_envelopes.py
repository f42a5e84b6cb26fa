"""Whatever is published arrives as it was, or is known to be lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_postgres.envelopes import (
    PAYLOAD_BYTES_MAX,
    Carried,
    Closed,
    Hello,
    Lost,
    Message,
    Packer,
    Said,
    Unreadable,
    Wanted,
    channel_of,
    unpack,
)
from famulus_schemas.ports import Emission

SENDER = "process_" + "x" * 24


def arrived(*messages: Message) -> list[Message]:
    """What comes out of the payloads that these go into."""
    found: list[Message] = []
    for payload in Packer(SENDER).pack(messages):
        assert len(payload.encode()) <= PAYLOAD_BYTES_MAX
        sender, said = unpack(payload)
        assert sender == SENDER
        found += said
    return found


def said(*emissions: Emission) -> Said:
    """Emissions of one topic, each right after the one before."""
    after = emissions[0].after
    return Said("p", "t", after, [Carried(e.name, e.data, e.position) for e in emissions])


def emissions_of(messages: list[Message]) -> list[Emission]:
    return [e for message in messages if isinstance(message, Said) for e in message.emissions()]


def test_messages_of_every_kind_arrive_in_order() -> None:
    emission = Emission(name="a", data=b"{}", position="r:1.2.0", after="r:1.1.0")
    sent = [
        Hello(),
        Wanted([("p", "t"), ("q", "u")]),
        Lost("p", "t"),
        said(emission),
        Closed("p", "t"),
    ]
    got = arrived(*sent)
    assert [type(message) for message in got] == [Hello, Wanted, Lost, Said, Closed]
    assert got[1] == Wanted([("p", "t"), ("q", "u")])
    assert emissions_of(got) == [emission]


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)


@given(st.lists(st.tuples(texts, st.binary(max_size=4000), texts), min_size=1, max_size=12), texts)
def test_any_events_arrive_as_they_were(events: list[tuple[str, bytes, str]], first: str) -> None:
    sent = []
    after = first
    for name, data, position in events:
        sent.append(Emission(name=name, data=data, position=position, after=after))
        after = position
    assert emissions_of(arrived(said(*sent))) == sent


@pytest.mark.parametrize("size", range(5700, 6000, 7))
def test_an_event_at_the_edge_of_what_fits_arrives_or_is_lost(size: int) -> None:
    sent = said(Emission(name="a", data=b"x" * size, position="p"))
    (got,) = arrived(sent)
    assert isinstance(got, Lost) or emissions_of([got]) == emissions_of([sent])


def test_an_event_that_fits_nowhere_is_lost_in_its_place() -> None:
    names = ["a", "b", "c"]
    sent = [
        Emission(name=n, data=b"x" * (9000 if n == "b" else 10), position=n, after=after)
        for n, after in zip(names, ["", *names], strict=False)
    ]
    got = arrived(said(*sent))
    assert [type(message) for message in got] == [Said, Lost, Said]
    assert emissions_of(got) == [sent[0], sent[2]]


def test_an_event_that_has_no_bytes_is_lost() -> None:
    assert arrived(said(Emission(name="\ud800", data=b"{}"))) == [Lost("p", "t")]


def test_many_topics_are_wanted_in_several_payloads() -> None:
    topics = [("p", f"run_{n}") for n in range(2000)]
    packed = list(Packer(SENDER).pack([Wanted(topics)]))
    assert len(packed) > 3
    wanted = [m for payload in packed for m in unpack(payload)[1]]
    assert [topic for m in wanted if isinstance(m, Wanted) for topic in m.topics] == topics


def test_no_two_payloads_are_equal() -> None:
    packer = Packer(SENDER)
    once, again = [*packer.pack([Hello()]), *packer.pack([Hello()])]
    assert once != again


@pytest.mark.parametrize("payload", ["", "hello", "a:1:???", "a:1:gA==", "a:1:k5GjeHh4", "\x00:::"])
def test_what_no_process_sent_is_refused(payload: str) -> None:
    with pytest.raises(Unreadable):
        unpack(payload)


def test_schemas_have_channels_of_their_own_with_names_that_are_not_cut() -> None:
    names: set[Any] = {channel_of("a" * 62 + end) for end in "xyz"}
    assert len(names) == 3
    assert all(len(name) < 64 for name in names)
