"""The records that this plugin owns, and their forms."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from famulus_runs.contents import CONTENTS, with_contents, without_contents
from famulus_runs.usage import estimated, is_estimate
from famulus_schemas.limits import Reserved
from famulus_schemas.messages import ImageFileContentBlock
from famulus_schemas.records import Kind, Record
from famulus_schemas.runs import Run
from famulus_schemas.steps import CodeInterpreterToolCall, FileSearchToolCall, RunStep
from famulus_schemas.tooling import Mark, SourceSpan

JOB = "run"
"""The kind of job that a run at work is."""

ENDS = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
"""Statuses that a run does not leave any more."""

decode_run = msgspec.json.Decoder(Run).decode
decode_step = msgspec.json.Decoder(RunStep).decode
encode = msgspec.json.Encoder().encode


class RunExtra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run keeps and never sends."""

    reasoning_effort: str | None = None
    include: tuple[str, ...] = ()
    priority: int = 0
    principal: str = ""
    """Who created it, for what is committed on its behalf."""
    key: str = ""
    """With which API key, by its id."""
    usage_is_estimate: bool = False
    reserved: Reserved | None = None
    """What was reserved for it, for whichever process ends it."""
    trace: str = ""
    """The span that created it, as `traceparent` names it; empty where it was not traced."""


encode_extra = msgspec.msgpack.Encoder().encode
decode_extra = msgspec.msgpack.Decoder(RunExtra).decode


def tells_contents(run: Record) -> bool:
    """Whether a run's stream is to tell the passages that its searches find."""
    return CONTENTS in decode_extra(run.extra).include


AWAITS_CLIENT = {"awaits": "client"}
"""The indexed names of a run that waits for its client."""
AWAITS_TURN = {"awaits": "turn"}
"""Those of a run that is made to wait for its thread; they stay until it begins."""


def run_index(run: Run) -> Mapping[str, str]:
    """The indexed names of a run that does not wait for its thread."""
    return AWAITS_CLIENT if run.status == "requires_action" else {}


STEP_SHAPE = 2
"""1 had nothing but the packed prompt as its extra."""


class KeptCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call's wire form does not tell, for whoever takes the run up or asks for it."""

    id: str
    name: str
    arguments: str
    output: str | None = None
    """What the model is told; None as long as the call is not done."""
    shown: FileSearchToolCall | CodeInterpreterToolCall | None = None
    """All of its wire form, where that is not a function's."""
    marks: tuple[Mark, ...] = ()
    sources: tuple[SourceSpan, ...] = ()
    content: tuple[ImageFileContentBlock, ...] = ()


class StepExtra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step keeps and never sends unless it is asked for."""

    prompt: bytes = b""
    """What the model was shown, packed."""
    usage_is_estimate: bool = False
    calls: tuple[KeptCall, ...] = ()
    """All calls of the step, where its body does not tell all of them."""


_decode_step_extra = msgspec.msgpack.Decoder(StepExtra).decode


def step_extra(record: Record) -> StepExtra:
    """What a step's record keeps, whichever form it has."""
    if record.shape < STEP_SHAPE:
        return StepExtra(prompt=record.extra)
    return _decode_step_extra(record.extra)


def extra_with(record: Record, step: RunStep, calls: tuple[KeptCall, ...]) -> bytes | None:
    """What a step's record is to keep from now on; None where that is what it has."""
    if not calls and not is_estimate(step.usage):
        return None
    kept = step_extra(record)
    is_marked = kept.usage_is_estimate or is_estimate(step.usage)
    return encode_extra(replace(kept, usage_is_estimate=is_marked, calls=calls or kept.calls))


def step_of(record: Record) -> RunStep:
    """The step of a record, its usage marked where it is an estimate."""
    step = decode_step(record.body)
    if step.usage is None or not step_extra(record).usage_is_estimate:
        return step
    return replace(step, usage=estimated(step.usage))


def step_body(step: RunStep) -> bytes:
    """A step as its record keeps it: without what is only told to whoever asks for it."""
    return encode(without_contents(step))


def body_with_contents(record: Record) -> bytes:
    """A step's wire form with the passages that its searches found."""
    whole = {call.id: call.shown for call in step_extra(record).calls if call.shown is not None}
    return encode(with_contents(decode_step(record.body), whole)) if whole else record.body


def step_index(step: RunStep) -> dict[str, str]:
    """The indexed names of a step."""
    return {"run": step.run_id}


def _run_index(record: Record) -> Mapping[str, str]:
    return run_index(decode_run(record.body))


def _log_index(record: Record) -> Mapping[str, str]:
    return {"run": record.id.partition(".")[0]}


def _step_index(record: Record) -> Mapping[str, str]:
    return step_index(decode_step(record.body))


RUN = Kind(name="run", indexes=("awaits",), index_of=_run_index)
"""Parent: the thread."""
STEP = Kind(name="step", indexes=("run",), index_of=_step_index)
"""Parent: the thread, so that a thread is removed in one write; listed by `run`."""
LOG = Kind(name="run_event", indexes=("run",), index_of=_log_index)
"""What a run told its listeners, one record a commit. Parent: the thread; listed by `run`."""
