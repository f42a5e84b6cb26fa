"""The ways in which a model server fails, as a scripted backend can play them."""

from __future__ import annotations

from typing import Literal

import msgspec

from famulus_schemas.inference import BackendFault, FaultKind

Manner = Literal[
    "status",
    "error_body",
    "error_event",
    "raw_event",
    "raw_body",
    "hang_up",
    "reset",
    "stall",
    "babble",
]

_KIND_OF_STATUS: dict[int, FaultKind] = {
    400: "refused",
    401: "refused",
    403: "refused",
    404: "not_found",
    405: "unsupported",
    408: "timeout",
    413: "refused",
    422: "refused",
    429: "overloaded",
    501: "unsupported",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
_STATUS_OF_KIND = {"overloaded": 503, "refused": 400, "not_found": 404, "unsupported": 501}


class ScriptedFault(msgspec.Struct, frozen=True, kw_only=True):
    """One failure, at the wire (`manner`) and as a backend in this process raises it (`kind`)."""

    manner: Manner
    kind: FaultKind
    message: str
    status: int = 200
    """Sent over HTTP where no answer was begun."""
    code: int | str | None = None
    type: str = "InternalServerError"
    retry_after_s: float | None = None
    content_type: str = "application/json"
    data: bytes = b""
    """What is sent as it stands, by `raw_event` and `raw_body`, again and again by `babble`."""

    def raised_by(self, backend: str) -> BackendFault:
        """The exception that a correct backend makes of it."""
        return BackendFault(
            self.kind,
            self.message,
            backend=backend,
            status=self.status if self.manner == "status" else None,
            code=None if self.code is None else str(self.code),
            retry_after_s=self.retry_after_s,
        )

    def error_json(self) -> bytes:
        """The error body as vLLM writes it: `code` is a number."""
        code = self.code if self.code is not None else self.status
        error = {"message": self.message, "type": self.type, "param": None, "code": code}
        return msgspec.json.encode({"error": error})


class Broken(Exception):
    """A scripted answer has come to its fault."""

    def __init__(self, fault: ScriptedFault) -> None:
        self.fault = fault
        super().__init__(fault.message)


def status(
    code: int, message: str = "", *, retry_after_s: float | None = None, type: str = ""
) -> ScriptedFault:
    """Answer with an HTTP status and an error body; `retry_after_s` becomes the header."""
    return ScriptedFault(
        manner="status",
        kind=_KIND_OF_STATUS.get(code, "broken"),
        message=message or f"scripted status {code}",
        status=code,
        code=code,
        type=type or ("NotFoundError" if code == 404 else "BadRequestError"),
        retry_after_s=retry_after_s,
    )


def too_long(context_tokens: int = 2048) -> ScriptedFault:
    """Refuse a prompt that the model's context cannot hold, with OpenAI's code for it."""
    return ScriptedFault(
        manner="status",
        kind="refused",
        message=f"This model's maximum context length is {context_tokens} tokens. Please reduce "
        "the length of the messages.",
        status=400,
        code="context_length_exceeded",
        type="invalid_request_error",
    )


def kind(kind: FaultKind, message: str = "scripted fault") -> ScriptedFault:
    """Fail in this way in process, and over HTTP in the way that a backend should read as it."""
    if kind == "unreachable":
        return ScriptedFault(manner="reset", kind=kind, message=message)
    if kind == "timeout":
        return ScriptedFault(manner="stall", kind=kind, message=message)
    code = _STATUS_OF_KIND.get(kind, 500)
    return ScriptedFault(manner="status", kind=kind, message=message, status=code, code=code)


def error_body(message: str = "EngineCore died") -> ScriptedFault:
    """Answer 200, with an error where the completion should be."""
    return ScriptedFault(manner="error_body", kind="broken", message=message, code=500)


def error_event(message: str = "EngineCore encountered an issue") -> ScriptedFault:
    """Send an error inside the stream and then `[DONE]`: how vLLM tells that its engine died."""
    return ScriptedFault(manner="error_event", kind="broken", message=message, code=500)


def reset(message: str = "connection reset by peer") -> ScriptedFault:
    """Cut the connection with a TCP reset."""
    return ScriptedFault(manner="reset", kind="unreachable", message=message)


def hang_up(message: str = "the stream ended early") -> ScriptedFault:
    """Close the connection before the answer is whole, as a killed server does."""
    return ScriptedFault(manner="hang_up", kind="broken", message=message)


def stall(message: str = "no token arrived in time") -> ScriptedFault:
    """Send nothing more, and keep the connection open until the client leaves."""
    return ScriptedFault(manner="stall", kind="timeout", message=message)


def babble(data: bytes = b": ping\n\n") -> ScriptedFault:
    """Send what is no part of an answer, again and again, until the client leaves."""
    return ScriptedFault(
        manner="babble", kind="timeout", message="no token arrived in time", data=data
    )


def empty_chunks() -> ScriptedFault:
    """Send chunks without content, again and again, until the client leaves."""
    chunk = b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}'
    return babble(b"data: " + chunk + b"\n\n")


def garbage(data: bytes = b"data: {\x00\xff not json\n\n") -> ScriptedFault:
    """Send bytes that are no answer, and end the answer properly."""
    return ScriptedFault(manner="raw_event", kind="broken", message="garbage", data=data)


def truncated_utf8() -> ScriptedFault:
    """End the stream properly, but in the middle of a character."""
    data = 'data: {"choices":[{"index":0,"delta":{"content":"caf\u00e9'.encode()[:-1]
    return ScriptedFault(manner="raw_event", kind="broken", message="truncated UTF-8", data=data)


def oversized_line(size_bytes: int = 32 << 20) -> ScriptedFault:
    """Send one line of the stream that is `size_bytes` long."""
    return ScriptedFault(
        manner="raw_event",
        kind="broken",
        message="oversized line",
        data=b"data: " + b"x" * size_bytes,
    )


def wrong_content_type(status: int = 200) -> ScriptedFault:
    """Answer with a web page, as a proxy in between does."""
    return ScriptedFault(
        manner="raw_body",
        kind="unsupported" if status == 404 else "broken",
        message="expected JSON, got text/html",
        status=status,
        content_type="text/html",
        data=b"<html><body>It works!</body></html>",
    )
