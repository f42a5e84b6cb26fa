"""The errors of containers, beyond those that others share."""

from __future__ import annotations

from famulus_schemas.errors import Fault

EXPIRED = Fault(
    404,
    "container_expired",
    "The container {id} has expired, and its files are gone. Create another one.",
)
TOO_MANY = Fault(
    400,
    "too_many_containers",
    "{limit} containers are running. Delete some, or wait until they expire.",
)
TOO_MANY_FILES = Fault(400, "too_many_files", "The container would have more than {limit} files.")
TOO_MANY_BYTES = Fault(
    400,
    "too_many_bytes",
    "The container's files would be larger than {limit} bytes together.",
)
NO_SKILLS = Fault(400, "unsupported", "This server has no skills. Leave '{name}' out.")
NO_NETWORK = Fault(
    400,
    "unsupported",
    "Nothing outside can be reached from this server's containers: '{name}' must be disabled.",
)
NO_FILE = Fault(
    400,
    "missing_required_parameter",
    "Missing required parameter: 'file' or 'file_id'; one of them must be given.",
)
EITHER = Fault(400, "invalid_value", "'file' and 'file_id' may not be given together.")
