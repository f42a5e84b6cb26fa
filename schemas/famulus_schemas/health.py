"""How a plugin says that it is well."""

from __future__ import annotations

from typing import Literal

import msgspec


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin's answer to a health check; `detail` says what to do where it is not `ok`."""

    status: Literal["ok", "degraded", "down"] = "ok"
    detail: str = ""
