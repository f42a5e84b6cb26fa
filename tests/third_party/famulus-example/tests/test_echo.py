"""The echo model, streamed as a run would read it."""

from __future__ import annotations

import pytest
from famulus_schemas.inference import BackendFault, ChatRequest, PromptMessage

from famulus_example.echo import EchoBackend


async def test_the_last_message_comes_back_word_by_word() -> None:
    request = ChatRequest(
        model="echo",
        messages=(
            PromptMessage(role="system", content="Be brief."),
            PromptMessage(role="user", content="Hello there, echo"),
        ),
    )
    batches = [batch async for batch in EchoBackend().chat(request)]
    chunks = [chunk for batch in batches for chunk in batch]
    assert [chunk.content for chunk in chunks] == ["Hello", " there,", " echo", ""]
    assert chunks[-1].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 8


async def test_another_model_is_not_found() -> None:
    request = ChatRequest(model="other", messages=(PromptMessage(role="user", content="Hi"),))
    with pytest.raises(BackendFault, match="no model 'other'"):
        [batch async for batch in EchoBackend().chat(request)]
