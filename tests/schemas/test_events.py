"""The events of a stream: their names, their order, and what each carries."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from famulus_schemas.deltas import MessageDelta, MessageDeltaEvent, RunStepDelta, RunStepDeltaEvent
from famulus_schemas.events import (
    EVENT_NAMES,
    AssistantStreamEvent,
    DoneEvent,
    ThreadCreated,
    error_event,
    name_of,
)
from famulus_schemas.messages import Message
from famulus_schemas.runs import Run
from famulus_schemas.steps import RunStep, ToolCallsStepDetails
from famulus_schemas.threads import Thread

THREAD = Thread(id="thread_1", created_at=1)
RUN = Run(
    id="run_1",
    created_at=1,
    thread_id="thread_1",
    assistant_id="asst_1",
    status="queued",
    model="m",
)
STEP = RunStep(
    id="step_1",
    created_at=1,
    assistant_id="asst_1",
    thread_id="thread_1",
    run_id="run_1",
    type="tool_calls",
    status="in_progress",
    step_details=ToolCallsStepDetails(),
)
MESSAGE = Message(
    id="msg_1", created_at=1, thread_id="thread_1", status="in_progress", role="assistant"
)
LIFE: list[tuple[str, object]] = [
    ("thread.created", THREAD),
    ("thread.run.created", RUN),
    ("thread.run.queued", RUN),
    ("thread.run.in_progress", RUN),
    ("thread.run.requires_action", RUN),
    ("thread.run.completed", RUN),
    ("thread.run.incomplete", RUN),
    ("thread.run.failed", RUN),
    ("thread.run.cancelling", RUN),
    ("thread.run.cancelled", RUN),
    ("thread.run.expired", RUN),
    ("thread.run.step.created", STEP),
    ("thread.run.step.in_progress", STEP),
    ("thread.run.step.delta", RunStepDeltaEvent(id="step_1", delta=RunStepDelta())),
    ("thread.run.step.completed", STEP),
    ("thread.run.step.failed", STEP),
    ("thread.run.step.cancelled", STEP),
    ("thread.run.step.expired", STEP),
    ("thread.message.created", MESSAGE),
    ("thread.message.in_progress", MESSAGE),
    ("thread.message.delta", MessageDeltaEvent(id="msg_1", delta=MessageDelta())),
    ("thread.message.completed", MESSAGE),
    ("thread.message.incomplete", MESSAGE),
    ("error", error_event(message="x", type="server_error").data),
    ("done", "[DONE]"),
]


def test_there_are_twenty_five_events_in_the_order_of_life() -> None:
    assert [name for name, _ in LIFE] == list(EVENT_NAMES)
    assert len(EVENT_NAMES) == 25
    assert sum(name.startswith("thread.") for name in EVENT_NAMES) == 23


def test_the_union_has_one_struct_for_each_name_in_the_same_order() -> None:
    structs = get_args(AssistantStreamEvent)
    assert [struct.__struct_config__.tag for struct in structs] == list(EVENT_NAMES)
    assert {struct.__struct_config__.tag_field for struct in structs} == {"event"}


@pytest.mark.parametrize(("name", "data"), LIFE, ids=EVENT_NAMES)
def test_an_event_is_chosen_by_its_name(accepts: Any, name: str, data: object) -> None:
    body = {"event": name, "data": data}
    event = accepts(AssistantStreamEvent, body)
    assert name_of(event) == name
    assert event.data == data
    assert isinstance(event, get_args(AssistantStreamEvent))
    assert get_type_hints(type(event))["data"]
    assert msgspec.json.encode(event) == msgspec.json.encode(body)


def test_an_unknown_event_is_refused(refuses: Any) -> None:
    refuses(AssistantStreamEvent, {"event": "thread.deleted", "data": {}}, "$.event")
    refuses(AssistantStreamEvent, {"data": {}}, "event")
    refuses(AssistantStreamEvent, {"event": "done", "data": "done"}, "$.data")


def test_an_error_is_told_flat_and_nested() -> None:
    fault = {"message": "x", "type": "server_error", "param": None, "code": "y"}
    event = error_event(message="x", type="server_error", code="y")
    assert msgspec.to_builtins(event.data) == {**fault, "error": fault}


def test_a_clients_wrapping_may_carry_more(accepts: Any) -> None:
    body = {"event": "thread.created", "data": THREAD, "enabled": True}
    assert accepts(AssistantStreamEvent, body) == ThreadCreated(data=THREAD)


def test_done_says_done() -> None:
    assert DoneEvent().data == "[DONE]"
