"""What must hold at every commit, and what was really told, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from tests.simulation.agreement import complaints

from famulus_jobs.kinds import decode_job
from famulus_runs.kinds import ENDS, decode_run, decode_step, step_extra
from famulus_schemas.messages import Message
from famulus_schemas.records import Clear, Delete, Guard, Insert, Record, Replace, Unit
from famulus_schemas.runs import Run
from famulus_schemas.steps import FunctionToolCall, RunStep, ToolCallsStepDetails
from famulus_threads.order import extra_of

if TYPE_CHECKING:
    from tests.simulation.world import World

decode_message = msgspec.json.Decoder(Message).decode


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it was committed."""

    event: str
    position: str
    data: msgspec.Raw


_entries = msgspec.json.Decoder(list[LogEntry]).decode


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was broken, and how."""

    promise: str
    detail: str
    at: float


def outputs_of(record: Record) -> dict[str, str | None]:
    """What the calls of a step gave, by their id."""
    if kept := step_extra(record).calls:
        return {call.id: call.output for call in kept}
    details = decode_step(record.body).step_details
    if not isinstance(details, ToolCallsStepDetails):
        return {}
    calls = [call for call in details.tool_calls if isinstance(call, FunctionToolCall)]
    return {call.id: call.function.output for call in calls}


class Watch:
    """Looks at every commit, and remembers what records forget."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._records = world.store.records
        self._lists = world.store.lists
        self.violations: list[Violation] = []
        self.log: dict[str, dict[int, LogEntry]] = {}
        self.forgotten: dict[str, dict[int, LogEntry]] = {}
        """Events as they are told once a message that they are of was deleted."""
        """Every event that was ever committed, by run and number; deleted threads' too."""
        self.rests_since: dict[str, float] = {}
        self.outputs: dict[str, str] = {}
        """What each tool call gave, by its id."""
        self.begun_once: set[str] = set()
        """Calls that may not be repeated, and were begun."""
        self.asked_for: dict[str, list[str]] = {}
        """By thread, the ids of its clients' messages and runs, in the order of their commits."""
        self.waited: set[str] = set()
        """Runs that waited for their turn at some time."""

    def violated(self, promise: str, detail: str) -> None:
        """Note a broken promise."""
        self._world.note("WATCH", f"VIOLATED {promise}", detail)
        violation = Violation(promise=promise, detail=detail, at=self._world.loop.time())
        self.violations.append(violation)

    def hold(self, promise: str, is_kept: bool, detail: object) -> None:
        """Note a broken promise unless it is kept."""
        if not is_kept:
            self.violated(promise, str(detail))

    # --- commits ------------------------------------------------------------------------------

    def committed(self, project: str, unit: Unit) -> None:
        """A unit is on disk."""
        threads: dict[str, None] = {}
        for write in unit:
            if isinstance(write, Guard) or write.kind in ("job", "worker"):
                continue
            if isinstance(write, Clear):
                threads[write.parent] = None
            elif isinstance(write, Insert) and write.kind == "run_event":
                self._log(write)
            elif isinstance(write, Replace) and write.kind == "run_event":
                self._forget(project, write)
            elif isinstance(write, Delete):
                if write.kind == "thread":
                    threads[write.id] = None
            elif write.kind == "message":
                self._message(project, write.id, unit)
            elif write.kind == "step":
                self._step(project, write.id)
            elif write.kind == "run":
                thread_id = self._records[project, "run", write.id].parent
                threads[thread_id] = None
                if isinstance(write, Insert):
                    self.asked_for.setdefault(thread_id, []).append(write.id)
        for thread_id in threads:
            self._thread(project, thread_id)

    def _forget(self, project: str, write: Replace) -> None:
        """What was told of messages that were deleted has no text any more."""
        run_id = write.id.rpartition(".")[0]
        for entry in _entries(write.body or b"[]"):
            seq = int(entry.position.rpartition(":")[2].split(".")[1])
            before = self.log[run_id][seq]
            if bytes(before.data) == bytes(entry.data):
                continue
            message = decode_message(entry.data)
            is_gone = (project, "message", message.id) not in self._records
            is_bare = not message.content and not message.metadata
            promise = "only the texts of deleted messages are forgotten"
            self.hold(promise, is_gone and is_bare, (before, entry))
            self.forgotten.setdefault(run_id, {})[seq] = entry

    def _log(self, write: Insert) -> None:
        run_id = write.id.rpartition(".")[0]
        log = self.log.setdefault(run_id, {})
        for entry in _entries(write.body):
            seq = int(entry.position.rpartition(":")[2].split(".")[1])
            self.hold("events are numbered one after the other", seq == len(log) + 1, write.id)
            log[seq] = entry

    def _message(self, project: str, id: str, unit: Unit) -> None:
        record = self._records[project, "message", id]
        message = decode_message(record.body)
        if message.run_id is not None or record.version > 1:
            return
        self.asked_for.setdefault(record.parent, []).append(id)
        come_with_it = {write.id for write in unit if write.kind == "run"}
        before = [run for run in self._runs_at(project, record.parent) if run not in come_with_it]
        promise = "nobody writes to a thread that a run has, but behind all its runs"
        self.hold(promise, list(extra_of(record.extra).behind) == before, (id, before))

    def _runs_at(self, project: str, thread_id: str) -> list[str]:
        """The run that has the thread, and those that wait for it."""
        active = self._records.get((project, "active_run", thread_id))
        if active is None:
            return []
        body = msgspec.json.decode(active.body)
        return [body["run"], *body.get("waiting", ())]

    def _step(self, project: str, id: str) -> None:
        for call_id, output in outputs_of(self._records[project, "step", id]).items():
            before = self.outputs.get(call_id)
            if before is not None:
                self.hold("an output is stored once", output == before, (call_id, before, output))
            elif output is not None:
                self.outputs[call_id] = output

    def _thread(self, project: str, id: str) -> None:
        """At each moment a thread is whole."""
        runs = [decode_run(r.body) for r in self._lists.get((project, "run", id), ())]
        at_it = self._runs_at(project, id)
        for run in runs:
            self._run(project, run, waits=run.id in at_it[1:])
        live = [run.id for run in runs if run.status not in ENDS]
        # The first of the live ones has it, and the others wait, as they were created.
        promise = "a thread is a run's exactly while the run is live, and its turn has come"
        self.hold(promise, live == at_it, (id, live, at_it))
        if (project, "thread", id) not in self._records:
            kinds = ("message", "run", "step", "run_event", "active_run")
            left = [kind for kind in kinds if self._lists.get((project, kind, id))]
            self.hold("nothing is left of a deleted thread", not left, (id, left))

    def _run(self, project: str, run: Run, *, waits: bool) -> None:
        job = self._records.get((project, "job", f"run:{run.id}"))
        state = None if job is None else decode_job(job.body).state
        if run.status not in ENDS:
            self.rests_since.pop(run.id, None)
            self.hold("a live run has a job", state is not None, (run.id, run.status))
            is_parked = run.status == "requires_action" or waits
            promise = "a job is laid aside exactly while its run waits for the client or its turn"
            # A run that is being cancelled where it waits is ended by whoever cancels it.
            if run.status != "cancelling":
                self.hold(promise, (state == "parked") == is_parked, (run.id, run.status, state))
        if waits:
            self.waited.add(run.id)
            is_new = run.status == "queued" and run.started_at is None
            promise = "a run that waits for its turn has not begun"
            self.hold(promise, is_new and not self.steps_of(project, run), (run.id, run.status))
        if run.status in ENDS or run.status == "requires_action":
            self.rests_since.setdefault(run.id, self._world.loop.time())
        if run.status in ENDS:
            self.hold("a run that is over has no job", job is None, (run.id, run.status, state))
            items: list[RunStep | Message] = [
                *self.steps_of(project, run),
                *self.messages_of(project, run),
            ]
            open_items = [item.id for item in items if item.status == "in_progress"]
            self.hold("nothing of a run that is over is open", not open_items, (run.id, open_items))
        if run.status in ENDS or run.status == "requires_action":
            self.agree(project, run)

    def agree(self, project: str, run: Run) -> None:
        """A run at rest, its steps and its messages say the same."""
        found = complaints(
            run,
            self.steps_of(project, run),
            self.messages_of(project, run),
            now=self._world.now(),
            skew_s=self._world.profile.skew_s,
        )
        for promise, detail in found:
            self.violated(promise, str(detail))

    def steps_of(self, project: str, run: Run) -> list[RunStep]:
        """The run's steps as they are stored."""
        stored = self._lists.get((project, "step", run.thread_id), ())
        return [step for record in stored if (step := decode_step(record.body)).run_id == run.id]

    def messages_of(self, project: str, run: Run) -> list[Message]:
        """The run's messages as they are stored."""
        stored = self._lists.get((project, "message", run.thread_id), ())
        return [one for record in stored if (one := decode_message(record.body)).run_id == run.id]

    # --- tools and the model ----------------------------------------------------------------------

    def tool_begins(self, worker: str, run: Run, call_id: str, *, may_repeat: bool = True) -> None:
        """A worker begins to run a call."""
        job = self._records.get(("default", "job", f"run:{run.id}"))
        # One that was given up for dead in its sleep does not know better yet.
        if job is not None and decode_job(job.body).worker == worker:
            promise = "a call whose output is stored is not run again"
            self.hold(promise, call_id not in self.outputs, call_id)
            promise = "a call that may not be repeated is not"
            self.hold(promise, call_id not in self.begun_once, call_id)
            if not may_repeat:
                self.begun_once.add(call_id)

    def model_is_told(self, call_id: str, output: str) -> None:
        """The model is shown what a call gave."""
        stored = self.outputs.get(call_id)
        self.hold("the model is told what is stored", stored == output, (call_id, stored, output))

    def told(self, run_id: str, seq: int) -> LogEntry | None:
        """The event of this number, if it is on disk."""
        return self.log.get(run_id, {}).get(seq)

    def is_gone(self, run_id: str) -> bool:
        """Whether the run was deleted with its thread."""
        return run_id in self.log and ("default", "run", run_id) not in self._records

    def status_of(self, project: str, run_id: str) -> Any:
        """The run's status as it is stored; None where it is gone."""
        record = self._records.get((project, "run", run_id))
        return None if record is None else decode_run(record.body).status
