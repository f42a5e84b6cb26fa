"""A request's headers answer whatever Starlette's would, only sooner."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from famulus.request_headers import RequestHeaders

NAMES = st.sampled_from(["accept", "x-a", "x-b", "host"])
PAIRS = st.lists(st.tuples(NAMES.map(str.encode), st.binary(max_size=5)), max_size=6)
ASKED = st.one_of(NAMES, NAMES.map(str.title), st.text("xab-\xe4", max_size=4))


@given(pairs=PAIRS, asked=ASKED)
def test_it_answers_as_starlettes(pairs: list[tuple[bytes, bytes]], asked: str) -> None:
    ours, theirs = RequestHeaders({"headers": pairs}), Headers(raw=pairs)
    assert ours.get(asked) == theirs.get(asked)
    assert ours.get(asked, "none") == theirs.get(asked, "none")
    assert (asked in ours) == (asked in theirs)
    assert ours.getlist(asked) == theirs.getlist(asked)
    assert (ours.items(), ours.keys(), len(ours)) == (theirs.items(), theirs.keys(), len(theirs))
    assert ours == theirs
    if asked in theirs:
        assert ours[asked] == theirs[asked]
