"""The models of the machine: each model's name says what it does whenever it is asked.

What a run may expect of its model is a `Plan`, a list of answers; the scripted backend plays just
that. A gate is where an answer waits until the machine lets it go on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from famulus.testing import Script, ScriptedBackend, faults, tool
from famulus.testing.faults import ScriptedFault
from famulus.testing.script import BEFORE_HEADERS, Turn
from famulus_schemas.inference import ChatRequest, FinishReason

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
"""What each answer that is whole has used."""
OUTPUT = "sunny"
"""What the function that the server runs gives."""
ENDLESS = "again "
MARK = re.compile(r"mark (\d+)\.")
"""Stands in a run's instructions, so that the model knows whom it answers."""

SERVER_FUNCTION = "get_weather"
CLIENT_FUNCTION = "book_table"
UNKNOWN_FUNCTION = "fly_away"

Broken = Literal["refused", "limited", "cut_off", "engine_died"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a model."""

    words: tuple[str, ...] = ()
    refusal: str = ""
    calls: tuple[str, ...] = ()
    """The functions that it calls after its words."""
    finish: FinishReason | None = None
    gate: int | None = None
    """After how many words it waits."""
    is_endless: bool = False
    fault: Broken | None = None
    """How it fails: before its first word, or after its last."""


Plan = tuple[Answer, ...]
_END = Answer(words=("That ", "is ", "all."))
_TEXT = ("One ", "two ", "three.")

PLANS: Mapping[str, Plan] = {
    "says": (Answer(words=_TEXT),),
    "says_nothing": (Answer(),),
    "refuses": (Answer(refusal="I will not."),),
    "waits": (Answer(words=_TEXT, gate=2),),
    "thinks": (Answer(words=_TEXT, gate=0),),
    "endless": (Answer(words=(ENDLESS,), is_endless=True),),
    "asks": (Answer(calls=(CLIENT_FUNCTION,)), _END),
    "asks_two": (Answer(calls=(CLIENT_FUNCTION, CLIENT_FUNCTION)), _END),
    "asks_twice": (
        Answer(words=_TEXT, calls=(CLIENT_FUNCTION,)),
        Answer(calls=(CLIENT_FUNCTION,)),
        _END,
    ),
    "asks_then_waits": (Answer(calls=(CLIENT_FUNCTION,)), Answer(words=_TEXT, gate=1)),
    "asks_then_fails": (Answer(calls=(CLIENT_FUNCTION,)), Answer(fault="refused")),
    "looks": (Answer(calls=(SERVER_FUNCTION,)), _END),
    "looks_then_waits": (Answer(calls=(SERVER_FUNCTION,)), Answer(words=_TEXT, gate=0)),
    "looks_and_asks": (Answer(words=_TEXT, calls=(SERVER_FUNCTION, CLIENT_FUNCTION)), _END),
    "errs": (Answer(calls=(UNKNOWN_FUNCTION,)), _END),
    "refused": (Answer(fault="refused"),),
    "limited": (Answer(fault="limited"),),
    "cut_off": (Answer(words=_TEXT, fault="cut_off"),),
    "engine_died": (Answer(words=_TEXT, fault="engine_died"),),
    "filtered": (Answer(words=_TEXT, finish="content_filter"),),
    "out_of_tokens": (Answer(words=_TEXT, finish="length"),),
}

FAULTS: Mapping[Broken, tuple[ScriptedFault, str]] = {
    "refused": (faults.status(400), "invalid_prompt"),
    "limited": (faults.status(429), "rate_limit_exceeded"),
    "cut_off": (faults.hang_up(), "server_error"),
    "engine_died": (faults.error_event(), "server_error"),
}
"""What the backend does, and the code of the error that the run then has."""


def call_id(mark: int, turn: int, index: int) -> str:
    """The id that the model gives a call."""
    return f"call_{mark}_{turn}_{index}"


def arguments(index: int) -> str:
    """The arguments of a call."""
    return f'{{"number": {index}}}'


class Gates:
    """Where answers wait."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        """Marks of runs whose answers wait no more; kept over restarts."""
        self.at_work: set[int] = set()
        """Marks of runs whose answers wait now, or are without end."""
        self._changed = asyncio.Event()

    def release(self, mark: int) -> None:
        """Let a run's answer go on."""
        self.open.add(mark)
        self.at_work.discard(mark)
        self._changed.set()

    def forget(self) -> None:
        """A new server begins: nothing is at work there."""
        self.at_work = set()
        self._changed = asyncio.Event()

    async def wait(self, mark: int) -> None:
        """Wait until the run's answer may go on."""
        if mark in self.open:
            return
        at_work = self.at_work
        at_work.add(mark)
        try:
            while mark not in self.open:
                changed = self._changed
                await changed.wait()
                if changed is self._changed:
                    self._changed = asyncio.Event()
        finally:
            at_work.discard(mark)


class _Gate:
    def __init__(self, gates: Gates, mark: int, *, is_endless: bool) -> None:
        self._gates = gates
        self._mark = mark
        self._is_endless = is_endless

    async def wait(self) -> Any:
        """As Gates.wait; an answer without end only says that it has begun."""
        if self._is_endless:
            self._gates.at_work.add(self._mark)
        else:
            await self._gates.wait(self._mark)


def backend_of(gates: Gates) -> ScriptedBackend:
    """A model server that keeps to the plans."""

    def answer(request: ChatRequest) -> Turn:
        return _turn(request, gates)

    return ScriptedBackend(answer, models=tuple(PLANS))


def _turn(request: ChatRequest, gates: Gates) -> Turn:
    mark = _mark_of(request)
    # The calls of earlier runs are shown, too.
    called = [message.tool_calls[0].id for message in request.messages if message.tool_calls]
    number = sum(id.startswith(f"call_{mark}_") for id in called)
    answer = PLANS[request.model][number]
    script = Script().says("").in_pieces(*answer.words).uses(*list(USAGE.values())[:2])
    turn = script.turns[0]
    changes: dict[str, Any] = {"refusal": answer.refusal, "finish_reason": answer.finish}
    changes["calls"] = tuple(
        tool(name, arguments(index), id=call_id(mark, number, index))
        for index, name in enumerate(answer.calls)
    )
    if answer.is_endless:
        changes |= {"endless": True, "pause_s": 0.005}
    if answer.gate is not None or answer.is_endless:
        gate = _Gate(gates, mark, is_endless=answer.is_endless)
        changes["waits"] = ((answer.gate or 0, gate),)
    if answer.fault is not None:
        changes["fault"] = FAULTS[answer.fault][0]
        changes["fault_after"] = len(answer.words) or BEFORE_HEADERS
    return msgspec.structs.replace(turn, **changes)


def _mark_of(request: ChatRequest) -> int:
    found = MARK.search(str(request.messages[0].content))
    assert found is not None, request.messages[0]
    return int(found[1])
