"""Is every limit kept: at the bound accepted, beyond it refused with the parameter's name?"""

from __future__ import annotations

from typing import Any

from famulus_conformance.judge import Judge, known_values, param_fault
from famulus_conformance.oracle import OracleOperation
from famulus_conformance.places import Place, placed, places
from famulus_conformance.recipes import NotPrepared
from famulus_conformance.samples import Bound, bounds


async def probe_limits(judge: Judge, operation: OracleOperation) -> None:
    """Every bound of the body and of the query."""
    schema = judge.oracle.request_schema(operation)
    if schema is not None:
        for place in places(schema, judge.named):
            for bound in bounds(place.plain, judge.named, known_values(judge)):
                await _try_body(judge, operation, place, bound)
    await _try_query(judge, operation)


async def _try_body(judge: Judge, operation: OracleOperation, place: Place, bound: Bound) -> None:
    what = f"body.{place.path}: {bound.what}"
    try:
        request = await judge.prepared(operation)
    except NotPrepared as error:
        judge.find(operation, "limits", what, str(error))
        return

    def body(value: Any) -> Any:
        return placed(request.body, place.steps, value, judge.named, known_values(judge))

    beyond = await judge.ask(operation, request, body=body(bound.beyond))
    if fault := param_fault(beyond, place.param):
        judge.find(operation, "limits", what, f"beyond it: {fault}")
        return
    valid = await judge.kitchen.with_files(body(bound.within))
    within = await judge.ask(operation, request, body=valid)
    judge.find(operation, "limits", what, None if within.is_success else f"at it: {within}")


async def _try_query(judge: Judge, operation: OracleOperation) -> None:
    entry = judge.oracle.document()["paths"][operation.path][operation.method.lower()]
    for parameter in entry.get("parameters", ()):
        if parameter["in"] != "query":
            continue
        name = parameter["name"]
        for bound in bounds(parameter["schema"], judge.named, {}):
            what = f"query.{name}: {bound.what}"
            try:
                request = await judge.prepared(operation)
            except NotPrepared as error:
                judge.find(operation, "limits", what, str(error))
                continue
            beyond = await judge.ask(operation, request, query={name: bound.beyond})
            within = await judge.ask(operation, request, query={name: bound.within})
            fault = param_fault(beyond, name)
            if fault is None and not within.is_success:
                fault = f"at it: {within}"
            judge.find(operation, "limits", what, fault)
