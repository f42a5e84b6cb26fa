"""The errors of files and uploads, beyond those that others share."""

from __future__ import annotations

from famulus_schemas.errors import Fault

NO_DOWNLOAD = Fault(400, None, "Not allowed to download files of purpose: {purpose}")
PROJECT_FULL = Fault(
    400,
    "storage_quota_exceeded",
    "The files of this project would be larger than {limit} bytes together. Delete some first.",
)
UPLOADS_PENDING = Fault(
    400,
    "too_many_uploads",
    "{limit} uploads are pending. Complete or cancel some, or wait until they expire.",
)
UPLOAD_OVER = Fault(400, None, "Cannot {action} an Upload with status '{status}'.")
TOO_MANY_PARTS = Fault(400, "too_many_parts", "The Upload {id} has {limit} parts already.")
TOO_MANY_BYTES = Fault(
    400,
    "too_many_bytes",
    "The parts of the Upload {id} are larger than its {bytes} bytes allow.",
)
NO_PART = Fault(400, "invalid_value", "No part found with id '{id}' in the Upload {upload}.")
PART_TWICE = Fault(400, "invalid_value", "The part '{id}' is listed more than once.")
WRONG_SIZE = Fault(
    400,
    "invalid_value",
    "The parts have {got} bytes together, but the Upload was created for {expected} bytes.",
)
WRONG_MD5 = Fault(
    400, "invalid_value", "The md5 of the parts is '{got}', but '{expected}' was expected."
)
