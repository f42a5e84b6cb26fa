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
    if operation.id not in RECIPES:
        unjudged = "served, but no probe knows how to ask for it"
        await _not_implemented(judge, operation, unjudged)
        return None
    try:
        answer = await judge.ask(operation, await judge.prepared(operation))
    except NotPrepared as error:
        await _not_implemented(judge, operation, f"what it needs could not be made: {error}")
        return None
    if answer.is_success:
        judge.find(operation, "implemented", "200")
        return answer
    if operation.id in never_succeeding():
        judge.find(operation, "implemented", "a refusal", envelope_fault(answer, answer.status))
    else:
        await _not_implemented(judge, operation, str(answer))
    return None


async def _not_implemented(judge: Judge, operation: OracleOperation, fault: str) -> None:
    served = await _is_served(judge, operation)
    judge.find(operation, "implemented", "200", fault if served else NOT_SERVED)


async def _is_served(judge: Judge, operation: OracleOperation) -> bool:
    """Whether it is answered otherwise than a path that nobody serves."""
    path = path_of(operation, {})
    answer = await judge.target.call(operation.method, path)
    nowhere = await judge.target.call(operation.method, NOWHERE)
    if answer.status in (405, 501):
        return False
    return (answer.status, answer.text.replace(path, NOWHERE)) != (nowhere.status, nowhere.text)
