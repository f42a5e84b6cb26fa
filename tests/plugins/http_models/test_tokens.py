"""Tokens are counted by the model's own tokenizer, where there is one to ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from famulus.testing.scripted import ScriptedBackend, faults
from famulus_http_models.settings import Limits
from famulus_http_models.tokens import TokenizerFile
from famulus_schemas.inference import BackendFault, PromptMessage

pytestmark = pytest.mark.anyio


@pytest.fixture
def tokenizer_path(tmp_path: Path) -> Path:
    vocabulary = {"[UNK]": 0, "one": 1, "two": 2}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


async def test_a_configured_tokenizer_counts_without_asking_the_server(reach, tokenizer_path):
    scripted = ScriptedBackend()
    async with reach(scripted, tokenizer=str(tokenizer_path)) as backend:
        counts = await backend.count_tokens("scripted", ["one two", "", "one " * 5000])
    assert list(counts) == [2, 0, 5000]
    assert list(scripted.requests) == []


async def test_a_vllm_server_counts_each_text(reach):
    scripted = ScriptedBackend()
    async with reach(scripted, dialect="vllm", limits=Limits(count_calls_max=2)) as backend:
        counts = await backend.count_tokens("scripted", ["one two", "three", ""])
    assert list(counts) == [2, 1, 0]
    assert scripted.requests[0].body["add_special_tokens"] is False


async def test_a_vllm_server_counts_a_whole_prompt(reach):
    messages = (PromptMessage(role="user", content="one two three"),)
    async with reach(ScriptedBackend(), dialect="vllm") as backend:
        assert await backend.dialect.count_prompt(backend, "scripted", messages) == 3


async def test_a_fault_while_counting_is_told_as_itself(reach):
    scripted = ScriptedBackend()
    scripted.faults["tokenize"] = faults.status(503, "loading")
    async with reach(scripted, dialect="vllm") as backend:
        with pytest.raises(BackendFault, match="loading") as caught:
            await backend.count_tokens("scripted", ["one", "two"])
    assert caught.value.kind == "overloaded"


async def test_other_servers_cannot_count(reach):
    async with reach(ScriptedBackend(), dialect="openai") as backend:
        with pytest.raises(BackendFault, match="set the server's tokenizer") as caught:
            await backend.count_tokens("scripted", ["one"])
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize("text", ["not json", "{}", '{"model_type":"qwen2"}'])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is not a model's tokenizer"):
        TokenizerFile.load(path)
