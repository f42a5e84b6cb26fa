"""Chat and text completions: strict in what we read of a request, lenient with answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from famulus_schemas.chat import (
    ChatBody,
    ChatCompletion,
    ChatCompletionChunk,
    ChatDelta,
    ChatFields,
    CompletionUsage,
    StreamOptions,
)
from famulus_schemas.completions import Completion, CompletionFields

SAID = [{"role": "user", "content": "hello", "vendor": [1]}]


def test_vendor_keys_pass_untouched(accepts: Any) -> None:
    body = b'{"model":"m","messages":[],"top_k" : 5,"guided":{"a":1e2}}'
    kept = msgspec.json.decode(body, type=ChatBody)
    assert msgspec.json.encode(kept) == b'{"model":"m","messages":[],"top_k":5,"guided":{"a":1e2}}'
    fields = accepts(ChatFields, {"model": "m", "messages": SAID, "top_k": 5})
    assert fields.model == "m"
    assert fields.messages[0] == msgspec.Raw(msgspec.json.encode(SAID[0]))


def test_a_chat_needs_a_model_and_a_message(refuses: Any) -> None:
    refuses(ChatFields, {"messages": SAID}, "model")
    refuses(ChatFields, {"model": "m"}, "messages")
    refuses(ChatFields, {"model": "m", "messages": []}, "$.messages")


def test_a_chat_has_1_to_128_answers(accepts: Any, refuses: Any) -> None:
    for fine in (1, 128, None):
        accepts(ChatFields, {"model": "m", "messages": SAID, "n": fine})
    for bad in (0, 129):
        refuses(ChatFields, {"model": "m", "messages": SAID, "n": bad}, "$.n")


def test_usage_in_a_stream_is_asked_for(accepts: Any) -> None:
    body = {"model": "m", "messages": SAID, "stream_options": {"include_usage": True, "x": 1}}
    assert accepts(ChatFields, body).stream_options == StreamOptions(include_usage=True)


def test_an_answer_without_tool_calls_is_read(accepts: Any) -> None:
    message = {"role": "assistant", "content": "hello"}
    body = {"id": "c", "created": 1, "model": "m", "choices": [{"message": message}]}
    answer = accepts(ChatCompletion, body)
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].message.tool_calls is msgspec.UNSET
    assert answer.usage is msgspec.UNSET


def test_an_answer_may_have_null_for_numbers_and_unknown_keys(accepts: Any) -> None:
    message = {"role": "assistant", "content": None, "tool_calls": None, "audio": None}
    body = {
        "id": "c",
        "created": None,
        "model": "m",
        "choices": [{"index": None, "message": message, "stop_reason": 2}],
        "usage": {"prompt_tokens": None, "prompt_tokens_details": None, "cost": 0.1},
    }
    answer = accepts(ChatCompletion, body)
    assert answer.usage == CompletionUsage(prompt_tokens=None, prompt_tokens_details=None)


def test_a_call_may_lack_its_type(accepts: Any) -> None:
    call = {"id": "call_1", "function": {"name": "add", "arguments": "{broken"}}
    body = {"id": "c", "model": "m", "choices": [{"message": {"tool_calls": [call]}}]}
    (read,) = accepts(ChatCompletion, body).choices[0].message.tool_calls
    assert (read.type, read.function.arguments) == ("function", "{broken")


def test_the_chunk_with_usage_has_no_choices(accepts: Any) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body = {"id": "c", "object": "", "created": 1, "model": "m", "choices": [], "usage": usage}
    chunk = accepts(ChatCompletionChunk, body)
    assert chunk.choices == []
    assert chunk.usage.total_tokens == 3


def test_a_chunk_distinguishes_no_usage_from_null_usage() -> None:
    chunk = ChatCompletionChunk(id="c", model="m", choices=[])
    assert "usage" not in msgspec.to_builtins(chunk)
    counted = msgspec.structs.replace(chunk, usage=None)
    assert msgspec.to_builtins(counted)["usage"] is None


def test_a_delta_sends_only_what_grew() -> None:
    assert msgspec.to_builtins(ChatDelta(content="a")) == {"content": "a"}


def test_a_chunk_of_tool_calls_is_read(accepts: Any) -> None:
    calls = [{"index": 0, "function": {"arguments": '{"a"'}}]
    body = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]}
    (call,) = accepts(ChatCompletionChunk, body).choices[0].delta.tool_calls
    assert (call.index, call.id, call.function.arguments) == (0, msgspec.UNSET, '{"a"')


@pytest.mark.parametrize("prompt", ["hello", ["a", "b"], [1, 2], [[1], [2, 3]], None], ids=str)
def test_a_prompt_has_four_shapes_or_none(accepts: Any, prompt: object) -> None:
    assert accepts(CompletionFields, {"model": "m", "prompt": prompt}).prompt == prompt


@pytest.mark.parametrize(
    ("field", "least", "most"), [("n", 1, 128), ("best_of", 0, 20), ("logprobs", 0, 5)]
)
def test_completion_numbers_have_their_limits(
    accepts: Any, refuses: Any, field: str, least: int, most: int
) -> None:
    body = {"model": "m", "prompt": "x", "vendor": 1}
    for fine in (least, most, None):
        accepts(CompletionFields, {**body, field: fine})
    for bad in (least - 1, most + 1):
        refuses(CompletionFields, {**body, field: bad}, f"$.{field}")


def test_a_completion_writes_sixteen_tokens_unless_asked(accepts: Any, refuses: Any) -> None:
    assert accepts(CompletionFields, {"model": "m", "prompt": "x"}).max_tokens == 16
    refuses(CompletionFields, {"model": "m", "prompt": "x", "max_tokens": -1}, "$.max_tokens")
    refuses(CompletionFields, {"model": "m"}, "prompt")


def test_a_completion_has_one_name_streamed_or_not(accepts: Any) -> None:
    body = {"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "text": "a"}]}
    assert msgspec.to_builtins(accepts(Completion, body))["object"] == "text_completion"
