"""Operations: one typed function behind one method and path.

    @operation("POST", "/things/{thing_id}", action="things.write")
    async def modify_thing(self, call: Call, thing_id: str, body: ModifyThing) -> Thing: ...

Parameters are bound by name: `call`, the path's own names, `body` (a struct, `Struct | None`
where the body may be left out, or `dict[str, msgspec.Raw]` where every field must be kept as it
came), `form` (`Form[Struct]`, instead of `body` where there are files; where a client may send
either, both are `... | None`, and one of them comes) and `query` (a struct of query parameters).
The answer is a struct, `Wire[Struct]`, `EventStream[Union]`, `Bytes`, or a union of these. The
OpenAPI entry is made from the same signature, so it cannot differ from what is served.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, TypeVar

import msgspec

from famulus.answers import Bytes, EventStream, Wire
from famulus.forms import Form
from famulus_schemas.identity import Principal

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Proceed = Callable[[], Awaitable[Any]]
"""Serves a call: whatever comes next around it, and in the end its operation."""
Identify = Callable[[], Awaitable[Principal | None]]
"""Says who asks, or raises: whatever comes next around it, and in the end `authenticate`."""

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

_PATH_NAME = re.compile(r"\{([a-z_]+)(?::path)?\}")
_MARK = "__famulus_operation__"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, bound to the object that serves it."""

    method: Method
    path: str
    action: str
    """What `authorize` is asked about, as `resource.verb`."""
    function: Callable[..., Awaitable[Any]]
    name: str
    """The OpenAPI operationId."""
    summary: str
    path_names: tuple[str, ...]
    resource: str | None
    """The path name that says which resource `authorize` is asked about."""
    body_type: Any = None
    """What the body decodes to; None where the operation takes none."""
    body_optional: bool = False
    form_type: Any = None
    """What the fields of a form decode to; None where the operation takes no form."""
    query_type: type[msgspec.Struct] | None = None
    answer_type: Any = None
    documented_body: Any = None
    documented_answer: Any = None
    body_bytes_max: int | None = None
    """Overrides the server's limit for this operation."""
    ends_with_client: bool = False
    """Whether it is cancelled once its client has left before the answer."""
    keeps_answer: bool = True
    """Whether its answer may be kept, to be given to who asks again."""
    tags: tuple[str, ...] = ()


class OperationError(TypeError):
    """A function cannot be an operation; says which and why."""


def operation(
    method: Method,
    path: str,
    *,
    action: str,
    name: str | None = None,
    documented_body: Any = None,
    documented_answer: Any = None,
    body_bytes_max: int | None = None,
    ends_with_client: bool = False,
    keeps_answer: bool = True,
    tags: Iterable[str] = (),
) -> Callable[[F], F]:
    """Mark a method as an operation; `operations(self)` gathers them.

    `ends_with_client` is for what is of no use, and costs somebody, once nobody waits for it.
    Without `keeps_answer` it takes no Idempotency-Key, as where it answers with a secret.

    `documented_body` and `documented_answer` go into the OpenAPI document where the signature
    itself says less (a body kept field by field, an answer passed on as bytes).
    """

    def mark(function: F) -> F:
        setattr(
            function,
            _MARK,
            {
                "method": method,
                "path": path,
                "action": action,
                "name": name or function.__name__,
                "documented_body": documented_body,
                "documented_answer": documented_answer,
                "body_bytes_max": body_bytes_max,
                "ends_with_client": ends_with_client,
                "keeps_answer": keeps_answer,
                "tags": tuple(tags),
            },
        )
        return function

    return mark


def operations(owner: object) -> list[Operation]:
    """Every marked method of an object, in the order in which its class defines them."""
    found = []
    for attribute in _names_in_order(type(owner)):
        # Looked up on the class first: a port of a plugin that is not running would raise.
        mark = getattr(inspect.getattr_static(type(owner), attribute), _MARK, None)
        if mark is not None:
            found.append(_bind(getattr(owner, attribute), mark))
    return found


def _names_in_order(owner: type) -> list[str]:
    names: dict[str, None] = {}
    for base in reversed(owner.__mro__):
        names.update(dict.fromkeys(vars(base)))
    return list(names)


def _bind(function: Callable[..., Awaitable[Any]], mark: dict[str, Any]) -> Operation:
    where = f"{getattr(function, '__qualname__', function)} ({mark['method']} {mark['path']})"
    if not inspect.iscoroutinefunction(inspect.unwrap(function)):
        raise OperationError(f"{where}: must be async def")
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise OperationError(f"{where}: its annotations must be importable: {error}") from error
    path_names = tuple(_PATH_NAME.findall(mark["path"]))
    parameters = list(inspect.signature(function).parameters)
    known = {"call", "body", "form", "query", *path_names}
    for parameter in parameters:
        if parameter not in known:
            raise OperationError(f"{where}: parameter {parameter!r} is not in the path, nor known")
    missing = [name for name in path_names if name not in parameters]
    if missing or not parameters or parameters[0] != "call":
        raise OperationError(f"{where}: must take call first, and every name of the path {missing}")
    body_type, body_optional = _optional(hints.get("body"))
    form_type, form_optional = _form(hints.get("form"), where)
    if form_type is not None and mark["ends_with_client"]:
        raise OperationError(f"{where}: with a form there is no ends_with_client")
    if form_type is not None and (form_optional or body_type is not None):
        if not (form_optional and body_optional):
            raise OperationError(f"{where}: with a form and a body, each must be `... | None`")
        # Exactly one of them comes.
        body_optional = False
    doc = inspect.getdoc(function) or mark["name"].replace("_", " ").capitalize()
    return Operation(
        function=function,
        summary=doc.split("\n\n")[0].replace("\n", " ").rstrip("."),
        path_names=path_names,
        resource=path_names[-1] if path_names else None,
        body_type=body_type,
        body_optional=body_optional,
        form_type=form_type,
        query_type=hints.get("query"),
        answer_type=hints.get("return"),
        **mark,
    )


def _optional(hint: Any) -> tuple[Any, bool]:
    if hint is None:
        return None, False
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        rest = [argument for argument in arguments if argument is not type(None)]
        return rest[0], True
    return hint, False


def _form(hint: Any, where: str) -> tuple[Any, bool]:
    form, optional = _optional(hint)
    if form is None:
        return None, False
    if typing.get_origin(form) is not Form:
        raise OperationError(f"{where}: a form is annotated as Form[Struct]")
    return typing.get_args(form)[0], optional


def answer_parts(answer_type: Any) -> tuple[Any, Any, bool]:
    """Split an annotation into (JSON type, event type, whether raw bytes may come)."""
    json_type: Any = None
    event_type: Any = None
    raw = False
    union = typing.get_origin(answer_type) in (typing.Union, _UNION)
    for part in typing.get_args(answer_type) if union else (answer_type,):
        origin = typing.get_origin(part)
        if origin is Wire:
            json_type = typing.get_args(part)[0]
        elif origin is EventStream:
            event_type = typing.get_args(part)[0]
        elif part is Bytes:
            raw = True
        elif part is not None and part is not type(None):
            json_type = part
    return json_type, event_type, raw


_UNION = type(int | str)
