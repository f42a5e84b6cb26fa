"""What an oracle is: somebody's word on what OpenAI's API is, operation by operation.

There are two: OpenAI's own OpenAPI document, and what the official client's types say. All that
is judged is judged by this interface, so that either will do; what only the document knows
(limits, what is required though it may be null) an oracle that does not know it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

Schema = Mapping[str, Any]
"""JSON Schema 2020-12 whose `$ref`s are `#/components/schemas/<name>` of `Oracle.document`."""


class OracleOperation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of OpenAI's API."""

    id: str
    """`createThread`, as the document and the report have it."""
    method: str
    """In capitals."""
    path: str
    """Relative to the base URL, which ends in `/v1`: `/threads/{thread_id}`."""
    group: str
    """The resource that the report puts it under: `assistants`, `runs`, `vector_stores`."""
    streams: bool = False
    """Whether `stream: true` has it answer with server-sent events."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Oracle(Protocol):
    """OpenAI's API as one source has it, with the overlay applied."""

    name: str
    """What the report calls it, with its version."""
    is_document: bool
    """Whether it is OpenAI's document: only then are properties and limits told in percent."""

    def operations(self) -> Sequence[OracleOperation]:
        """Every operation in scope, whoever serves it."""
        ...

    def request_schema(self, operation: OracleOperation) -> Schema | None:
        """The body's; None where it takes none. A multipart form is an object of its fields."""
        ...

    def response_schema(self, operation: OracleOperation, status: int = 200) -> Schema | None:
        """The body's; None where the source does not say, or it is not JSON."""
        ...

    def event_schema(self, name: str) -> Schema | None:
        """The `data` of a streamed event, such as `thread.run.created`; None for unknown ones."""
        ...

    def document(self) -> Mapping[str, Any]:
        """All of it as one OpenAPI 3.1 document that a fuzzer can load."""
        ...
