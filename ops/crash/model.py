"""The model of the crash tests: what it answers follows from what it is asked alone.

So the answer that a run must end with is known, however often it was broken off and begun again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.testing import Script, tool
from famulus_schemas.inference import ChatRequest, PromptMessage

MODEL = "scripted"
WORD_S = 0.004
"""Between two words of an answer."""

_ASKED = re.compile(r"^(?P<kind>say|endless|call|talk) (?P<nonce>\w+) ?(?P<rest>.*)$")


@dataclass(frozen=True)
class Task:
    """What a message asks for.

    `say n 7` has seven words said, `call n a,b` has the functions a and b called and their
    outputs told, `talk n a,b` has some words said before that, and `endless n` has no end.
    """

    kind: str
    nonce: str
    functions: tuple[str, ...] = ()
    words: int = 0

    @property
    def said(self) -> str:
        """What is said at once."""
        return " ".join(f"{self.nonce}.{at}" for at in range(self.words))

    def told(self, outputs: Sequence[str]) -> str:
        """What is said once the functions gave these outputs."""
        return f"{self.nonce} got " + " and ".join(outputs)


def task_of(text: str) -> Task | None:
    """The task that a message is, or None where it is none."""
    found = _ASKED.match(text)
    if found is None:
        return None
    kind, nonce, rest = found["kind"], found["nonce"], found["rest"]
    if kind == "say":
        return Task(kind, nonce, words=int(rest))
    if kind == "endless":
        return Task(kind, nonce)
    return Task(kind, nonce, tuple(rest.split(",")), words=4 if kind == "talk" else 0)


def answer(request: ChatRequest) -> Script:
    """The one turn that answers a request."""
    asked = max(at for at, each in enumerate(request.messages) if each.role == "user")
    task = task_of(_text(request.messages[asked]))
    if task is None:
        return Script().says("I was asked nothing.")
    since = request.messages[asked + 1 :]
    outputs = [_text(each) for each in since if each.role == "tool"]
    if outputs:
        return Script().says(task.told(outputs)).pauses(WORD_S)
    if task.kind == "endless":
        return Script().says("and on ").without_end().pauses(5 * WORD_S)
    calls = [tool(name, {"nonce": task.nonce}) for name in task.functions]
    if not calls:
        return Script().says(task.said).pauses(WORD_S)
    # What was said before a crash is there; only the calls that belong to it are lacking.
    if task.kind == "talk" and not since:
        return Script().says(task.said).and_calls(*calls).pauses(WORD_S)
    return Script().calls(*calls).cut_by(5).pauses(WORD_S)


def _text(message: PromptMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(getattr(part, "text", "") for part in message.content or ())
