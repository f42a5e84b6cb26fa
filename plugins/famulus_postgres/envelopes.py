"""What processes tell each other, and how it is put into payloads that NOTIFY carries.

A payload is text of less than 8000 bytes, whatever the encoding of the database; and of equal
payloads in one transaction only one is delivered. So each is base64, and begins with its sender
and a number.
"""

from __future__ import annotations

from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from typing import Final

import msgspec

from famulus.fanout import Topic
from famulus_schemas.ports import Emission

PAYLOAD_BYTES_MAX: Final = 7999
TOPIC_CHARACTERS_MAX: Final = 500
"""Of project and topic; what has a longer name stays within its process."""

_HEADER_BYTES: Final = 24
"""More than msgpack needs for the frame of a message or of a field's sizes."""


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """An emission on its way; it comes right after the one before it."""

    name: str
    data: bytes
    position: str

    @property
    def size(self) -> int:
        """No less than what it takes up."""
        return _size(self.name) + len(self.data) + _size(self.position) + _HEADER_BYTES


class Said(msgspec.Struct, frozen=True, array_like=True, tag="said"):
    """Events of a topic, the first of them right after the position `after`."""

    project: str
    topic: str
    after: str
    carried: Sequence[Carried]

    def emissions(self) -> list[Emission]:
        """The events as they were published."""
        found = []
        after = self.after
        for each in self.carried:
            found.append(
                Emission(name=each.name, data=each.data, position=each.position, after=after)
            )
            after = each.position
        return found


class Closed(msgspec.Struct, frozen=True, array_like=True, tag="closed"):
    """A topic has ended."""

    project: str
    topic: str


class Lost(msgspec.Struct, frozen=True, array_like=True, tag="lost"):
    """Events of a topic that could not be carried: they must be read where they are kept."""

    project: str
    topic: str


class Wanted(msgspec.Struct, frozen=True, array_like=True, tag="wanted"):
    """Topics that the sender listens to."""

    topics: Sequence[Topic]


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The sender has just come, and does not know what the others listen to."""


Message = Said | Closed | Lost | Wanted | Hello

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


class Unreadable(Exception):
    """A payload that no process of this version has sent."""


def channel_of(schema: str) -> str:
    """The channel of a schema; channels belong to the whole database, and their names are short."""
    return f"famulus_{sha256(schema.encode()).hexdigest()[:32]}"


class Packer:
    """Puts one process's messages into payloads."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self._numbers = count(1)
        prefix = len(f"{sender}:{2**63}:")
        self._room = (PAYLOAD_BYTES_MAX - prefix) // 4 * 3 - _HEADER_BYTES

    def pack(self, messages: Iterable[Message]) -> Iterator[str]:
        """Payloads that hold the messages, in their order."""
        waiting: list[msgspec.Raw] = []
        size = 0
        for message in messages:
            for encoded in self._encoded(message):
                if waiting and size + len(encoded) > self._room:
                    yield self._payload(waiting)
                    waiting, size = [], 0
                waiting.append(msgspec.Raw(encoded))
                size += len(encoded)
        if waiting:
            yield self._payload(waiting)

    def _encoded(self, message: Message) -> Iterator[bytes]:
        if isinstance(message, Said):
            for part in _fitting(message, self._room):
                yield _encoded(part)
        elif isinstance(message, Wanted):
            yield from map(_encode, _shorter(message.topics, self._room))
        else:
            yield _encode(message)

    def _payload(self, encoded: list[msgspec.Raw]) -> str:
        text = b2a_base64(_encode(encoded), newline=False).decode()
        return f"{self.sender}:{next(self._numbers)}:{text}"


def _encoded(part: Said | Lost) -> bytes:
    try:
        return _encode(part)
    except UnicodeEncodeError:
        # A name or position that is half a character.
        return _encode(Lost(part.project, part.topic))


def unpack(payload: str) -> tuple[str, list[Message]]:
    """The sender, and what it says. Raises Unreadable."""
    sender, _, rest = payload.partition(":")
    text = rest.partition(":")[2]
    try:
        return sender, _decode(a2b_base64(text))
    except (NotBase64, ValueError, msgspec.MsgspecError) as error:
        raise Unreadable(str(error)) from error


def _fitting(said: Said, room: int) -> Iterator[Said | Lost]:
    """The same in parts that fit; in the place of an event that fits nowhere, that it is lost."""
    room -= _size(said.project) + _size(said.topic) + _HEADER_BYTES
    part: list[Carried] = []
    first = after = said.after
    size = _size(first)
    for each in said.carried:
        if part and size + each.size > room:
            yield Said(said.project, said.topic, first, part)
            part, first, size = [], after, _size(after)
        if size + each.size > room:
            yield Lost(said.project, said.topic)
            first = each.position
            size = _size(first)
        else:
            part.append(each)
            size += each.size
        after = each.position
    if part:
        yield Said(said.project, said.topic, first, part)


def _shorter(topics: Sequence[Topic], room: int) -> Iterator[Wanted]:
    part: list[Topic] = []
    size = _HEADER_BYTES
    for topic in topics:
        more = _size(topic[0]) + _size(topic[1]) + _HEADER_BYTES
        if part and size + more > room:
            yield Wanted(part)
            part, size = [], _HEADER_BYTES
        part.append(topic)
        size += more
    if part:
        yield Wanted(part)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
