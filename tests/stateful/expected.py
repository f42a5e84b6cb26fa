"""What must be: assistants, threads, messages, runs and steps as plain dicts, by the contract.

A run is moved on by the same plan that its model follows, up to where the server must have come
by the time that nothing moves there any more. Ids that the server makes are learned when they are
first seen; all else is known beforehand, or (what is left of a text that was cut off) bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.stateful.plans import (
    ENDLESS,
    FAULTS,
    OUTPUT,
    PLANS,
    SERVER_FUNCTION,
    UNKNOWN_FUNCTION,
    USAGE,
    Answer,
    Plan,
    arguments,
    call_id,
)

RUN_S = 600
ENDS = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
NO_USAGE = dict.fromkeys(USAGE, 0)
_RUN_TIMES = ("started_at", "cancelled_at", "failed_at", "completed_at")
_STEP_TIMES = ("expired_at", "cancelled_at", "failed_at", "completed_at")


def is_usage(usage: dict[str, int], *, at_least: dict[str, int]) -> bool:
    """Whether it adds up, and is no less than that."""
    parts = usage["prompt_tokens"] + usage["completion_tokens"]
    return usage["total_tokens"] == parts and all(usage[name] >= at_least[name] for name in USAGE)


class Listed:
    """One list: what is in it now, and every id that it ever had, in order."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.items: dict[str, Any] = {}

    def add(self, id: str, item: Any) -> None:
        """At the end."""
        assert id not in self.ids, f"{id} was given twice"
        self.ids.append(id)
        self.items[id] = item

    def living(self) -> list[str]:
        """The ids of what is there, oldest first."""
        return [id for id in self.ids if id in self.items]

    def page(
        self, among: list[str], *, limit: int, order: str, after: str | None, before: str | None
    ) -> tuple[list[str], bool]:
        """The ids of a page of `among`, and whether there are more."""
        ids = self.ids if order == "asc" else self.ids[::-1]
        begin = 0 if after is None else ids.index(after) + 1
        end = len(ids) if before is None else ids.index(before)
        window = [id for id in ids[begin:end] if id in among]
        is_backward = before is not None and after is None
        found = window[-limit:] if is_backward else window[:limit]
        return found, len(window) > limit


def text_block(text: str) -> dict[str, Any]:
    """Text as it is answered."""
    return {"type": "text", "text": {"value": text, "annotations": []}}


def message_of(thread_id: str, request: dict[str, Any], now: int) -> dict[str, Any]:
    """A client's message, but for its id."""
    content = request["content"]
    parts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return {
        "object": "thread.message",
        "created_at": now,
        "thread_id": thread_id,
        "status": "completed",
        "incomplete_details": None,
        "completed_at": now,
        "incomplete_at": None,
        "role": request["role"],
        "content": [text_block(part) for part in parts],
        "assistant_id": None,
        "run_id": None,
        "attachments": [],
        "metadata": request.get("metadata") or {},
    }


def assistant_of(request: dict[str, Any], now: int) -> dict[str, Any]:
    """An assistant, but for its id."""
    body = {
        "object": "assistant",
        "created_at": now,
        "name": None,
        "description": None,
        "instructions": None,
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "response_format": "auto",
    }
    return {**body, **request}


