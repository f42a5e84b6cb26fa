"""Threads: creation, modification and the object."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from famulus_schemas.messages import CreateMessage
from famulus_schemas.threads import CreateThread, ModifyThread, Thread
from famulus_schemas.tools import CodeInterpreterResources, FileSearchResources, ToolResources


def test_a_thread_may_begin_empty(accepts: Any) -> None:
    assert accepts(CreateThread, {}) == CreateThread(messages=[], tool_resources=None)


def test_a_thread_may_begin_with_messages(accepts: Any, refuses: Any) -> None:
    said = {"role": "user", "content": "hello"}
    thread = accepts(CreateThread, {"messages": [said]})
    assert thread.messages == [CreateMessage(role="user", content="hello")]
    refuses(CreateThread, {"messages": [said, {"role": "user"}]}, "$.messages[1]")
    refuses(CreateThread, {"messages": None}, "$.messages")


def test_an_unknown_key_is_refused(refuses: Any) -> None:
    refuses(CreateThread, {"title": "x"}, "title")
    refuses(ModifyThread, {"messages": []}, "messages")


def test_metadata_is_limited(refuses: Any) -> None:
    refuses(CreateThread, {"metadata": {"k": "v" * 513}}, "$.metadata")
    refuses(ModifyThread, {"metadata": {"k" * 65: "v"}}, "$.metadata")


def test_modification_tells_null_from_absent(accepts: Any) -> None:
    assert accepts(ModifyThread, {}) == ModifyThread(tool_resources=UNSET, metadata=UNSET)
    cleared = {"tool_resources": None, "metadata": None}
    assert accepts(ModifyThread, cleared) == ModifyThread(tool_resources=None, metadata=None)


def test_a_thread_always_sends_all_its_fields() -> None:
    assert msgspec.to_builtins(Thread(id="thread_1", created_at=1)) == {
        "id": "thread_1",
        "object": "thread",
        "created_at": 1,
        "tool_resources": None,
        "metadata": {},
    }


def test_resources_are_sent_only_for_the_tools_that_have_some() -> None:
    code = ToolResources(code_interpreter=CodeInterpreterResources())
    search = ToolResources(file_search=FileSearchResources(vector_store_ids=["vs_1"]))
    assert msgspec.to_builtins(ToolResources()) == {}
    assert msgspec.to_builtins(code) == {"code_interpreter": {"file_ids": []}}
    assert msgspec.to_builtins(search) == {"file_search": {"vector_store_ids": ["vs_1"]}}
