"""Functions of a plugin that models may call: typed methods, run by the server.

    @tool
    async def get_weather(
        self, city: Annotated[str, Meta(description="Such as Oslo")], days: int = 1
    ) -> list[Forecast]:
        \"\"\"The weather of a city for the next days.\"\"\"

    @hookimpl
    def register_tools(self) -> list[ToolKind]:
        return tools(self)

The signature is what the model is told and what its arguments are held to; the docstring is the
description. An assistant lists the function by its name, and may leave out everything else. A
first parameter `scope: ToolScope` says on whose behalf the call is made.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import typing
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, overload

import msgspec

from famulus.in_thread import in_thread
from famulus_schemas.inference import OfferedFunction
from famulus_schemas.tooling import ToolCall, ToolKind, ToolOutput, ToolScope

F = TypeVar("F", bound=Callable[..., Any])

AT_ONCE_MAX = 16

_MARK = "__famulus_tool__"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class ToolError(TypeError):
    """A method cannot be a tool; says which and why."""


@overload
def tool(function: F, /) -> F: ...


@overload
def tool(
    *, name: str | None = None, timeout_s: float | None = None, at_once_max: int = AT_ONCE_MAX
) -> Callable[[F], F]: ...


def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    at_once_max: int = AT_ONCE_MAX,
) -> F | Callable[[F], F]:
    """Mark a method as a function for models; `tools(self)` gathers them.

    A method that is not async runs in a thread. `timeout_s` counts from the call, with the wait
    for one of the `at_once_max` places; the setting `tool_s` of runs holds besides.
    """

    def mark(function: F) -> F:
        described = {
            "name": name or function.__name__,
            "timeout_s": timeout_s,
            "at_once_max": at_once_max,
        }
        setattr(function, _MARK, described)
        return function

    return mark if function is None else mark(function)


def tools(owner: object) -> list[ToolKind]:
    """Every marked method of an object, in the order in which its class defines them."""
    found: list[ToolKind] = []
    names: dict[str, None] = {}
    for base in reversed(type(owner).__mro__):
        names.update(dict.fromkeys(vars(base)))
    for attribute in names:
        # Looked up on the class first: a port of a plugin that is not running would raise.
        mark = getattr(inspect.getattr_static(type(owner), attribute), _MARK, None)
        if mark is not None:
            found.append(PluginFunction(getattr(owner, attribute), **mark))
    return found


class PluginFunction:
    """A tool kind that stands for one function, and runs it on the server."""

    type = "function"
    place: Literal["server", "client"] = "server"

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        timeout_s: float | None = None,
        at_once_max: int = AT_ONCE_MAX,
    ) -> None:
        where = f"{getattr(function, '__qualname__', function)} (tool {name!r})"
        if _NAME.fullmatch(name) is None:
            raise ToolError(f"{where}: its name must be 1 to 64 letters, digits, '_' or '-'")
        if at_once_max < 1 or (timeout_s is not None and timeout_s <= 0):
            raise ToolError(f"{where}: at_once_max must be 1 or more, timeout_s more than 0")
        self.name = name
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._timeout_s = timeout_s
        self._at_once_max = at_once_max
        self._places = asyncio.Semaphore(at_once_max)
        self._takes_scope, arguments = _parameters(function, where)
        self._arguments = _struct(name, arguments, where)
        self._own = OfferedFunction(
            name=name,
            description=inspect.getdoc(function),
            parameters=_schema(self._arguments, where),
        )

    def offers(self, definition: Mapping[str, Any]) -> Sequence[OfferedFunction]:
        """The function, where the definition names it; what it leaves out is the plugin's."""
        function = definition.get("function", {})
        if function.get("name") != self.name:
            return []
        return [
            OfferedFunction(
                name=self.name,
                description=function.get("description") or self._own.description,
                parameters=function.get("parameters") or self._own.parameters,
                strict=function.get("strict"),
            )
        ]

    async def run(self, call: ToolCall, scope: ToolScope) -> AsyncIterator[ToolOutput]:
        """Run one call; arguments that do not fit are told to the model."""
        try:
            decoded = msgspec.json.decode(call.arguments.strip() or "{}", type=self._arguments)
        except (msgspec.DecodeError, RecursionError) as error:
            text = f"Error: the arguments of {self.name} do not fit: {error}"
            yield ToolOutput(text=text, is_error=True)
            return
        named = msgspec.structs.asdict(decoded)
        first = (scope,) if self._takes_scope else ()
        yield await self._within_limits(partial(self._function, *first, **named))

    async def _within_limits(self, function: Callable[[], Any]) -> ToolOutput:
        has_place = False
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                await self._places.acquire()
                has_place = True
                return _output(await self._result(function))
        except TimeoutError:
            if not limit.expired():
                raise
        waited = f"within {self._timeout_s:g} seconds"
        text = f"Error: {self.name} did not end {waited}."
        if not has_place:
            text = f"Error: all {self._at_once_max} places of {self.name} stayed taken {waited}."
        return ToolOutput(text=text, is_error=True)

    async def _result(self, function: Callable[[], Any]) -> Any:
        """Run it on a place already taken, which is given back when it has ended."""
        if not self._is_async:
            return await in_thread(function, name=self.name, ended=self._places.release)
        try:
            return await function()
        finally:
            self._places.release()


def _output(result: Any) -> ToolOutput:
    if isinstance(result, ToolOutput):
        return result
    text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    return ToolOutput(text=text)


def _parameters(
    function: Callable[..., Any], where: str
) -> tuple[bool, list[tuple[inspect.Parameter, Any]]]:
    """Whether it takes the scope, and the model's arguments with their types."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolError(f"{where}: its annotations must be importable: {error}") from error
    parameters = list(inspect.signature(function).parameters.values())
    takes_scope = bool(parameters) and hints.get(parameters[0].name) is ToolScope
    arguments = parameters[1:] if takes_scope else parameters
    for parameter in arguments:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolError(f"{where}: parameter {parameter} must be one that is given by name")
        if parameter.name not in hints:
            raise ToolError(f"{where}: parameter {parameter.name!r} needs a type")
        if hints[parameter.name] is ToolScope:
            raise ToolError(f"{where}: the scope must be its first parameter")
    return takes_scope, [(parameter, hints[parameter.name]) for parameter in arguments]


def _struct(
    name: str, arguments: Sequence[tuple[inspect.Parameter, Any]], where: str
) -> type[msgspec.Struct]:
    """The arguments as a struct, strict, so that a made-up argument is told to the model."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (parameter.name, hint)
        if parameter.default is parameter.empty
        else (parameter.name, hint, parameter.default)
        for parameter, hint in arguments
    ]
    try:
        return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    except TypeError as error:
        raise ToolError(f"{where}: {error}") from error


def _schema(arguments: type[msgspec.Struct], where: str) -> dict[str, Any]:
    """The struct as a JSON Schema object, its own parts under `$defs`."""
    try:
        (root,), parts = msgspec.json.schema_components([arguments])
    except TypeError as error:
        raise ToolError(f"{where}: {error}") from error
    schema: dict[str, Any] = parts.pop(root["$ref"].rpartition("/")[2])
    schema.pop("title")
    return {**schema, "$defs": parts} if parts else schema
