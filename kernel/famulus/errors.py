"""Exceptions to the wire's error envelope: the only place that knows its form."""

from __future__ import annotations

from typing import overload

import msgspec

from famulus_schemas.blobs import BlobsUnavailable
from famulus_schemas.errors import (
    BACKEND_DOWN,
    BACKEND_LIMIT,
    BACKEND_REFUSED,
    BLOBS_UNAVAILABLE,
    INTERNAL,
    MODEL_NOT_FOUND,
    STORAGE_FULL,
    UNKNOWN_CURSOR,
    ErrorEnvelope,
    Problem,
)
from famulus_schemas.inference import BackendFault
from famulus_schemas.records import StoreUnavailable, UnknownCursor


def envelope(problem: Problem) -> bytes:
    """The body of an error's answer."""
    return msgspec.json.encode(ErrorEnvelope(error=problem.body))


@overload
def as_problem(error: Exception) -> Problem | None: ...


@overload
def as_problem(error: Exception, *, request_id: str) -> Problem: ...


def as_problem(error: Exception, *, request_id: str | None = None) -> Problem | None:
    """What a client is told of an exception.

    Without `request_id`, None for an exception that only a bug can cause; with it, the words
    for that too.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreUnavailable):
        return Problem(STORAGE_FULL, headers={"retry-after": "1"}, reason=str(error))
    if isinstance(error, BlobsUnavailable):
        return Problem(BLOBS_UNAVAILABLE, headers={"retry-after": "1"}, reason=str(error))
    if isinstance(error, UnknownCursor):
        return Problem(UNKNOWN_CURSOR, param=error.name, name=error.name, id=error.id)
    if isinstance(error, BackendFault):
        return _of_backend(error)
    return None if request_id is None else Problem(INTERNAL, request_id=request_id)


def _of_backend(fault: BackendFault) -> Problem:
    if fault.kind == "not_found":
        served = "see the list of models"
        return Problem(MODEL_NOT_FOUND, param="model", model=fault.message, served=served)
    if fault.kind in ("refused", "unsupported"):
        return Problem(BACKEND_REFUSED, param=fault.param, reason=fault.message)
    wait = {} if fault.retry_after_s is None else {"retry-after": f"{fault.retry_after_s:.0f}"}
    if fault.kind == "overloaded":
        return Problem(BACKEND_LIMIT, headers=wait, reason=fault.message)
    return Problem(BACKEND_DOWN, backend=fault.backend, reason=fault.message)
