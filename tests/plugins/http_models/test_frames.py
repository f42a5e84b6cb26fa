"""A stream of events is the same stream however the network cuts it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_http_models.frames import Splitter, payloads
from famulus_schemas.inference import BackendFault


def fed(pieces: list[bytes], *, event_bytes_max: int = 10_000) -> list[bytes]:
    splitter = Splitter(event_bytes_max, backend="box")
    found = []
    for piece in pieces:
        events = splitter.feed(piece)
        assert not events or events.endswith(b"\n\n")
        found += payloads(events)
    return found + payloads(splitter.flush())


@given(
    st.lists(st.sampled_from(['{"a":1}', '"text"', "[DONE]", '"ü\\n"', "x" * 50]), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.integers(0, 400), max_size=12),
)
def test_events_come_out_as_they_went_in_wherever_they_are_cut(texts, line_end, cuts):
    stream = "".join(f"data: {text}{line_end}{line_end}" for text in texts).encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert fed(pieces) == [text.encode() for text in texts]


def test_an_event_of_several_lines_is_joined():
    assert fed([b"event: x\ndata: one\ndata:two\n\n"]) == [b"one\ntwo"]


def test_comments_and_empty_events_carry_nothing():
    assert fed([b": hello\n\n\n\nevent: ping\n\ndata: x\n\n"]) == [b"x"]


def test_an_event_that_never_ends_is_refused():
    with pytest.raises(BackendFault, match="event_bytes_max"):
        fed([b"data: ", *[b"x" * 600] * 3], event_bytes_max=1000)
