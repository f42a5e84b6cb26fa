"""Models, chats, completions and embeddings, by the Python client."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from famulus_conformance.scenarios_model import CITY, DEGREES, ECHO, GET_WEATHER, WEATHER
from famulus_conformance.scenarios_stage import Play, Stage, holds, same, users

FLOAT_BYTES = 4
CLOSE = 1e-6
LENGTH_CLOSE = 1e-3


def _models(stage: Stage) -> None:
    models, id = stage.client.models, stage.model.id
    listed = {each.id: each for each in models.list()}
    holds(id in listed, f"{id} is not listed: {[*listed]}")
    same(listed[id].object, "model", "what it is")
    same(models.retrieve(id).id, id, "retrieved")


def _asked(stage: Stage, content: Any, **fields: Any) -> Any:
    messages = users(content) if isinstance(content, str) else content
    return stage.client.chat.completions.create(
        model=stage.model.id, messages=messages, temperature=0, **fields
    )


def _chat(stage: Stage) -> None:
    answer = _asked(stage, ECHO)
    (choice,) = answer.choices
    stage.is_right(ECHO, choice.message.content)
    told = (choice.finish_reason, answer.model, answer.object)
    same(told, ("stop", stage.model.id, "chat.completion"), "the answer")
    usage = answer.usage
    same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "its tokens in total")
    holds(usage.total_tokens > 0, "its usage is nothing")


def _chat_streamed(stage: Stage) -> None:
    chunks = list(_asked(stage, ECHO, stream=True))
    stage.is_right(ECHO, _said(chunks))
    same(chunks[-1].choices[0].finish_reason, "stop", "why it ended")
    same({chunk.model for chunk in chunks}, {stage.model.id}, "the model")
    # Nobody asked for it, though the server may always ask the model.
    same([chunk.usage for chunk in chunks if chunk.usage], [], "usage")
    *told, last = _asked(stage, ECHO, stream=True, stream_options={"include_usage": True})
    stage.is_right(ECHO, _said(told))
    same(told[-1].choices[0].finish_reason, "stop", "why it ended")
    same([chunk.usage for chunk in told if chunk.usage], [], "usage before the last chunk")
    same(last.choices, [], "the choices of the last chunk")
    holds(last.usage.completion_tokens > 0, "the usage of the last chunk is nothing")


def _said(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def _chat_told(stage: Stage) -> None:
    text = ""
    with stage.client.chat.completions.stream(
        model=stage.model.id, messages=users(ECHO), temperature=0
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                text += event.delta
                same(event.snapshot, text, "the text so far")
        final = stream.get_final_completion().choices[0].message.content
    stage.is_right(ECHO, final)
    same(text, final, "the pieces")


def _chat_calls(stage: Stage) -> None:
    said = users(WEATHER)
    choice = _asked(stage, said, tools=[GET_WEATHER]).choices[0]
    same(choice.finish_reason, "tool_calls", "why it ended")
    (call,) = choice.message.tool_calls
    same(call.function.name, "get_weather", "the function")
    stage.are_arguments(json.loads(call.function.arguments), CITY)
    said += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": DEGREES}]
    answer = _asked(stage, said, tools=[GET_WEATHER])
    stage.is_right(DEGREES, answer.choices[0].message.content)


def _chat_calls_streamed(stage: Stage) -> None:
    with stage.client.chat.completions.stream(
        model=stage.model.id, messages=users(WEATHER), tools=[GET_WEATHER], temperature=0
    ) as stream:
        choice = stream.get_final_completion().choices[0]
    (call,) = choice.message.tool_calls
    stage.are_arguments(json.loads(call.function.arguments), CITY)
    same(choice.finish_reason, "tool_calls", "why it ended")


def _completion(stage: Stage) -> None:
    completions = stage.client.completions
    asked = {"model": stage.model.id, "prompt": ECHO, "max_tokens": 20, "temperature": 0, "seed": 1}
    whole = completions.create(**asked)
    same((whole.object, whole.model), ("text_completion", stage.model.id), "the completion")
    if stage.is_strict:
        return
    chunks = list(completions.create(**asked, stream=True))
    text = "".join(chunk.choices[0].text for chunk in chunks)
    same(text, whole.choices[0].text, "the text in pieces")
    reason = chunks[-1].choices[0].finish_reason
    same(reason, whole.choices[0].finish_reason, "why it ended")


def _embedded(stage: Stage) -> None:
    embeddings, id = stage.client.embeddings, stage.model.id
    texts = ["The capital of Zembla", "Onhava"]
    floats = embeddings.create(model=id, input=texts, encoding_format="float").data
    same([each.index for each in floats], [0, 1], "the indexes")
    for each in floats:
        length = math.hypot(*each.embedding)
        holds(abs(length - 1) < LENGTH_CLOSE, f"a vector has the length {length}")
    holds(floats[0].embedding != floats[1].embedding, "both texts have one vector")
    if stage.is_strict:
        return
    # The client asks for base64 where it is not told otherwise, and decodes it.
    decoded = embeddings.create(model=id, input=texts).data
    raw = embeddings.with_raw_response.create(model=id, input=texts, encoding_format="base64")
    same([each.index for each in decoded], [0, 1], "the indexes in base64")
    for one, other, coded in zip(decoded, floats, raw.http_response.json()["data"], strict=True):
        holds(_are_close(one.embedding, other.embedding), "the two forms are not the same")
        size = len(base64.b64decode(coded["embedding"]))
        same(size, FLOAT_BYTES * len(one.embedding), "bytes in base64")


def _are_close(ones: list[float], others: list[float]) -> bool:
    return len(ones) == len(others) and all(
        abs(one - other) < CLOSE for one, other in zip(ones, others, strict=True)
    )


PLAYS: Mapping[str, Play] = {
    "the model is listed and retrieved": _models,
    "a chat is answered": _chat,
    "a chat is streamed": _chat_streamed,
    "a chat stream tells its handlers": _chat_told,
    "a chat calls a function and uses its result": _chat_calls,
    "a streamed chat calls a function": _chat_calls_streamed,
    "a completion is given and streamed": _completion,
    "texts are embedded, as base64 and as floats": _embedded,
}
