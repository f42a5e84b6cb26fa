"""The order in which a stream of the Assistants API tells of a run, as a machine to be read.

A stream tells of a run, its steps and its messages. Each goes from state to state, and its events
are named after the state that they take it to: the tables say which may come from where. What a
table cannot say stands below them, one method for each rule that joins two things.

A client adds up what it is told, and holds one message and one step at a time; so what is out of
order here is what breaks or misleads the official clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Begins = Literal["run", "thread", "outputs"]
"""What the stream answers: a run on a thread, one with a new thread, or a run's tool outputs."""

UNTOLD = "untold"
"""The state of what no event has named yet."""

Moves = Mapping[str, frozenset[str]]
"""For each state the states from which it is reached."""


def _from(*states: str) -> frozenset[str]:
    return frozenset(states)


RUN: Moves = {
    "created": _from(UNTOLD),
    "queued": _from("created", "requires_action"),
    "in_progress": _from("queued"),
    "requires_action": _from("in_progress"),
    "completed": _from("in_progress", "cancelling"),
    "incomplete": _from("in_progress", "cancelling"),
    "failed": _from("queued", "in_progress", "cancelling"),
    "cancelling": _from("queued", "in_progress"),
    "cancelled": _from("cancelling"),
    "expired": _from("queued", "in_progress", "cancelling"),
}

STEP: Moves = {
    "created": _from(UNTOLD),
    "in_progress": _from("created"),
    "completed": _from("in_progress"),
    "failed": _from("in_progress"),
    "cancelled": _from("in_progress"),
    "expired": _from("in_progress"),
}

MESSAGE: Moves = {
    "created": _from(UNTOLD),
    "in_progress": _from("created"),
    "completed": _from("in_progress"),
    "incomplete": _from("in_progress"),
}

OPEN = _from("created", "in_progress")
RESTS = frozenset(RUN) - {"created", "queued", "in_progress", "cancelling"}
"""States of a run after which its stream has nothing more to tell."""

CREATED_AS = {"run": "queued", "step": "in_progress", "message": "in_progress"}
"""The `status` that an object has in its event `created`, which is no status."""


