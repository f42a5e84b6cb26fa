"""Probes one operation after the other, in every respect that the probes know."""

from __future__ import annotations

from collections.abc import Callable, Collection

from famulus_conformance.findings import Finding
from famulus_conformance.judge import Judge
from famulus_conformance.oracle import Oracle, OracleOperation
from famulus_conformance.probe_errors import probe_errors
from famulus_conformance.probe_implemented import probe_implemented
from famulus_conformance.probe_limits import probe_limits
from famulus_conformance.probe_properties import probe_request, probe_response
from famulus_conformance.target import Target

Told = Callable[[str], None]


async def probe(
    oracle: Oracle,
    target: Target,
    *,
    only: Collection[str] = (),
    tell: Told = lambda text: None,
) -> list[Finding]:
    """Findings on every operation, or on those of some groups; `tell` is told how far it is."""
    judge = Judge(oracle, target)
    for operation in oracle.operations():
        if not only or operation.group in only:
            await _probe_one(judge, operation)
            found = [each for each in judge.findings if each.operation == operation.id]
            kept = sum(each.kept for each in found)
            tell(f"{operation.id}: {kept} of {len(found)} as they should be")
    return judge.findings


async def _probe_one(judge: Judge, operation: OracleOperation) -> None:
    answer = await probe_implemented(judge, operation)
    if answer is not None:
        await probe_response(judge, operation, answer)
        await probe_request(judge, operation)
        await probe_limits(judge, operation)
    if answer is not None or judge.findings[-1].kept:
        await probe_errors(judge, operation)
