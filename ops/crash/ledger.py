"""What was sent and what was answered: kept by the supervisor, out of the server's reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
from model import Task
from streams import Tale

Kind = Literal["lost", "doubled", "half-made", "stuck", "wrong", "unreached"]

GONE = None


@dataclass(frozen=True)
class Finding:
    """A promise that was not kept."""

    kind: Kind
    text: str


@dataclass
class Thing:
    """A resource at a path, as the last answer left it."""

    body: bytes | None
    """None once its end was acknowledged."""
    maybe: list[Any] = field(default_factory=list)
    """What requests that were not answered may have made of it; GONE for a deletion."""
    is_checked: bool = False
    """Whether it was looked at since."""


@dataclass
class Creation:
    """A request that makes something, found again by the nonce in its metadata."""

    nonce: str
    kind: str
    """Of the record that it makes."""
    path: str
    body: dict[str, Any]
    key: str | None
    """Its Idempotency-Key."""
    parts: int = 0
    """Messages that it makes besides."""
    task: Task | None = None
    """Of a run."""
    on_busy: str = ""
    """What is to be done where another run has the thread."""
    was_accepted: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """What is sent with it, beside its key."""
        return {"x-famulus-on-busy": self.on_busy} if self.on_busy else {}


@dataclass
class Story:
    """One run, as its client knows it."""

    thread_id: str
    id: str
    task: Task | None
    expires_at: int
    tales: list[Tale] = field(default_factory=list)
    resting: bytes | None = None
    """The run as it was answered when it had come to rest, or waited for its client."""
    sent: list[dict[str, str]] = field(default_factory=list)
    """Outputs that were sent, by call; each was either taken as a whole or not at all."""
    taken: dict[str, str] = field(default_factory=dict)
    """Outputs that were acknowledged."""
    submit: tuple[dict[str, Any], str] | None = None
    """A submission that was not answered, and its Idempotency-Key."""
    is_cancelled: bool = False
    """Whether a client has asked for that."""
    is_checked: bool = False
    """Whether it was looked at after it had ended."""

    @property
    def path(self) -> str:
        """Where it is retrieved."""
        return f"/v1/threads/{self.thread_id}/runs/{self.id}"

    @property
    def tale(self) -> Tale | None:
        """What was heard of it last."""
        return self.tales[-1] if self.tales else None

    @property
    def is_over(self) -> bool:
        """Whether its end is known."""
        return self.resting is not None and not self.waits

    @property
    def waits(self) -> bool:
        """Whether it is known to wait for its client."""
        return self.resting is not None and b'"status":"requires_action"' in self.resting


class Ledger:
    """All that clients sent, and all that they were told."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w", buffering=1)
        self._begun = time.monotonic()
        self.things: dict[str, Thing] = {}
        self.stories: dict[str, Story] = {}
        self.creations: dict[str, Creation] = {}
        """By nonce: every one that was not answered yet."""
        self.acknowledged = 0
        self.unanswered = 0
        self.findings: list[Finding] = []
        self.round = ""

    def note(self, what: str, **more: Any) -> None:
        """Write a line for those who look for what went wrong."""
        line = {"at": round(time.monotonic() - self._begun, 3), "round": self.round, "what": what}
        self._file.write(msgspec.json.encode({**line, **more}).decode() + "\n")

    def find(self, kind: Kind, text: str) -> None:
        """Note a broken promise, once."""
        finding = Finding(kind, text)
        if finding not in self.findings:
            self.findings.append(finding)
            self.note("FINDING", kind=kind, text=text)

    def count(self, kind: Kind) -> int:
        """How many findings there are of a kind."""
        return sum(finding.kind == kind for finding in self.findings)

    def acknowledge(self) -> None:
        """A write was answered, or something that must be on disk was told."""
        self.acknowledged += 1

    def thing(self, path: str, body: bytes) -> None:
        """Something is as it was just answered."""
        self.things[path] = Thing(body)

    def gone(self, path: str) -> None:
        """Something was deleted, and all that is under it."""
        for each, thing in self.things.items():
            if each == path or each.startswith(path + "/"):
                thing.body, thing.maybe, thing.is_checked = None, [], False
        for id in [id for id, story in self.stories.items() if story.path.startswith(path + "/")]:
            del self.stories[id]

    def under(self, path: str) -> Iterator[str]:
        """The paths of what is there under a path."""
        for each, thing in self.things.items():
            if each.startswith(path + "/") and thing.body is not None:
                yield each

    def settle(self) -> None:
        """Take over into the findings what streams did not add up to."""
        for story in self.stories.values():
            for tale in story.tales:
                for kind, text in tale.faults:
                    self.find(kind, text)
                tale.faults.clear()

    def close(self) -> None:
        """Nothing more is noted."""
        self._file.close()
