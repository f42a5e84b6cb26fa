"""What must hold in the end, when faults have ceased and everything had its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from tests.simulation.client import PROJECT, Created, Story, Thread
from tests.simulation.watch import Watch, outputs_of

from famulus_runs.additions import unpack
from famulus_runs.kinds import ENDS, decode_run, decode_step, step_extra
from famulus_schemas.messages import Message
from famulus_schemas.records import Record
from famulus_schemas.runs import Run
from famulus_schemas.steps import (
    MessageCreationStepDetails,
    RunStep,
    ToolCallsStepDetails,
)
from famulus_schemas.threads import Thread as StoredThread

if TYPE_CHECKING:
    from tests.simulation.world import World

_REASONS = {
    "failed": "run_failed",
    "cancelled": "run_cancelled",
    "expired": "run_expired",
}


def judge_world(world: World, stories: list[Story]) -> None:
    """Hold everything that is stored to everything that was answered."""
    _everything_rests(world)
    deleted = {id for story in stories for t in story.threads for id in t.deleted_messages}
    _nothing_is_orphaned(world)
    for record in list(world.store.records.values()):
        if record.kind == "run":
            _judge_run(world, decode_run(record.body), deleted)
    for story in stories:
        for thread in story.threads:
            _judge_thread(world, thread)


def _everything_rests(world: World) -> None:
    watch = world.watch
    for record in world.store.records.values():
        if record.kind == "run":
            run = decode_run(record.body)
            watch.hold("every run ends", run.status in ENDS, (run.id, run.status))
        elif record.kind == "job":
            watch.violated("no job outlives its run", f"{record.id} {record.body!r}")
        elif record.kind == "active_run":
            watch.violated("no thread stays locked", record.id)


def _nothing_is_orphaned(world: World) -> None:
    """Whatever is stored is whole, and what it belongs to is there."""
    for project, kind, id in list(world.store.records):
        record = world.store.records[project, kind, id]
        decode = _FORMS.get(kind)
        if decode is None:
            continue
        thing = decode(record.body)
        is_there = (project, "thread", record.parent or thing.id) in world.store.records
        world.watch.hold("what a thread has goes with it", is_there, (kind, id, record.parent))
        run_id = getattr(thing, "run_id", None)
        has_run = run_id is None or (project, "run", run_id) in world.store.records
        world.watch.hold("what a run made belongs to a run", has_run, (kind, id, run_id))


_FORMS: dict[str, Callable[[bytes], Any]] = {
    "thread": msgspec.json.Decoder(StoredThread).decode,
    "message": msgspec.json.Decoder(Message).decode,
    "run": decode_run,
    "step": decode_step,
}


def text_of(part: Any) -> str:
    """A part of a message as the model is shown it."""
    match part["type"]:
        case "text":
            return str(part["text"]["value"])
        case "refusal":
            return str(part["refusal"])
    return f"[image file {part['image_file']['file_id']}]"


# --- runs -------------------------------------------------------------------------------------


def _judge_run(world: World, run: Run, deleted: set[str]) -> None:
    watch = world.watch
    steps, messages = watch.steps_of(PROJECT, run), watch.messages_of(PROJECT, run)
    _judge_messages(watch, run, steps, messages, deleted)
    for record in world.store.lists.get((PROJECT, "step", run.thread_id), ()):
        if decode_step(record.body).run_id == run.id:
            _judge_step(watch, run, record)
    watch.agree(PROJECT, run)
    _judge_log(watch, run, steps)


def _judge_messages(
    watch: Watch, run: Run, steps: list[RunStep], messages: list[Message], deleted: set[str]
) -> None:
    """Each message has its one step, each step its one message, and both ended alike."""
    by_id = {message.id: message for message in messages}
    told: list[str] = []
    for step in steps:
        if not isinstance(step.step_details, MessageCreationStepDetails):
            continue
        id = step.step_details.message_creation.message_id
        told.append(id)
        message = by_id.get(id)
        if message is None:
            watch.hold("a step's message is there", id in deleted, (step.id, id))
            continue
        wanted: tuple[str, str | None] = ("completed", None)
        if step.status == "in_progress":
            continue
        if step.status != "completed":
            wanted = ("incomplete", _REASONS[step.status])
        reason = message.incomplete_details.reason if message.incomplete_details else None
        is_models = step.status == "completed" and reason in ("max_tokens", "content_filter")
        ended = (message.status, reason)
        alike = is_models or ended == wanted
        watch.hold("a message ends as its step does", alike, (id, ended, step.status))
    watch.hold("a step has one message", len(set(told)) == len(told), (run.id, told))
    strays = [id for id in by_id if id not in told]
    watch.hold("a message has a step", not strays, (run.id, strays))


def _judge_step(watch: Watch, run: Run, record: Record) -> None:
    step = decode_step(record.body)
    watch.hold("no step is left open", step.status != "in_progress", (run.id, step.id))
    if isinstance(step.step_details, ToolCallsStepDetails) and step.status == "completed":
        outputs = outputs_of(record)
        for call in step.step_details.tool_calls:
            there = outputs.get(call.id) is not None
            watch.hold("a completed call has its output", there, (run.id, call.id))


_NEXT = {
    "": {"created"},
    "created": {"queued"},
    "queued": {"in_progress", "cancelling", "cancelled", "expired", "failed"},
    "in_progress": {
        "requires_action",
        "cancelling",
        "completed",
        "incomplete",
        "failed",
        "expired",
    },
    "requires_action": {"queued", "cancelling", "expired", "failed"},
    "cancelling": {"cancelled"},
}


def _judge_log(watch: Watch, run: Run, steps: list[RunStep]) -> None:
    """The events tell the same story as the records."""
    state = ""
    items: dict[str, list[str]] = {}
    asked: list[str] = []
    for seq in sorted(watch.log.get(run.id, {})):
        entry = watch.log[run.id][seq]
        if entry.event.startswith(("thread.run.step.", "thread.message.")):
            id = msgspec.json.decode(entry.data)["id"]
            items.setdefault(id, []).append(entry.event.rpartition(".")[2])
        elif entry.event.startswith("thread.run."):
            event = entry.event.rpartition(".")[2]
            legal = event in _NEXT.get(state, set())
            watch.hold("a run's events follow each other", legal, (run.id, state, event))
            state = event
            if event == "requires_action":
                action = msgspec.json.decode(entry.data, type=Run).required_action
                assert action is not None
                asked += [call.id for call in action.submit_tool_outputs.tool_calls]
    watch.hold("the log ends as the run does", state == run.status, (run.id, state, run.status))
    watch.hold("no call is asked twice of the client", len(set(asked)) == len(asked), asked)
    for id, events in items.items():
        begun = [event for event in events if event == "created"]
        ends = [e for e in events if e not in ("created", "in_progress")]
        is_whole = events[0] == "created" and len(ends) == 1 and events[-1] == ends[0]
        watch.hold("an item begins, and ends once", bool(begun) and is_whole, (run.id, id, events))
    for step in steps:
        ended = items.get(step.id, ["missing"])[-1]
        watch.hold("the log ends a step as stored", ended == step.status, (step.id, ended))


# --- answers ----------------------------------------------------------------------------------


def _judge_thread(world: World, thread: Thread) -> None:
    watch = world.watch
    is_there = (PROJECT, "thread", thread.id) in world.store.records
    if thread.deleted is None:
        watch.hold("what was answered is stored", is_there, thread.id)
    if thread.deleted == "ok":
        watch.hold("what was deleted is gone", not is_there, thread.id)
    if not is_there:
        return
    texts = [
        part["text"]["value"]
        for message in world.stored(PROJECT, "message", thread.id)
        for part in message["content"]
        if message["role"] == "user"
    ]
    _judge_bodies(world, thread)
    for text, outcome in thread.messages:
        count = texts.count(text)
        wanted = {"ok": (1,), "refused": (0,), "unknown": (0, 1)}[outcome]
        watch.hold("messages are as answered", count in wanted, (text, outcome, count))
    for created in thread.runs:
        _judge_created(world, thread, created, texts)
    _judge_prompts(world, thread)


def _judge_bodies(world: World, thread: Thread) -> None:
    """What was answered is what is stored, but for what others may have changed since."""
    for kind, id, answered in thread.answered:
        record = world.store.records.get((PROJECT, kind, id))
        if record is None:
            gone = kind == "message" and id in thread.deleted_messages
            world.watch.hold("what was answered is stored", gone, (kind, id))
            continue
        stored = msgspec.json.decode(record.body)
        wanted = {**answered, **{name: stored[name] for name in _CHANGES[kind]}}
        world.watch.hold("it is stored as it was answered", stored == wanted, (answered, stored))


_CHANGES: dict[str, tuple[str, ...]] = {
    "thread": (),
    "message": (),
    "run": (
        "status",
        "required_action",
        "last_error",
        "expires_at",
        "started_at",
        "cancelled_at",
        "failed_at",
        "completed_at",
        "incomplete_details",
        "metadata",
        "usage",
    ),
}
"""What of an answer may be another by the end."""


def _judge_prompts(world: World, thread: Thread) -> None:
    """Each run was shown what was asked for before it, as if all had waited for each other."""
    if thread.deleted_messages:
        # When they went is not known.
        return
    said: dict[str, list[tuple[str, str]]] = {}
    for message in world.stored(PROJECT, "message", thread.id):
        text = "\n".join(text_of(part) for part in message["content"])
        if text:
            whose = message["run_id"] or message["id"]
            said.setdefault(whose, []).append((message["role"], text))
    history: list[tuple[str, str]] = []
    for id in world.watch.asked_for.get(thread.id, ()):
        shown = _first_prompt(world, thread.id, id)
        promise = "a run is shown all that was asked for before it, in that order"
        world.watch.hold(promise, shown in (None, history), (id, shown, history))
        history += said.get(id, ())


def _first_prompt(world: World, thread_id: str, run_id: str) -> list[tuple[str, str]] | None:
    """What the model was shown for the first step of a run, if it has one."""
    for record in world.store.lists.get((PROJECT, "step", thread_id), ()):
        if decode_step(record.body).run_id == run_id and (packed := step_extra(record).prompt):
            prompt = msgspec.json.decode(unpack(packed))["messages"]
            # Calls of earlier runs and their results are looked at as the model is asked.
            return [
                (message["role"], message["content"])
                for message in prompt
                if message["role"] != "tool" and message.get("content")
            ]
    return None


def _judge_created(world: World, thread: Thread, created: Created, texts: list[str]) -> None:
    watch = world.watch
    runs = [
        run
        for run in world.stored(PROJECT, "run", thread.id)
        if run["metadata"].get("mark") == created.mark
    ]
    wanted = {"ok": (1,), "refused": (0,), "unknown": (0, 1)}[created.outcome]
    watch.hold("runs are as answered", len(runs) in wanted, (created.mark, created.outcome, runs))
    with_it = f"with {created.mark}"
    if any(text == with_it for text, _ in thread.messages):
        there = texts.count(with_it)
        watch.hold("a run comes with its messages", there == len(runs), (created.mark, there))
    if not runs:
        return
    (run,) = runs
    if created.is_cancelled:
        is_so = run["status"] == "cancelled"
        watch.hold("a cancel that was answered holds", is_so, (run["id"], run["status"]))
    _judge_edits(watch, created, run["metadata"].get("edit"))
    _judge_submits(watch, created)


def _judge_edits(watch: Watch, created: Created, stored: str | None) -> None:
    """The last change that was answered is there, or one of which no answer came."""
    sure: list[str | None] = [value for value, outcome in created.edits if outcome == "ok"]
    allowed = [
        *(sure[-1:] or [None]),
        *(value for value, outcome in created.edits if outcome == "unknown"),
    ]
    watch.hold("changes are as answered", stored in allowed, (created.mark, stored, created.edits))


def _judge_submits(watch: Watch, created: Created) -> None:
    """Of those who submit at once, one is heard; its outputs are the ones that are stored."""
    heard: dict[str, str] = {}
    for outputs, outcome in created.submits:
        for call_id, output in outputs.items():
            stored = watch.outputs.get(call_id)
            if outcome == "ok":
                watch.hold("outputs are taken once", call_id not in heard, (created.mark, call_id))
                heard[call_id] = output
                watch.hold("outputs are stored", stored == output, (call_id, stored, output))
            elif outcome == "refused":
                watch.hold("refused outputs are not", stored != output, (call_id, output))
