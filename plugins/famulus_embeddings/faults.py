"""What can go wrong beside what model servers say themselves."""

from __future__ import annotations

from famulus_schemas.errors import Fault

# Not a 404 or 400: whoever searches a store did not name the model, and cannot name another.
CANNOT_EMBED = Fault(
    503,
    "embedder_unavailable",
    "The embedding model '{model}' cannot be used: {reason}",
    "server_error",
)
