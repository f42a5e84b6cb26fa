"""What a server's answer says where it is not a success, as a fault with advice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from famulus_schemas.inference import CANNOT_SEE, BackendFault, FaultKind

MESSAGE_CHARS_MAX = 1000
"""Of a server's own message, what is passed on."""

CONTEXT_EXCEEDED = "context_length_exceeded"
_TOO_LONG = (
    "maximum context length",
    "maximum model length",
    "exceeds the available context size",
)
"""By which vLLM and SGLang, older vLLMs, and llama.cpp say it, who have no code for it."""

_CANNOT_SEE = re.compile(
    r"at most 0 image|not a multimodal model|image input is not supported|"
    r"not support image|image_url is only supported by|support image input|"
    r"data required for image input",
    re.IGNORECASE,
)
"""By which vLLM, llama.cpp, Ollama, OpenAI and hosted routers say it, under any status."""

_KINDS: dict[int, FaultKind] = {
    404: "not_found",
    405: "unsupported",
    408: "timeout",
    429: "overloaded",
    501: "unsupported",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an error body says, whichever of the usual forms it has."""

    message: str = ""
    code: str | None = None
    param: str | None = None
    is_api_error: bool = False
    """Whether it has the form of OpenAI's API, so that the path itself is served."""


def fault_of_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, backend: str, url: str, now: float
) -> BackendFault:
    """The fault that a status other than 200 stands for."""
    said = read_error(body)
    kind, message = _meaning(status, said, headers, url)
    return BackendFault(
        kind,
        message[:MESSAGE_CHARS_MAX],
        backend=backend,
        status=status,
        code=_code(said),
        param=said.param,
        retry_after_s=_retry_after_s(headers, now),
    )


def fault_of_error(body: bytes, *, backend: str) -> BackendFault | None:
    """The fault that a body or event sent under status 200 tells of; None where it is none."""
    said = read_error(body)
    if not said.is_api_error:
        return None
    status = int(said.code) if said.code and said.code.isdigit() else None
    kind: FaultKind = "broken"
    if status is not None and 400 <= status < 600:
        kind = _kind(status)
    if _CANNOT_SEE.search(said.message):
        kind = "refused"
    message = said.message or "it sent an error without a message"
    return BackendFault(
        kind,
        message[:MESSAGE_CHARS_MAX],
        backend=backend,
        status=status,
        code=_code(said),
        param=said.param,
    )


def read_error(body: bytes) -> Said:
    """What the body says; empty where it is in none of the usual forms."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return Said()
    if not isinstance(value, dict):
        return Said()
    error = value.get("error")
    if isinstance(error, dict):
        return _said(error)
    if isinstance(error, str) and error:
        return Said(message=error, is_api_error=True)
    if value.get("object") == "error":
        return _said(value)
    detail = value.get("detail")
    if isinstance(detail, str):
        return Said(message=detail)
    if detail:
        return Said(message=msgspec.json.encode(detail).decode())
    return Said(message=_text(value.get("message")) or "")


def _said(error: Mapping[str, Any]) -> Said:
    return Said(
        message=_text(error.get("message")) or "",
        code=_text(error.get("code")),
        param=_text(error.get("param")),
        is_api_error=True,
    )


def _text(value: Any) -> str | None:
    # vLLM gives its HTTP status, a number, as the code.
    return str(value) if isinstance(value, str | int | float) and value != "" else None


def _kind(status: int) -> FaultKind:
    if status in _KINDS:
        return _KINDS[status]
    return "refused" if 400 <= status < 500 else "broken"


def _meaning(
    status: int, said: Said, headers: Mapping[str, str], url: str
) -> tuple[FaultKind, str]:
    if status in (401, 403):
        # The server's own words are left out: they may repeat part of the key.
        return "refused", f"it does not accept our API key ({status}); set the server's api_key"
    if _CANNOT_SEE.search(said.message):
        # llama.cpp takes it for a fault of its own.
        return "refused", said.message
    if 300 <= status < 400:
        target = headers.get("Location", "elsewhere").partition("?")[0]
        return "broken", f"it redirects to {target}; give that server's own URL"
    if status == 404 and not said.is_api_error:
        path = urlsplit(url).path
        return "unsupported", f"it has no {path}; check that its URL ends where its API begins"
    return _kind(status), said.message or f"it answered with status {status}"


def _code(said: Said) -> str | None:
    """A code in OpenAI's sense: a name, not a status again."""
    if any(words in said.message for words in _TOO_LONG):
        return CONTEXT_EXCEEDED
    if _CANNOT_SEE.search(said.message):
        return CANNOT_SEE
    return None if said.code is None or said.code.isdigit() else said.code


def _retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    value = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None
