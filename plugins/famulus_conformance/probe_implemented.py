"""Is an operation served: does a request that must succeed succeed?"""

from __future__ import annotations

from famulus_conformance.judge import Judge, envelope_fault
from famulus_conformance.oracle import OracleOperation
from famulus_conformance.overlay import never_succeeding
from famulus_conformance.recipes import RECIPES, NotPrepared, path_of
from famulus_conformance.target import Answer

NOWHERE = "/no-such-thing-is-served"
NOT_SERVED = "not served"


async def probe_implemented(judge: Judge, operation: OracleOperation) -> Answer | None:
    """The 200 that it answers; None, and a finding that says so, where it does not."""
    if not await _is_served(judge, operation):
        judge.find(operation, "implemented", "200", NOT_SERVED)
        return None
    if operation.id not in RECIPES:
        judge.find(operation, "implemented", "200", "served, but no probe knows how to ask for it")
        return None
    try:
        answer = await judge.ask(operation, await judge.prepared(operation))
    except NotPrepared as error:
        judge.find(operation, "implemented", "200", f"what it needs could not be made: {error}")
        return None
    if not answer.is_success and operation.id in never_succeeding():
        judge.find(operation, "implemented", "a refusal", envelope_fault(answer, answer.status))
        return None
    judge.find(operation, "implemented", "200", None if answer.is_success else str(answer))
    return answer if answer.is_success else None


async def _is_served(judge: Judge, operation: OracleOperation) -> bool:
    """Whether it is answered otherwise than a path that nobody serves."""
    path = path_of(operation, {})
    answer = await judge.target.call(operation.method, path)
    nowhere = await judge.target.call(operation.method, NOWHERE)
    if answer.status in (405, 501):
        return False
    return (answer.status, answer.text.replace(path, NOWHERE)) != (nowhere.status, nowhere.text)