class Thread:
    """A thread and all that is in it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.messages = Listed()
        self.runs = Listed()

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.body["id"])

    def active(self) -> Run | None:
        """The run that has the thread for itself."""
        living = [run for run in self.runs.items.values() if run.status not in ENDS]
        assert len(living) <= 1, [run.id for run in living]
        return living[0] if living else None


class Message:
    """The message of a run."""

    def __init__(self, run: Run, now: int) -> None:
        self.id = ""
        self.metadata: dict[str, str] = {}
        self.is_deleted = False
        self.created_at = now
        self.run = run
        self.status = "in_progress"
        self.reason: str | None = None
        self.ended_at: int | None = None
        self.text = ""
        self.refusal = ""
        self.is_cut = False
        """Whether only a beginning of its text may be there."""

    def end(self, status: str, now: int, reason: str | None = None) -> None:
        """It is whole, or was broken off."""
        self.status, self.ended_at, self.reason = status, now, reason

    def body(self) -> dict[str, Any]:
        """As it must be answered, but for its content."""
        is_whole = self.status == "completed"
        reason = {"reason": self.reason} if self.reason else None
        return {
            "id": self.id,
            "object": "thread.message",
            "created_at": self.created_at,
            "thread_id": self.run.thread.id,
            "status": self.status,
            "incomplete_details": reason,
            "completed_at": self.ended_at if is_whole else None,
            "incomplete_at": None if is_whole else self.ended_at,
            "role": "assistant",
            "assistant_id": self.run.body["assistant_id"],
            "run_id": self.run.id,
            "attachments": [],
            "metadata": self.metadata,
        }

    def hold(self, answered: dict[str, Any]) -> None:
        """Hold an answer to it."""
        rest = dict(answered)
        content = rest.pop("content")
        assert rest == self.body()
        if not self.is_cut:
            blocks = [text_block(self.text)] if self.text else []
            blocks += [{"type": "refusal", "refusal": self.refusal}] if self.refusal else []
            assert content == blocks
            return
        text = "".join(block["text"]["value"] for block in content)
        assert self.may_be(text), (text, self.text)

    def may_be(self, text: str) -> bool:
        """Whether so much of it may be there."""
        if self.run.is_endless:
            return ENDLESS * (len(text) // len(ENDLESS)) == text
        return self.text.startswith(text)


class Step:
    """A step of a run: a message, or the calls of one answer."""

    def __init__(self, run: Run, now: int, message: Message | None = None) -> None:
        self.id = ""
        self.run = run
        self.created_at = now
        self.message = message
        self.calls: list[dict[str, Any]] = []
        self.status = "in_progress"
        self.ended_at: int | None = None
        self.usage: dict[str, int] | None = None
        self.error_code: str | None = None

    def end(self, status: str, now: int) -> None:
        """It is done, or was broken off."""
        self.status, self.ended_at = status, now

    def waiting(self) -> list[dict[str, Any]]:
        """Its calls without an output."""
        return [call for call in self.calls if call["function"]["output"] is None]

    def hold(self, answered: dict[str, Any]) -> None:
        """Hold an answer to it."""
        rest = dict(answered)
        error = rest.pop("last_error")
        assert (error or {}).get("code") == self.error_code
        usage = rest.pop("usage")
        if self.status in ("in_progress", "completed") or self.usage is not None:
            assert usage == self.usage
        else:
            # What an answer cost that was broken off is an estimate, if it is known at all.
            assert usage is None or is_usage(usage, at_least=NO_USAGE)
        times = dict.fromkeys(_STEP_TIMES)
        if self.status != "in_progress":
            times[f"{self.status}_at"] = self.ended_at  # type: ignore[assignment]
        details: dict[str, Any] = {"type": "tool_calls", "tool_calls": self.calls}
        if self.message is not None:
            creation = {"message_id": self.message.id}
            details = {"type": "message_creation", "message_creation": creation}
        assert rest == {
            "id": self.id,
            "object": "thread.run.step",
            "created_at": self.created_at,
            "assistant_id": self.run.body["assistant_id"],
            "thread_id": self.run.thread.id,
            "run_id": self.run.id,
            "type": details["type"],
            "status": self.status,
            "step_details": details,
            "metadata": {},
            **times,
        }


class Run:
    """A run, as far as it must have come."""

    def __init__(self, thread: Thread, body: dict[str, Any], mark: int) -> None:
        self.thread = thread
        self.body = body
        """What does not change of it, and its metadata."""
        self.mark = mark
        self.status = "queued"
        self.steps: list[Step] = []
        self.times: dict[str, int | None] = dict.fromkeys(_RUN_TIMES)
        self.spent: dict[str, int] = NO_USAGE
        self.error_code: str | None = None
        self.incomplete: str | None = None
        self.turn = 0
        self.is_released = False
        self.is_estimated = False
        """Whether an answer was broken off, whose cost nobody has reported."""

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.body["id"])

    @property
    def plan(self) -> Plan:
        """What its model does."""
        return PLANS[self.body["model"]]

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDS

    @property
    def is_live(self) -> bool:
        """Whether it is at work, or would be if there were room."""
        return self.status in ("queued", "in_progress")

    def is_late(self, now: int) -> bool:
        """Whether its time is over."""
        return now >= int(self.body["created_at"]) + RUN_S

    @property
    def is_endless(self) -> bool:
        """Whether its model never stops."""
        return self.plan[0].is_endless

    @property
    def waits(self) -> bool:
        """Whether its model waits, or talks on without end."""
        answer = self.plan[self.turn]
        return answer.is_endless or (answer.gate is not None and not self.is_released)

    def messages(self) -> Iterator[Message]:
        """Its messages, oldest first."""
        return (step.message for step in self.steps if step.message is not None)

    def asked(self) -> list[dict[str, Any]]:
        """The calls whose outputs it waits for."""
        return self.steps[-1].waiting() if self.status == "requires_action" else []

    # --- its course ---------------------------------------------------------------------------

    def take_up(self, now: int) -> None:
        """A worker begins it, or goes on with it after another was lost."""
        is_late = self.is_late(now)
        if is_late and self.times["started_at"] is None:
            self.error_code = "rate_limit_exceeded"
            self._break_off("expired", now)
            return
        if self.status == "queued":
            self.status, self.times["started_at"] = "in_progress", now
        if is_late:
            for message in self.messages():
                if message.status == "in_progress":
                    # It had begun again, and has no word yet.
                    message.text = ""
            self._break_off("expired", now)
            return
        self.go_on(now)

    def go_on(self, now: int) -> None:
        """As far as it comes by itself."""
        while self.status == "in_progress" and self._answer(self.plan[self.turn], now):
            self.turn += 1

    def _answer(self, answer: Answer, now: int) -> bool:
        """One answer of the model; whether it is asked again at once."""
        words = answer.words
        if self.waits:
            words = words[: answer.gate or 0] if not answer.is_endless else words
        text = "".join(words)
        if text or answer.refusal:
            message = self._open_message(now)
            message.text, message.refusal = text, answer.refusal
            message.is_cut = self.waits
        if self.waits:
            return False
        if answer.fault is not None:
            self.error_code = FAULTS[answer.fault][1]
            self._break_off("failed", now)
            return False
        self.spent = {name: self.spent[name] + used for name, used in USAGE.items()}
        if answer.calls:
            return self._call(answer, now)
        message = self._open_message(now)
        self._finish(answer, message, now)
        return False

    def _open_message(self, now: int) -> Message:
        last = self.steps[-1] if self.steps else None
        if last is not None and last.message is not None and last.status == "in_progress":
            return last.message
        message = Message(self, now)
        self.steps.append(Step(self, now, message))
        return message

    def _finish(self, answer: Answer, message: Message, now: int) -> None:
        step = self.steps[-1]
        step.usage = USAGE
        step.end("completed", now)
        if answer.finish is None:
            message.end("completed", now)
            self.status, self.times["completed_at"] = "completed", now
            return
        is_length = answer.finish == "length"
        message.end("incomplete", now, "max_tokens" if is_length else "content_filter")
        self.status = "incomplete"
        self.incomplete = "max_completion_tokens" if is_length else None

    def _call(self, answer: Answer, now: int) -> bool:
        if self.steps and self.steps[-1].status == "in_progress":
            step = self.steps[-1]
            assert step.message is not None
            step.message.end("completed", now)
            step.end("completed", now)
        step = Step(self, now)
        step.usage = USAGE
        names = answer.calls if self.body["parallel_tool_calls"] else answer.calls[:1]
        step.calls = [self._called(name, index) for index, name in enumerate(names)]
        self.steps.append(step)
        if step.waiting():
            self.status = "requires_action"
            return False
        step.end("completed", now)
        return True

    def _called(self, name: str, index: int) -> dict[str, Any]:
        output = None
        if name == SERVER_FUNCTION:
            output = OUTPUT
        elif name == UNKNOWN_FUNCTION:
            known = ", ".join(tool["function"]["name"] for tool in self.body["tools"])
            output = f"Error: there is no tool '{name}'. The tools are: {known}."
        function = {"name": name, "arguments": arguments(index), "output": output}
        id = call_id(self.mark, self.turn, index)
        return {"id": id, "type": "function", "function": function}

    def submit(self, outputs: dict[str, str], now: int) -> None:
        """The client has given all outputs."""
        step = self.steps[-1]
        for call in step.waiting():
            call["function"]["output"] = outputs[call["id"]]
        step.end("completed", now)
        self.turn += 1
        self.status = "queued"

    def release(self, now: int) -> None:
        """Its model waits no more."""
        self.is_released = True
        self.go_on(now)

    def cancel(self, now: int) -> None:
        """A client has cancelled it."""
        self._break_off("cancelled", now)

    def expire(self, now: int) -> None:
        """Its time is over."""
        self._break_off("expired", now)

    def _break_off(self, status: str, now: int) -> None:
        self.is_estimated = self.status == "in_progress"
        for step in self.steps:
            if step.status != "in_progress":
                continue
            step.end(status, now)
            step.error_code = self._step_error() if status == "failed" else None
            if step.message is not None:
                step.message.end("incomplete", now, f"run_{status}")
        self.status = status
        if f"{status}_at" in self.times:
            self.times[f"{status}_at"] = now

    def _step_error(self) -> str:
        return "rate_limit_exceeded" if self.error_code == "rate_limit_exceeded" else "server_error"

    # --- what is answered ---------------------------------------------------------------------

    def hold(self, answered: dict[str, Any]) -> None:
        """Hold an answer to it."""
        rest = dict(answered)
        error = rest.pop("last_error")
        assert (error or {}).get("code") == self.error_code
        wanted = self.answer()
        if self.is_estimated:
            assert is_usage(rest.pop("usage"), at_least=wanted.pop("usage"))
        assert rest == wanted

    def answer(self) -> dict[str, Any]:
        """As it must be answered, but for the words of an error."""
        is_told = self.is_over or self.status == "requires_action"
        action = None
        if self.status == "requires_action":
            calls = [_without_output(call) for call in self.asked()]
            action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        return {
            **self.body,
            **self.times,
            "status": self.status,
            "required_action": action,
            "expires_at": None if self.is_over else self.body["created_at"] + RUN_S,
            "incomplete_details": {"reason": self.incomplete} if self.incomplete else None,
            "usage": self.spent if is_told else None,
        }


def _without_output(call: dict[str, Any]) -> dict[str, Any]:
    function = {name: call["function"][name] for name in ("name", "arguments")}
    return {**call, "function": function}


def run_body(
    request: dict[str, Any], assistant: dict[str, Any], *, thread_id: str, now: int
) -> dict[str, Any]:
    """What does not change of a run, but for its id."""

    def or_else(name: str, otherwise: Any) -> Any:
        given = request.get(name)
        return otherwise if given is None else given

    instructions = [or_else("instructions", assistant["instructions"])]
    instructions.append(request.get("additional_instructions"))
    strategy = request.get("truncation_strategy") or {"type": "auto"}
    return {
        "object": "thread.run",
        "created_at": now,
        "thread_id": thread_id,
        "assistant_id": assistant["id"],
        "model": or_else("model", assistant["model"]),
        "instructions": "\n".join(part for part in instructions if part),
        "tools": or_else("tools", assistant["tools"]),
        "metadata": or_else("metadata", {}),
        "temperature": or_else("temperature", assistant["temperature"]),
        "top_p": or_else("top_p", assistant["top_p"]),
        "max_prompt_tokens": request.get("max_prompt_tokens"),
        "max_completion_tokens": request.get("max_completion_tokens"),
        "truncation_strategy": {"last_messages": None, **strategy},
        "tool_choice": or_else("tool_choice", "auto"),
        "parallel_tool_calls": or_else("parallel_tool_calls", True),
        "response_format": or_else("response_format", assistant["response_format"]),
    }
