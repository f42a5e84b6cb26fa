"""What must hold of all that lies in a store, whoever wrote it and however it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from ledger import Kind
from stores import LIVE, Dump, Row

from famulus_jobs.kinds import decode_job
from famulus_schemas.assistants import Assistant
from famulus_schemas.messages import Message
from famulus_schemas.runs import Run
from famulus_schemas.steps import RunStep
from famulus_schemas.threads import Thread
from famulus_usage.cells import Cell, decode_cell, decode_cells
from famulus_usage.kinds import ROWS, decode_entry

SHAPES: dict[str, Any] = {
    "assistant": Assistant,
    "thread": Thread,
    "message": Message,
    "run": Run,
    "step": RunStep,
}
UNDER_THREADS = ("message", "run", "step", "run_event", "active_run")
MADE = ("assistant", "thread", "message", "run")
OPEN = (*LIVE, "requires_action")

Faults = Iterator[tuple[Kind, str]]


def faults(dump: Dump, *, workers_max: int) -> Faults:
    """All that is wrong, once every run has come to rest."""
    if dump.trouble:
        yield "half-made", f"the database says: {dump.trouble}"
    for loose in dump.loose:
        yield "half-made", f"an index value without a record: {loose}"
    yield from _shapes(dump)
    yield from _parents(dump)
    yield from _once(dump)
    yield from _indexes(dump)
    yield from _runs(dump)
    yield from _jobs(dump)
    yield from _logs(dump)
    yield from _usage(dump)
    if len(workers := dump.of("worker")) > workers_max:
        yield "half-made", f"{len(workers)} workers are entered, and {workers_max} are there"


def _shapes(dump: Dump) -> Faults:
    for kind, shape in SHAPES.items():
        for row in dump.of(kind):
            try:
                msgspec.json.decode(row.body, type=shape)
            except msgspec.MsgspecError as error:
                yield "half-made", f"{kind} {row.id} is none: {error}"


def _parents(dump: Dump) -> Faults:
    for kind in UNDER_THREADS:
        for row in dump.of(kind):
            if (row.project, "thread", row.parent) not in dump.rows:
                yield "half-made", f"{kind} {row.id} is under no thread"
    for kind in ("step", "run_event"):
        for row in dump.of(kind):
            if (row.project, "run", _run_of(row)) not in dump.rows:
                yield "half-made", f"{kind} {row.id} is of no run"


def _run_of(row: Row) -> str:
    if row.kind == "run_event":
        return row.id.partition(".")[0]
    return str(msgspec.json.decode(row.body)["run_id"])


def _once(dump: Dump) -> Faults:
    """What one request made is there once."""
    nonces: Counter[tuple[str, str]] = Counter()
    for kind in MADE:
        for row in dump.of(kind):
            if nonce := (msgspec.json.decode(row.body).get("metadata") or {}).get("nonce"):
                nonces[kind, nonce] += 1
    for (kind, nonce), count in nonces.items():
        if count > 1:
            yield "doubled", f"{count} of kind {kind} were made by the request {nonce}"


def _indexes(dump: Dump) -> Faults:
    for row in dump.rows.values():
        due = _index_of(row)
        if due is not None and due != row.index:
            yield "half-made", f"{row.kind} {row.id} is indexed as {row.index}, and is {due}"


def _index_of(row: Row) -> dict[str, str] | None:
    if row.kind not in (*UNDER_THREADS, "job"):
        return None
    body = msgspec.json.decode(row.body)
    if row.kind == "job":
        # How one at work is indexed is the business of jobs alone; at rest there is none.
        return None if body["state"] == "leased" else decode_job(row.body).index(row.project)
    if row.kind == "run":
        if body["status"] == "queued" and body["started_at"] is None and row.index:
            # One that was made to wait for its thread, until it begins.
            return {"awaits": "turn"}
        return {"awaits": "client"} if body["status"] == "requires_action" else {}
    if row.kind == "message":
        return {"run": body["run_id"]} if body.get("run_id") else {}
    return {} if row.kind == "active_run" else {"run": _run_of(row)}


def _runs(dump: Dump) -> Faults:
    holders = {row.id: _at_thread(row) for row in dump.of("active_run")}
    for row in dump.of("run"):
        run = msgspec.json.decode(row.body)
        holds = row.id in holders.get(row.parent, ())
        if holds != (run["status"] in OPEN):
            verb = "holds" if holds else "does not hold"
            yield "half-made", f"run {row.id} is {run['status']} and {verb} its thread"
    for thread, run_ids in holders.items():
        for run_id in run_ids:
            if not any(key[1:] == ("run", run_id) for key in dump.rows):
                yield "half-made", f"thread {thread} is held by {run_id}, which is not there"


def _at_thread(row: Row) -> list[str]:
    """The run that has a thread, and those that wait for it."""
    body = msgspec.json.decode(row.body)
    return [body["run"], *body.get("waiting", ())]


def _jobs(dump: Dump) -> Faults:
    jobs = {}
    for row in dump.of("job"):
        job = msgspec.json.decode(row.body)
        if job["kind"] == "run":
            jobs[job["key"]] = job["state"]
    for row in dump.of("run"):
        status = msgspec.json.decode(row.body)["status"]
        state = jobs.pop(row.id, None)
        if status == "requires_action" and state != "parked":
            yield "stuck", f"run {row.id} waits for its client, and its job is {state}"
        elif status in LIVE and state is None:
            yield "stuck", f"run {row.id} is {status}, and has no job"
        elif status not in OPEN and state is not None:
            yield "half-made", f"run {row.id} is {status}, and its job is {state}"
    for key, state in jobs.items():
        yield "half-made", f"there is a {state} job for {key}, which is not there"


def _logs(dump: Dump) -> Faults:
    """The events of a run are numbered without a gap, and none twice."""
    logs: dict[str, list[int]] = {}
    for row in dump.of("run_event"):
        entries = msgspec.json.decode(row.body)
        numbers = [int(entry["position"].split(":")[1].split(".")[1]) for entry in entries]
        logs.setdefault(_run_of(row), []).extend(numbers)
        if not numbers or numbers[-1] != int(row.id.rpartition(".")[2]):
            yield "half-made", f"events {row.id} end with {numbers[-1:]}"
    for row in dump.of("run"):
        numbers = logs.get(row.id, [])
        due = list(range(1, len(numbers) + 1))
        if numbers != due or not numbers:
            kind: Kind = "doubled" if len(set(numbers)) < len(numbers) else "lost"
            yield kind, f"run {row.id} told the events {numbers}"


def _usage(dump: Dump) -> Faults:
    """What is counted of a run is what it says of itself; no sum lacks what another has."""
    entries: Counter[str] = Counter()
    for row in dump.of("usage_entry"):
        entry = decode_entry(row.body)
        entries[entry.run] += entry.input + entry.output
    for row in dump.of("run"):
        run = msgspec.json.decode(row.body)
        if run["status"] in OPEN:
            continue
        due = (run["usage"] or {}).get("total_tokens", 0)
        if entries[row.id] != due:
            kind: Kind = "doubled" if entries[row.id] > due else "lost"
            yield kind, f"run {row.id} used {due} tokens, and {entries[row.id]} are counted"
    sums = {
        rows.name: sum(_tokens(decode_cell(row.body)) for row in dump.of(rows.name))
        for rows in ROWS.values()
    }
    if len(set(sums.values())) > 1:
        yield "lost", f"usage is added up differently: {sums}"
    waiting = sum(_tokens(c) for row in dump.of("usage_event") for c in decode_cells(row.body))
    if max(sums.values()) + waiting < entries.total():
        yield "lost", f"runs used {entries.total()} tokens, added up are {sums}, {waiting} wait"


def _tokens(cell: Cell) -> int:
    return cell.input + cell.output
