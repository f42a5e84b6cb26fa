"""Jupyter's messages, as far as a box needs them; what else a kernel says is passed over."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")


class Forged(Exception):
    """It is not what a kernel says that runs our part."""


class Header(msgspec.Struct, frozen=True):
    """Of a message, or of the one that it answers; the latter is empty where there is none."""

    msg_id: str = ""
    msg_type: str = ""


class Message(msgspec.Struct, frozen=True):
    """What a kernel, or its gateway in its name, says."""

    header: Header
    content: msgspec.Raw
    parent_header: Header | None = None

    @property
    def kind(self) -> str:
        """Such as `stream`."""
        return self.header.msg_type

    @property
    def answers(self) -> str:
        """The id of the request that it belongs to."""
        return self.parent_header.msg_id if self.parent_header is not None else ""

    def read(self, content: type[T]) -> T:
        """Its content. Raises Forged."""
        return decoded(self.content, content)


class Status(msgspec.Struct, frozen=True):
    """Content of `status`."""

    execution_state: str


class Stream(msgspec.Struct, frozen=True):
    """Content of `stream`."""

    name: str
    text: str


class Bundle(msgspec.Struct, frozen=True):
    """What is shown, in the forms that are looked at."""

    plain: str = msgspec.field(name="text/plain", default="")
    png: str = msgspec.field(name="image/png", default="")
    jpeg: str = msgspec.field(name="image/jpeg", default="")


class Shown(msgspec.Struct, frozen=True):
    """Content of `display_data` and `execute_result`."""

    data: Bundle


class Failure(msgspec.Struct, frozen=True):
    """Content of `error`."""

    ename: str = ""
    evalue: str = ""
    traceback: list[str] = []


class Value(msgspec.Struct, frozen=True):
    """What became of an expression."""

    status: str
    data: Bundle = Bundle()
    ename: str = ""
    evalue: str = ""


class ExecuteReply(msgspec.Struct, frozen=True):
    """Content of `execute_reply`."""

    status: str
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = []
    user_expressions: dict[str, Value] = {}


Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Answer(msgspec.Struct, frozen=True):
    """What our part in a kernel answers; see `resident.py`."""

    kind: str
    text: str = ""
    size: Size = 0
    files: list[tuple[str, Size]] = []
    deleted: list[str] = []
    cuts: dict[str, Size] = {}
    packages: list[str] = []


def decoded(data: bytes | msgspec.Raw, to: type[T]) -> T:
    """What was said, in its form. Raises Forged."""
    try:
        return msgspec.json.decode(data, type=to)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Forged(f"it is no {to.__name__}") from error


def unpacked(text: str) -> bytes:
    """What base64 stands for; line ends are passed over, as notebooks write them. Raises Forged."""
    try:
        return base64.b64decode(text.replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Forged("it is no base64") from error


def packed(data: bytes) -> str:
    """The data in base64."""
    return base64.b64encode(data).decode()


def request(
    id: str, session: str, code: str, *, silent: bool, expressions: dict[str, str] | None = None
) -> str:
    """An `execute_request`."""
    message: dict[str, Any] = {
        "channel": "shell",
        "header": {
            "msg_id": id,
            "msg_type": "execute_request",
            "session": session,
            "username": "famulus",
            "date": "1970-01-01T00:00:00Z",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": expressions or {},
            "allow_stdin": False,
            "stop_on_error": False,
        },
        "buffers": [],
    }
    return msgspec.json.encode(message).decode()
