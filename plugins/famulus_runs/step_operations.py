"""Operations of run steps: list and retrieve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from famulus import Call, Wire, list_page, operation
from famulus.resources import found, missing
from famulus_runs.additions import PROMPT, unpack, usage_note, with_additions
from famulus_runs.contents import CONTENTS
from famulus_runs.kinds import body_with_contents, decode_step, step_extra
from famulus_schemas.lists import ListPage
from famulus_schemas.steps import RunStep, StepListQuery, StepQuery

if TYPE_CHECKING:
    from famulus_runs.plugin import Runs


class StepOperations:
    """What clients may see of a run's steps."""

    def __init__(self, plugin: Runs) -> None:
        self._plugin = plugin

    @operation("GET", "/v1/threads/{thread_id}/runs/{run_id}/steps", action="runs.read")
    async def list_run_steps(
        self, call: Call, thread_id: str, run_id: str, query: StepListQuery
    ) -> Wire[ListPage[RunStep]]:
        """List the steps of a run."""
        records = self._plugin.records.of(call.project)
        await found(records, "run", run_id, thing="run", parent=thread_id)
        where = {"run": run_id}
        if CONTENTS not in query.include:
            return await list_page(records, "step", thread_id, query=query, where=where)
        return await list_page(
            records, "step", thread_id, query=query, where=where, body_of=body_with_contents
        )

    @operation("GET", "/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}", action="runs.read")
    async def retrieve_run_step(
        self, call: Call, thread_id: str, run_id: str, step_id: str, query: StepQuery
    ) -> Wire[RunStep]:
        """Retrieve a step of a run."""
        records = self._plugin.records.of(call.project)
        await found(records, "run", run_id, thing="run", parent=thread_id)
        record = await found(records, "step", step_id, thing="run step", parent=thread_id)
        step = decode_step(record.body)
        if step.run_id != run_id:
            raise missing("run step", step_id)
        if not query.include:
            return Wire(record.body)
        kept = step_extra(record)
        prompt = unpack(kept.prompt) if PROMPT in query.include else b""
        usage = usage_note(step.usage, is_estimate=kept.usage_is_estimate)
        body = body_with_contents(record) if CONTENTS in query.include else record.body
        return Wire(with_additions(body, query.include, prompt=prompt, usage=usage))
