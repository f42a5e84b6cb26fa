"""The manners in which the official Python client is used, each as if it were the plain one.

A scenario is written once, for the synchronous client. The asynchronous one is put behind the
same face, its coroutines run on a loop in a thread; raw responses are asked for and looked at on
the way to what they are parsed to; and a strict client refuses what its types do not allow.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any

import openai
from openai import AssistantEventHandler, AsyncAssistantEventHandler, AsyncOpenAI, OpenAI
from openai._resource import SyncAPIResource

from famulus_conformance.scenarios_model import Model
from famulus_conformance.scenarios_stage import Note, Stage, holds, same

TIMEOUT_S = 120.0
"""For one request."""
OPTIONS: Mapping[str, Any] = {"max_retries": 0, "timeout": TIMEOUT_S}
"""A repeated request could hide an answer that should not have been given."""
TOLD = (
    "event",
    "run_step_created",
    "run_step_done",
    "message_created",
    "message_done",
    "text_created",
    "text_delta",
    "text_done",
    "tool_call_created",
    "tool_call_delta",
    "tool_call_done",
    "end",
)
"""What handlers are told, without the `on_`."""

Manner = Callable[[str, str, Model], AbstractContextManager[Stage]]
"""A stage for a base URL, a key and a model."""


@contextmanager
def plainly(base_url: str, api_key: str, model: Model) -> Iterator[Stage]:
    """The synchronous client."""
    with OpenAI(base_url=base_url, api_key=api_key, **OPTIONS) as client:
        yield Stage(client, model, _handler)


@contextmanager
def strictly(base_url: str, api_key: str, model: Model) -> Iterator[Stage]:
    """The same, which validates every answer by its own types."""
    with OpenAI(
        base_url=base_url, api_key=api_key, _strict_response_validation=True, **OPTIONS
    ) as client:
        yield Stage(client, model, _handler, is_strict=True)


@contextmanager
def rawly(base_url: str, api_key: str, model: Model) -> Iterator[Stage]:
    """The same, by `with_raw_response` where there is one."""
    with OpenAI(base_url=base_url, api_key=api_key, **OPTIONS) as client:
        yield Stage(_Raw(client), model, _handler)


@contextmanager
def asynchronously(base_url: str, api_key: str, model: Model) -> Iterator[Stage]:
    """The asynchronous client."""
    with closing(_Loop()) as loop:
        client = AsyncOpenAI(base_url=base_url, api_key=api_key, **OPTIONS)
        try:
            yield Stage(_Blocking(loop, client), model, _async_handler)
        finally:
            loop.run(client.close)


CONTENTS = (
    ("openai.resources.files", "content"),
    ("openai.resources.containers.files.content", "retrieve"),
)
"""The methods of the client that give a file's bytes; one of vector stores is called so, too."""

MANNERS: Mapping[str, Manner] = {
    "Python": plainly,
    "Python, async": asynchronously,
    "Python, raw responses": rawly,
    "Python, strict": strictly,
}


# --- event handlers ----------------------------------------------------------------------------


def _handler(note: Note) -> Any:
    def telling(name: str) -> Any:
        return lambda self, *told: note(name, *told)

    methods = {f"on_{name}": telling(name) for name in TOLD}
    return type("Handler", (AssistantEventHandler,), methods)()


def _async_handler(note: Note) -> Any:
    def telling(name: str) -> Any:
        async def tell(self: Any, *told: Any) -> None:
            # In a thread, from where it may use the client itself.
            await asyncio.to_thread(note, name, *told)

        return tell

    methods = {f"on_{name}": telling(name) for name in TOLD}
    return type("Handler", (AsyncAssistantEventHandler,), methods)()


# --- raw responses -----------------------------------------------------------------------------


class _Raw:
    """A client or resource whose methods go by the raw response."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._value, name)
        if isinstance(found, SyncAPIResource):
            return _Raw(found)
        if not inspect.isroutine(found):
            return found
        raw = getattr(self._value, "with_raw_response", None)
        if isinstance(self._value, SyncAPIResource) and hasattr(raw, name):
            return _parsed(getattr(raw, name))
        return _renewed(found)


def _parsed(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        response = method(*arguments, **named)
        same(response.status_code, 200, "the status")
        holds(response.headers.get("x-request-id"), "there is no x-request-id")
        due = _content_type(method, streams=bool(named.get("stream")))
        kind = response.headers.get("content-type", "")
        holds(kind.startswith(due), f"the content is {kind}, not {due}")
        return response.parse()

    return call


def _content_type(method: Callable[..., Any], *, streams: bool) -> str:
    if streams:
        return "text/event-stream"
    is_file = (method.__module__, method.__name__) in CONTENTS
    return "application/octet-stream" if is_file else "application/json"


def _renewed(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        answer = method(*arguments, **named)
        return _Raw(answer) if isinstance(answer, OpenAI) else answer

    return call


# --- the asynchronous client -------------------------------------------------------------------


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Any]) -> Any:
        """Call there, and await what is to be awaited."""

        async def called() -> Any:
            answer = call()
            return await answer if inspect.iscoroutine(answer) else answer

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Blocking:
    """Something asynchronous with the face of its synchronous twin."""

    def __init__(self, loop: _Loop, value: Any) -> None:
        self._loop = loop
        self._value = value

    def __getattr__(self, name: str) -> Any:
        if isinstance(self._value, Awaitable):
            # A list is its first page as well as all that is on its pages.
            return getattr(self._wrapped(self._loop.run(self._awaited)), name)
        return self._wrapped(getattr(self._value, name))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._wrapped(self._loop.run(lambda: self._value(*arguments, **named)))

    def __iter__(self) -> Iterator[Any]:
        items = self._value.__aiter__()
        end = object()
        while (item := self._loop.run(lambda: _next(items, end))) is not end:
            yield self._wrapped(item)

    def __enter__(self) -> Any:
        return self._wrapped(self._loop.run(self._value.__aenter__))

    def __exit__(self, *error: Any) -> Any:
        return self._loop.run(lambda: self._value.__aexit__(*error))

    async def _awaited(self) -> Any:
        return await self._value

    def _wrapped(self, value: Any) -> Any:
        return _Blocking(self._loop, value) if _is_asynchronous(value) else value


async def _next(items: Any, end: object) -> Any:
    return await anext(items, end)


def _is_asynchronous(value: Any) -> bool:
    if hasattr(value, "__aiter__") or hasattr(value, "__aenter__") or inspect.isroutine(value):
        return True
    return type(value).__module__.startswith(
        (f"{openai.__name__}.resources", "openai._base_client")
    )
