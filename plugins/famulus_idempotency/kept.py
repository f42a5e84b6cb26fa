"""What is kept of a request with a key, and the key's form."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from famulus import Bytes, Call, EventStream, Wire
from famulus_schemas.records import Insert, Kind, Replace, Write

KIND = Kind(name="idempotency")

KEY_CHARACTERS_MAX = 255

encode = msgspec.json.Encoder().encode


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was given a key, its effect and its answer.

    It is written in the unit of the effect, with the answer as that unit tells it.
    """

    request: str
    """A digest of path, query and body: another request under the same key is refused."""
    attempt: str
    """Which attempt of the request has the effect."""
    is_answered: bool = False
    is_kept: bool = False
    """Whether the answer's body is the record's `extra`."""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    effect: tuple[str, str] | None = None
    """Kind and id of what the request made: its stored form is the answer if none is kept."""
    resume_path: str | None = None
    """Where an answer that is a stream can be read again."""


decode = msgspec.json.Decoder(Kept).decode


def record_id(operation: str, key: str) -> str:
    """The id of a key's record: keys are per operation, and of any characters."""
    return hashlib.sha256(f"{operation}\n{key}".encode()).hexdigest()[:48]


def digest(call: Call) -> str:
    """What two requests must agree in to be the same; of a form, what was read of it so far."""
    body = call.form.digest().encode() if call.form is not None else call.body
    parts = (call.path.encode(), call.query_string, body)
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


async def whole_digest(call: Call) -> str:
    """The same of all of a request, which is then not read by its operation."""
    if call.form is not None:
        await call.form.skim()
    return digest(call)


def effect_of(unit: Sequence[Write]) -> Insert | Replace | None:
    """What a unit is for: of all that it makes or changes and a client can ask for by id, the run,
    or else the first."""
    seen = [
        write
        for write in unit
        if isinstance(write, Insert | Replace) and (write.body or b"").startswith(b'{"id"')
    ]
    runs = [write for write in seen if write.kind == "run"]
    return next(iter(runs or seen), None)


def body_of(answer: object) -> tuple[int, str, bytes] | None:
    """Status, content type and body of an answer; None where it is a stream."""
    if isinstance(answer, EventStream):
        return None
    if isinstance(answer, Wire):
        return 200, "application/json", answer.data
    if isinstance(answer, Bytes):
        whole = answer.content if isinstance(answer.content, bytes) else None
        return None if whole is None else (answer.status, answer.content_type, whole)
    return 200, "application/json", encode(answer)
