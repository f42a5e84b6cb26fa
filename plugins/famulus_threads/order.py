"""The order in which a thread's messages are meant, where they were not written in it.

A message that was posted behind runs is stored and listed at once, as it came; it is meant to
follow on what those runs have still to say. It names them, and so has its place for good, however
long they take and whatever becomes of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from famulus_schemas.messages import Message


class MessageExtra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message keeps and never sends."""

    behind: tuple[str, ...] = ()
    """The runs that were not over when it was posted, which it is meant to follow."""
    run: str = ""
    """The run that its client created with it, in one request; it goes where that is erased."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and the runs that it is meant to follow though they may write later."""

    message: Message
    behind: tuple[str, ...] = ()
    run: str = ""
    """The run that was created with it."""

    @property
    def is_in_place(self) -> bool:
        """Whether all that was written before it is meant before it, and all after it after it."""
        return self.message.run_id is None and not self.behind


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(MessageExtra).decode


def encode_extra(behind: Sequence[str], run: str) -> bytes:
    """What is kept beside a message; empty where nothing is."""
    return _encode(MessageExtra(behind=tuple(behind), run=run)) if behind or run else b""


def extra_of(extra: bytes) -> MessageExtra:
    """What is kept beside a message."""
    return _decode(extra) if extra else _NOTHING


_NOTHING = MessageExtra()


def as_meant(newest_first: Sequence[Written]) -> list[Message]:
    """Messages that were written one after the other, newest first as they are meant."""
    if not any(one.behind for one in newest_first):
        return [one.message for one in newest_first]
    before: dict[str, int] = {}
    """By run, the number of the first message that was posted behind it."""
    places: list[tuple[int, int, int]] = []
    oldest_first = newest_first[::-1]
    for number, one in enumerate(oldest_first):
        for run_id in one.behind:
            before.setdefault(run_id, number)
        run_id = one.message.run_id or ""
        # What a run writes comes before the first message that was posted behind it by then.
        places.append((before[run_id], 0, number) if run_id in before else (number, 1, number))
    ordered = sorted(range(len(places)), key=places.__getitem__, reverse=True)
    return [oldest_first[number].message for number in ordered]
