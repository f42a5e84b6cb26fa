"""The records that this plugin owns, and their forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from famulus_schemas.messages import Message
from famulus_schemas.records import Insert, Kind, Record
from famulus_schemas.threads import Thread
from famulus_threads.order import encode_extra

encode = msgspec.json.Encoder().encode
decode_thread = msgspec.json.Decoder(Thread).decode
decode_message = msgspec.json.Decoder(Message).decode


def message_index(message: Message) -> dict[str, str]:
    """The indexed names of a message."""
    return {} if message.run_id is None else {"run": message.run_id}


def _message_index(record: Record) -> Mapping[str, str]:
    return message_index(decode_message(record.body))


THREAD = Kind(name="thread")
MESSAGE = Kind(name="message", indexes=("run",), index_of=_message_index)
"""Parent: the thread. Listed by `run`, too: the run that wrote it."""
ACTIVE_RUN = Kind(name="active_run")
"""Id and parent: the thread. There is one exactly while a run has the thread for itself; it names
the runs that wait for the thread, too."""


def insert_thread(thread: Thread, body: bytes) -> Insert:
    """The write that adds a thread, of which `body` is the wire form."""
    return Insert(kind="thread", id=thread.id, created_at=thread.created_at, body=body)


def insert_message(
    message: Message, body: bytes, *, behind: Sequence[str] = (), run: str = ""
) -> Insert:
    """The write that adds a message, of which `body` is the wire form.

    `behind` are the runs that it is meant to follow, though they may still write; `run` is the one
    that its client created with it.
    """
    return Insert(
        kind="message",
        id=message.id,
        parent=message.thread_id,
        created_at=message.created_at,
        body=body,
        extra=encode_extra(behind, run),
        index=message_index(message),
    )
