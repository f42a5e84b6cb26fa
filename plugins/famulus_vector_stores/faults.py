"""The errors of vector stores, beyond those that others share."""

from __future__ import annotations

from famulus_schemas.errors import Fault

EXPIRED = Fault(
    400,
    "vector_store_expired",
    "The vector store {id} has expired. Its files are still listed: make a new store of them.",
)
STORE_FULL = Fault(
    400,
    "vector_store_full",
    "The vector store {id} would have more than {limit} files. Delete some first, or use another.",
)
IN_TOO_MANY = Fault(
    400,
    "too_many_vector_stores",
    "The file {id} is in {limit} vector stores already, which is the limit.",
)
TOO_FAST = Fault(
    429,
    "rate_limit_exceeded",
    "Files were added to the vector store {id} {limit} times within a minute, which is the limit. "
    "Wait, or add many at once by a file batch.",
    "requests",
)
NO_FILE = Fault(404, None, "No file found with id '{id}' in vector store '{store}'.")
NO_BATCH = Fault(404, None, "No file batch found with id '{id}' in vector store '{store}'.")
BATCH_OVER = Fault(400, None, "Cannot cancel file batch with status '{status}'.")
NOT_SERVED = Fault(
    503,
    "embedding_model_unavailable",
    "The vector store {id} was made with the embedding model '{model}', which cannot be used now: "
    "{reason}",
    "server_error",
)
