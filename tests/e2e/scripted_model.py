"""A model server on a port of its own, which answers by the script that `answer` is.

It knows the few sentences that the trained model of `ops/vllm` knows, and answers them alike, so
that both can be asked the same. What it says follows from the request alone: tests may come in any
order.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from famulus.testing import Script, ScriptedBackend, tool
from famulus_schemas.inference import ChatRequest, PromptMessage

ENDLESS = "Talk on."
SLOWLY = "Count slowly."
COUNTED = " ".join(str(number) for number in range(100))
PACE_S = 0.01
ARGUMENT_CHARS = 5
"""So that a call comes in several pieces, as a real model's does."""
START_S = 30.0


def answer(request: ChatRequest) -> Script:
    """The one turn that answers a request."""
    last = request.messages[-1]
    if last.role == "tool":
        return Script().says("Result: " + " and ".join(_results(request)))
    asked = _text(last)
    if asked == ENDLESS:
        return Script().says("and on ").without_end().pauses(PACE_S)
    if asked == SLOWLY:
        return Script().says(COUNTED).pauses(PACE_S)
    # Some frameworks put the name of what holds a function before its own.
    offered = [each.function.name for each in request.tools or ()]
    weather = [name for name in offered if name.endswith("get_weather")]
    cities = re.findall(r"in ([A-Z]\w+)", asked)
    if weather and cities:
        calls = (tool(weather[0], {"city": city}) for city in cities)
        return Script().calls(*calls).cut_by(ARGUMENT_CHARS)
    if found := re.fullmatch(r"Say (.+)", asked):
        return Script().says(found[1])
    if found := re.fullmatch(r"My name is (\w+)\.", asked):
        return Script().says(f"Nice to meet you, {found[1]}.")
    if asked == "What is my name?":
        return Script().says(f"Your name is {_name(request)}.")
    if found := re.fullmatch(r"What is (the capital of \w+)\?", asked):
        return Script().says(_sentence(request, found[1]))
    return Script().says("Hello! How can I help you?")


def _results(request: ChatRequest) -> list[str]:
    found: list[str] = []
    for message in reversed(request.messages):
        if message.role != "tool":
            break
        found.insert(0, _text(message))
    return found


def _name(request: ChatRequest) -> str:
    said = "\n".join(_text(message) for message in request.messages if message.role == "user")
    found = re.search(r"My name is (\w+)\.", said)
    return found[1] if found else "unknown"


def _sentence(request: ChatRequest, subject: str) -> str:
    told = "\n".join(_text(message) for message in request.messages if message.role == "system")
    found = re.search(rf"^.*{subject}.*$", told, re.MULTILINE | re.IGNORECASE)
    return found[0] if found else "I was not told."


def _text(message: PromptMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(getattr(part, "text", "") for part in message.content or ())


@contextmanager
def scripted_server(answer: Callable[[ChatRequest], Script] = answer) -> Iterator[str]:
    """The base URL of such a server, which lives in a thread, for tests that are not async."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = ScriptedBackend(answer).serve()
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(START_S)
    finally:
        leaving = serving.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(leaving, loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
