"""Faults of model servers in words for a client."""

from __future__ import annotations

import math

import msgspec

from famulus import Problem
from famulus_schemas.errors import (
    BACKEND_DOWN,
    BACKEND_LIMIT,
    BACKEND_REFUSED,
    MODEL_NOT_FOUND,
    NOT_SUPPORTED,
    Fault,
)
from famulus_schemas.inference import CANNOT_SEE, BackendFault

CANNOT_DO = Fault(
    400, "unsupported", "The model '{model}' on backend '{backend}' cannot do this: {reason}"
)
BACKEND_FAILED = Fault(
    503,
    "backend_unavailable",
    "The model server '{backend}' cannot answer: {reason}",
    "server_error",
)


def problem_of(fault: BackendFault, *, model: str) -> Problem:
    """What a client that asked for `model` is told; the status says what it should do next."""
    # Some servers repeat the status where OpenAI has a name.
    code = None if fault.code is None or fault.code.isdigit() else fault.code
    if fault.kind == "not_found":
        return Problem(
            MODEL_NOT_FOUND, param="model", model=model, served=f"not by {fault.backend} any more"
        )
    if fault.code == CANNOT_SEE:
        return Problem(
            NOT_SUPPORTED,
            param=fault.param or "messages",
            model=model,
            backend=fault.backend,
            what="pictures",
        )
    if fault.kind == "unsupported":
        return Problem(CANNOT_DO, model=model, backend=fault.backend, reason=fault.message)
    if fault.kind == "refused" and fault.status not in (401, 403):
        refused = msgspec.structs.replace(
            BACKEND_REFUSED, code=code, status=413 if fault.status == 413 else 400
        )
        return Problem(refused, param=fault.param, reason=fault.message)
    headers = {}
    if fault.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(fault.retry_after_s)))
    if fault.kind == "overloaded" and fault.status in (None, 429):
        limit = msgspec.structs.replace(BACKEND_LIMIT, code=code or BACKEND_LIMIT.code)
        return Problem(limit, headers=headers, reason=fault.message)
    down = BACKEND_DOWN if fault.kind in ("unreachable", "timeout") else BACKEND_FAILED
    return Problem(down, headers=headers, backend=fault.backend, reason=fault.message)
