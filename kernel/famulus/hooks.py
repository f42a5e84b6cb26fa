"""How answers to hooks are gathered: three folds, and one typed method for each hook.

pluggy calls are synchronous: an async implementation gives back a coroutine, so `firstresult`
would take the first coroutine and not the first answer, and one that raises silences the rest.
So implementations are taken from pluggy once a world and awaited here, one at a time.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import typing
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from famulus import hookspecs
from famulus.markers import PROJECT_NAME
from famulus_schemas.errors import KEYS_UNCHECKED, Problem
from famulus_schemas.health import Health
from famulus_schemas.notices import Notice, RequestServed

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from famulus.call import Call
    from famulus.operations import Identify, Operation, Proceed
    from famulus_schemas.identity import Principal
    from famulus_schemas.inference import PromptMessage
    from famulus_schemas.records import Unit
    from famulus_schemas.runs import Run

_SPEC = f"{PROJECT_NAME}_spec"

Implementation = tuple[str, Callable[..., Any]]


class Authorize(Protocol):
    """As the hook of that name."""

    async def __call__(self, principal: Principal, action: str, resource: str | None) -> None:
        """Raise Problem to refuse."""


class HookError(Exception):
    """A plugin implements a hook wrongly; says which plugin and how."""


class Relay(pluggy.PluginManager):
    """pluggy's manager, which does not touch a plugin's ports while it looks for hooks."""

    def __init__(self) -> None:
        super().__init__(PROJECT_NAME)
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        if not inspect.isroutine(inspect.getattr_static(plugin, name, None)):
            return None
        return super().parse_hookimpl_opts(plugin, name)

    def implementations(self, hook: str, running: Callable[[str], bool]) -> list[Implementation]:
        """Who implements a hook, of those that run: first registered first, tryfirst before all."""
        place = {name: at for at, (name, _) in enumerate(self.list_name_plugin())}
        found = sorted(
            getattr(self.hook, hook).get_hookimpls(),
            key=lambda each: (each.trylast - each.tryfirst, place[each.plugin_name]),
        )
        return [(each.plugin_name, each.function) for each in found if running(each.plugin_name)]

    def add(self, plugin: object, name: str) -> None:
        """Register a plugin. Raises HookError for a hook that is misspelt or not of its form."""
        hooks = [each for each in dir(type(plugin)) if self.implements(type(plugin), each)]
        for hook in hooks:
            if not hasattr(getattr(hookspecs, hook, None), _SPEC):
                raise HookError(f"unknown hook {hook!r}; {_instead(hook)}")
        try:
            self.register(plugin, name)
        except pluggy.PluginValidationError as error:
            if self.has_plugin(name):
                self.unregister(name=name)
            raise HookError(str(error)) from error
        for hook in hooks:
            is_async = inspect.iscoroutinefunction(getattr(hookspecs, hook))
            if inspect.iscoroutinefunction(inspect.unwrap(getattr(plugin, hook))) != is_async:
                self.unregister(name=name)
                form = "async def" if is_async else "def, without async"
                raise HookError(f"the hook {hook!r} must be {form}")

    def implements(self, plugin_type: type, hook: str) -> bool:
        """Whether a class implements a hook."""
        function = inspect.getattr_static(plugin_type, hook, None)
        return getattr(function, f"{PROJECT_NAME}_impl", None) is not None


def _instead(name: str) -> str:
    known = [each for each in vars(hookspecs) if hasattr(getattr(hookspecs, each), _SPEC)]
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"


def collect(
    implementations: Sequence[Implementation], failed: Callable[[str, Exception], None]
) -> list[tuple[str, Any]]:
    """Ask all at boot and join their lists, each item with the plugin that gave it.

    One that raises is reported under its plugin and lists nothing.
    """
    found: list[tuple[str, Any]] = []
    for plugin, function in implementations:
        try:
            found.extend([(plugin, item) for item in function()])
        except Exception as error:  # Isolation: one plugin's mistake costs only what it adds.
            failed(plugin, error)
    return found


async def first(implementations: Sequence[Implementation], **arguments: Any) -> Any:
    """Ask one at a time until one answers. Exceptions are answers too, and propagate."""
    for _, function in implementations:
        answer = await function(**arguments)
        if answer is not None:
            return answer
    return None


async def each(
    implementations: Sequence[Implementation],
    failed: Callable[[str, Exception], None],
    **arguments: Any,
) -> None:
    """Tell all; one that raises is reported under its plugin and stops nobody else."""
    for plugin, function in implementations:
        try:
            await function(**arguments)
        except Exception as error:  # Isolation: one plugin's fault must not silence the others.
            failed(plugin, error)


class Hooks:
    """The request and life hooks of one world, resolved to plain tuples."""

    def __init__(self, relay: Relay, running: Callable[[str], bool]) -> None:
        def of(hook: str) -> tuple[Callable[..., Any], ...]:
            return tuple(function for _, function in relay.implementations(hook, running))

        self._authenticate = of("authenticate")
        idle = relay.implementations("authenticate", lambda name: not running(name))
        self._cannot_authenticate = [name for name, _ in idle]
        self._inside_out_authenticate = of("around_authenticate")[::-1]
        self._inside_out_login = of("around_login")[::-1]
        self._recognize = _recognizers(relay, running)
        self.authorize: Authorize = _all_agree(of("authorize"))
        """Ask whether a principal may; all must agree, and a refusal propagates."""
        self._inside_out_call = [
            _in_order(function, ("call", "operation", "proceed"))
            for function in of("around_call")[::-1]
        ]
        self._prepare_messages = of("prepare_messages")
        self._join_unit = of("join_unit")
        self._handle_exception = tuple(relay.implementations("handle_exception", running))
        self._on_started = tuple(relay.implementations("on_started", running))
        self._on_event = [
            (_kinds_heard(function), (plugin, function))
            for plugin, function in relay.implementations("on_event", running)
        ]
        self._listeners: dict[type, tuple[Implementation, ...]] = {}
        self._on_requests = tuple(relay.implementations("on_requests", running))
        self.hears_requests = bool(self._on_requests or self.listeners(RequestServed))
        """Whether anybody hears of requests that were answered."""
        self._on_drain = tuple(relay.implementations("on_drain", running))
        self._check_health = tuple(relay.implementations("check_health", running))

    def recognize(self, headers: Headers) -> Principal | None:
        """Who sent these headers, where that is known by now and nobody is to be asked about it."""
        if self._inside_out_authenticate:
            return None
        return self._recognized(headers)

    def _recognized(self, headers: Headers) -> Principal | None:
        for function in self._recognize:
            principal: Principal | None = function(headers=headers)
            if principal is not None:
                return principal
        return None

    async def authenticate(self, headers: Headers, client: str) -> Principal | None:
        """The first plugin's answer that knows the credential; a wrong one raises Problem.

        Nobody knowing it means nothing while one that might does not run: that is a Problem too.
        """
        proceed: Identify = partial(self._recognize_or_ask, headers, client)
        for function in self._inside_out_authenticate:
            proceed = partial(function, headers=headers, client=client, proceed=proceed)
        return await proceed()

    async def _recognize_or_ask(self, headers: Headers, client: str) -> Principal | None:
        if (principal := self._recognized(headers)) is not None:
            return principal
        proceed: Identify = partial(self._ask, headers)
        for function in self._inside_out_login:
            proceed = partial(function, headers=headers, client=client, proceed=proceed)
        return await proceed()

    async def _ask(self, headers: Headers) -> Principal | None:
        for function in self._authenticate:
            principal: Principal | None = await function(headers=headers)
            if principal is not None:
                return principal
        if self._cannot_authenticate:
            raise Problem(KEYS_UNCHECKED, plugin=self._cannot_authenticate[0])
        return None

    def around_call(self, call: Call, operation: Operation, proceed: Proceed) -> Awaitable[Any]:
        """Serve a call through every plugin that is around it, the first one outermost."""
        for function in self._inside_out_call:
            proceed = partial(function, call, operation, proceed)
        return proceed()

    async def prepare_messages(
        self, run: Run, messages: list[PromptMessage]
    ) -> list[PromptMessage]:
        """Each plugin is given the answer of the one before."""
        for function in self._prepare_messages:
            messages = await function(run=run, messages=messages)
        return messages

    async def join_unit(self, principal: Principal, action: str, unit: Unit) -> Unit:
        """The unit and all writes that belong into the same commit. Exceptions propagate."""
        if not self._join_unit:
            return unit
        joined = list(unit)
        for function in self._join_unit:
            joined.extend(await function(principal=principal, action=action, unit=unit))
        return joined

    async def handle_exception(self, call: Call | None, error: Exception) -> Problem | None:
        """The first plugin that words the exception."""
        if call is None:
            return None
        problem: Problem | None = await first(self._handle_exception, call=call, error=error)
        return problem

    async def on_started(self, limit_s: float, failed: Callable[[str, Exception], None]) -> None:
        """Tell all, one at a time; one that is slow or raises is reported."""
        for plugin, function in self._on_started:
            try:
                async with asyncio.timeout(limit_s):
                    await function()
            except Exception as error:  # Isolation: what one cannot do keeps no other.
                failed(plugin, error)

    def listeners(self, kind: type[Notice]) -> tuple[Implementation, ...]:
        """Who hears notices of this kind."""
        known = self._listeners.get(kind)
        if known is None:
            known = self._listeners[kind] = tuple(
                listener for kinds, listener in self._on_event if kinds is None or kind in kinds
            )
        return known

    async def on_requests(
        self, served: Sequence[RequestServed], failed: Callable[[str, Exception], None]
    ) -> None:
        """Tell all who hear of requests, first those who hear of many at once."""
        await each(self._on_requests, failed, served=served)
        if listeners := self.listeners(RequestServed):
            for request in served:
                await each(listeners, failed, event=request)

    async def on_drain(self, limit_s: float, failed: Callable[[str, Exception], None]) -> None:
        """All at once; one that is slow or raises is reported and keeps nobody."""

        async def tell(plugin: str, function: Callable[..., Any]) -> None:
            try:
                async with asyncio.timeout(limit_s):
                    await function()
            except Exception as error:  # Isolation: the server stops, whatever one makes of it.
                failed(plugin, error)

        await asyncio.gather(*(tell(plugin, function) for plugin, function in self._on_drain))

    async def check_health(self, limit_s: float) -> dict[str, Health]:
        """Every plugin's health, asked at once; one that is slow or raises is down."""

        async def ask(function: Callable[..., Any]) -> Health:
            try:
                async with asyncio.timeout(limit_s):
                    health: Health = await function()
                    return health
            except TimeoutError:
                return Health(status="down", detail=f"no answer within {limit_s:g} s")
            except Exception as error:  # Isolation: a health check that breaks is the answer.
                return Health(status="down", detail=f"{type(error).__name__}: {error}")

        answers = await asyncio.gather(*(ask(function) for _, function in self._check_health))
        names = (plugin for plugin, _ in self._check_health)
        return dict(zip(names, answers, strict=True))


