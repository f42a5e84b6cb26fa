"""A conversation with the stand-in, in as few words as a test should need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from famulus_builtin.reply import Reply, reply_to
from famulus_schemas.inference import ChatRequest

Ask = Callable[..., Reply]


def function(name: str, description: str | None = None, **properties: Any) -> dict[str, Any]:
    parts = {key: {"type": one} if isinstance(one, str) else one for key, one in properties.items()}
    parameters = {"type": "object", "properties": parts, "required": list(parts)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


@pytest.fixture
def offer() -> Callable[..., dict[str, Any]]:
    """Make a tool from a function's name and its required properties."""
    return function


@pytest.fixture
def chat_request() -> Callable[..., ChatRequest]:
    """Make a request from texts (the user's, in turn with none) or whole messages."""

    def make(*messages: str | dict[str, Any], **fields: Any) -> ChatRequest:
        whole = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
        body = {"model": "famulus-builtin", "messages": whole, **fields}
        return msgspec.convert(body, ChatRequest)

    return make


@pytest.fixture
def ask(chat_request: Callable[..., ChatRequest]) -> Ask:
    """Ask the stand-in, and get its reply."""
    return lambda *messages, **fields: reply_to(chat_request(*messages, **fields))


@pytest.fixture
def answered() -> Callable[..., list[dict[str, Any]]]:
    """The messages of calls that were made and answered: `answered("lookup", "text")`."""

    def make(*pairs: str) -> list[dict[str, Any]]:
        names, results = pairs[::2], pairs[1::2]
        calls = [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for n, name in enumerate(names)
        ]
        tools = [
            {"role": "tool", "tool_call_id": f"c{n}", "content": text}
            for n, text in enumerate(results)
        ]
        return [{"role": "assistant", "content": None, "tool_calls": calls}, *tools]

    return make