class Ordering:
    """Reads one stream event by event, and says of each what is wrong with it."""

    def __init__(self, begins: Begins = "run") -> None:
        self._begins = begins
        self._run = "requires_action" if begins == "outputs" else UNTOLD
        self._run_id: str | None = None
        self._steps: dict[str, str] = {}
        self._messages: dict[str, str] = {}
        self._message_of: dict[str, str] = {}
        """The message that a step creates."""
        self._said: dict[tuple[str, int], str] = {}
        """What the deltas of a message's parts and of a step's arguments add up to."""
        self._count = 0
        self._broken = False
        self._done = False

    def read(self, name: str, data: Any) -> Iterator[str]:
        """What is wrong with the next event; nothing if it may stand here."""
        self._count += 1
        yield from self._may_follow(name)
        if name == "done":
            yield from self._ends(data)
        elif name == "error":
            self._broken = True
        elif name == "thread.created":
            yield from self._begins_with_thread()
        elif name == "thread.message.delta":
            yield from self._message_grows(data)
        elif name == "thread.run.step.delta":
            yield from self._step_grows(data)
        elif name.startswith("thread.message."):
            yield from self._message_moves(name.removeprefix("thread.message."), data)
        elif name.startswith("thread.run.step."):
            yield from self._step_moves(name.removeprefix("thread.run.step."), data)
        elif name.startswith("thread.run."):
            yield from self._run_moves(name.removeprefix("thread.run."), data)
        else:
            yield "there is no such event"

    def end(self) -> Iterator[str]:
        """What is wrong with the stream's ending here."""
        if not self._done:
            yield "the stream ends without `done`"

    # -- the stream ---------------------------------------------------------------------------

    def _may_follow(self, name: str) -> Iterator[str]:
        if self._done:
            yield "it comes after `done`"
        elif self._broken and name != "done":
            yield "it comes after `error`, which only `done` may follow"
        elif self._has_told_the_rest() and name != "done":
            yield f"it comes after the run is {self._run}, which only `done` may follow"
        if self._begins == "thread" and self._count == 1 and name != "thread.created":
            yield "the stream of a new thread begins with `thread.created`"

    def _has_told_the_rest(self) -> bool:
        return self._run in RESTS and self._run_id is not None

    def _ends(self, data: Any) -> Iterator[str]:
        self._done = True
        if data != "[DONE]":
            yield f"its data is {data!r}, not [DONE]"
        if not (self._broken or self._has_told_the_rest()):
            yield f"the run is {self._run}: nothing told how it ended"

    def _begins_with_thread(self) -> Iterator[str]:
        if self._begins != "thread":
            yield "only a run that was created with its thread tells of the thread"
        elif self._count != 1:
            yield "it is not the first event"

    # -- the run ------------------------------------------------------------------------------

    def _run_moves(self, state: str, data: Any) -> Iterator[str]:
        yield from _has_status("run", state, data)
        yield from _moves("run", RUN, self._run, state)
        if self._run_id not in (None, _id(data)):
            yield f"it is of another run, {_id(data)}"
        self._run, self._run_id = state, _id(data)
        if state in RESTS:
            yield from self._leaves_nothing_open(state)

    def _leaves_nothing_open(self, state: str) -> Iterator[str]:
        steps, messages = _open(self._steps), _open(self._messages)
        yield from (f"the message {each} is still open" for each in messages)
        if state != "requires_action":
            yield from (f"the step {each} is still open" for each in steps)
        elif not [each for each in steps if each not in self._message_of]:
            yield "no step of tool calls is open, whose outputs could be waited for"

    # -- its steps ----------------------------------------------------------------------------

    def _step_moves(self, state: str, data: Any) -> Iterator[str]:
        step = _id(data)
        yield from _has_status("step", state, data)
        if self._run == "requires_action":
            # The outputs end the step that waited for them, which an earlier stream told of.
            self._steps.setdefault(step, "in_progress")
        elif self._run not in ("in_progress", "cancelling"):
            yield f"the run is {self._run}, not in_progress"
        if state == "created":
            yield from self._step_is_begun(step, data)
        yield from _moves("step", STEP, self._steps.get(step, UNTOLD), state)
        self._steps[step] = state
        if state not in OPEN:
            yield from self._step_is_ended(step, state, data)

    def _step_is_begun(self, step: str, data: Any) -> Iterator[str]:
        for other in _open(self._steps):
            yield f"the step {other} is still open"
        details = _at(data, "step_details")
        if _at(details, "type") == "message_creation":
            self._message_of[step] = str(_at(details, "message_creation", "message_id"))
        elif _at(details, "tool_calls") != []:
            yield "it has calls already: clients add those of the deltas to them"

    def _step_is_ended(self, step: str, state: str, data: Any) -> Iterator[str]:
        message = self._message_of.get(step)
        if message is None:
            yield from self._calls_add_up(step, data)
        elif self._messages.get(message) in OPEN:
            yield f"its message {message} is still open"
        elif state == "completed" and message not in self._messages:
            yield f"nothing told of its message {message}"

    def _step_grows(self, data: Any) -> Iterator[str]:
        step = _id(data)
        if self._steps.get(step, UNTOLD) != "in_progress":
            yield f"the step {step} is {self._steps.get(step, UNTOLD)}, not in_progress"
        for call in _list(data, "delta", "step_details", "tool_calls"):
            index = _at(call, "index")
            if not _is_index(index):
                yield f"a call has no integer `index` but {index!r}"
            else:
                yield from self._call_grows(step, index, call)

    def _call_grows(self, step: str, index: int, call: Any) -> Iterator[str]:
        id, name = _at(call, "id"), _at(call, "function", "name")
        is_function = _at(call, "type") == "function"
        text = _at(call, "function", "arguments") or ""
        if (step, index) in self._said:
            if id is not None or name is not None:
                yield f"call {index} is given its id or name again: clients would join the two"
            self._said[step, index] += text
            return
        self._said[step, index] = text
        if not id or (is_function and not name):
            yield f"the first delta of call {index} lacks its id or name"
        if text:
            yield f"the first delta of call {index} has arguments: clients tell them to no handler"

    def _calls_add_up(self, step: str, data: Any) -> Iterator[str]:
        for index, call in enumerate(_list(data, "step_details", "tool_calls")):
            said, kept = self._said.get((step, index)), _at(call, "function", "arguments")
            if said is not None and kept is not None and said != kept:
                yield f"the deltas of call {index} add up to {said!r}, not to {kept!r}"

    # -- its messages -------------------------------------------------------------------------

    def _message_moves(self, state: str, data: Any) -> Iterator[str]:
        message = _id(data)
        yield from _has_status("message", state, data)
        if state == "created":
            yield from self._message_is_begun(message, data)
        yield from _moves("message", MESSAGE, self._messages.get(message, UNTOLD), state)
        self._messages[message] = state
        if state not in OPEN:
            yield from self._parts_add_up(message, data)

    def _message_is_begun(self, message: str, data: Any) -> Iterator[str]:
        for other in _open(self._messages):
            yield f"the message {other} is still open: clients hold one at a time"
        if message not in [self._message_of.get(step) for step in _open(self._steps)]:
            yield "no open step creates this message"
        if _at(data, "content") != []:
            yield "it has content already: clients add that of the deltas to it"

    def _message_grows(self, data: Any) -> Iterator[str]:
        message = _id(data)
        if self._messages.get(message, UNTOLD) != "in_progress":
            yield f"the message {message} is {self._messages.get(message, UNTOLD)}, not in_progress"
        for part in _list(data, "delta", "content"):
            index = _at(part, "index")
            if not _is_index(index):
                yield f"a part has no integer `index` but {index!r}"
                continue
            for note in _list(part, "text", "annotations"):
                if not _is_index(_at(note, "index")):
                    yield f"an annotation of part {index} has no integer `index`"
            self._said[message, index] = self._said.get((message, index), "") + _text(part)

    def _parts_add_up(self, message: str, data: Any) -> Iterator[str]:
        for index, part in enumerate(_list(data, "content")):
            said, kept = self._said.get((message, index), ""), _text(part)
            if said != kept:
                yield f"the deltas of part {index} add up to {said!r}, not to {kept!r}"


def _moves(what: str, moves: Moves, now: str, state: str) -> Iterator[str]:
    if state not in moves:
        yield "there is no such event"
    elif now not in moves[state]:
        yield f"the {what} was {now}, and may become {state} only after {_either(moves[state])}"


def _has_status(what: str, state: str, data: Any) -> Iterator[str]:
    due = CREATED_AS[what] if state == "created" else state
    if _at(data, "status") != due:
        yield f"its status is {_at(data, 'status')!r}, not {due!r}"


def _either(states: frozenset[str]) -> str:
    return " or ".join(sorted(states))


def _open(states: Mapping[str, str]) -> list[str]:
    return [each for each, state in states.items() if state in OPEN]


# What is read may have any shape: that it has the right one is for the schemas to say.


def _id(data: Any) -> str:
    return str(_at(data, "id"))


def _at(data: Any, *path: str) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _list(data: Any, *path: str) -> list[Any]:
    found = _at(data, *path)
    return found if isinstance(found, list) else []


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(part: Any) -> str:
    said = _at(part, "text", "value") or _at(part, "refusal") or ""
    return said if isinstance(said, str) else ""