def _recognizers(relay: Relay, running: Callable[[str], bool]) -> tuple[Callable[..., Any], ...]:
    """Who may say who somebody is before anybody is asked: none whose turn comes later than that
    of one who cannot, as that one may know the same headers as somebody else's.
    """
    quick = dict(relay.implementations("recognize", running))
    found = []
    for plugin, _ in relay.implementations("authenticate", running):
        if plugin not in quick:
            break
        found.append(quick[plugin])
    return tuple(found)


def _all_agree(functions: Sequence[Authorize]) -> Authorize:
    if len(functions) == 1:
        # As most servers have it, and what each request does.
        return functions[0]

    async def authorize(principal: Principal, action: str, resource: str | None) -> None:
        for function in functions:
            await function(principal=principal, action=action, resource=resource)

    return authorize


def _in_order(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The function, to be called with its arguments in this order: that is quicker than by name."""
    if tuple(inspect.signature(function, follow_wrapped=False).parameters) == tuple(names):
        return function
    return lambda *arguments: function(**dict(zip(names, arguments, strict=True)))


def _kinds_heard(function: Callable[..., Any]) -> frozenset[type] | None:
    """The kinds of notices that an `on_event` is annotated with; None where it hears all."""
    try:
        hint = typing.get_type_hints(function).get("event")
    except NameError:
        # Annotated with what is imported for type checkers only.
        return None
    kinds = frozenset(typing.get_args(hint) or (hint,))
    return kinds if kinds <= _KINDS else None


_KINDS = frozenset(typing.get_args(Notice))
