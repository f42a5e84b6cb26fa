"""One request as an operation sees it: who asks, under which id, with what headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

from famulus_schemas.identity import Principal

if TYPE_CHECKING:
    from famulus.forms import Form
    from famulus_schemas.limits import Reserved


class Call:
    """The context of one request; the first argument of every operation."""

    __slots__ = (
        "answer",
        "body",
        "brought_lines",
        "client",
        "form",
        "headers",
        "method",
        "path",
        "principal",
        "query_string",
        "request_id",
        "reserved",
        "response_headers",
        "resume_path",
    )

    def __init__(
        self,
        *,
        method: str,
        path: str,
        query_string: bytes,
        headers: Headers,
        client: str,
        request_id: str,
        principal: Principal,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.headers = headers
        self.client = client
        self.request_id = request_id
        self.principal = principal
        self.body = b""
        """The request's body as received; empty for methods that have none."""
        self.form: Form[Any] | None = None
        """The request's form, for operations that take one; it is on its way in."""
        self.response_headers: dict[str, str] = {}
        """Headers to send with the answer, lower-case names; an answer that is kept to be given
        again is kept with them."""
        self.brought_lines = b""
        """Headers to send as they are, of this request alone, with whatever it is answered: lines,
        each with its end, of names in small letters and values that cannot end a line."""
        self.resume_path: str | None = None
        """Where the answer, if it is a stream, can be read again by GET; set before a commit."""
        self.reserved: Reserved | None = None
        """What was reserved for what the call begins, to be told when that is over; whoever serves
        it and begins nothing makes it None, and it is given back."""
        self.answer: bytes | None = None
        """The JSON that the call is answered with if that is lost after its commit; set before one
        that does not itself write what is answered."""

    @property
    def project(self) -> str:
        """The project that everything the call touches belongs to."""
        return self.principal.project
