"""What the backend promises, on a model small enough to make."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.plugins.sentences.conftest import write_model

from famulus_schemas.inference import BackendFault, ChatRequest, EmbedsTexts
from famulus_sentences.backend import SentencesBackend
from famulus_sentences.settings import SentencesSettings

pytestmark = pytest.mark.anyio

MODEL = "all-minilm-l6-v2"


@pytest.fixture
async def pool() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def made(folder: Path, pool: ThreadPoolExecutor, **settings: int) -> SentencesBackend:
    return SentencesBackend(folder, SentencesSettings(**settings), pool)


def close(one: object, other: object) -> bool:
    return bool(one == pytest.approx(other, abs=1e-5))


async def test_its_model_only_embeds(model_folder, pool):
    backend = made(model_folder, pool)
    (card,) = await backend.models()
    assert (card.id, card.backend, card.chats) == (MODEL, "sentences", False)
    assert isinstance(backend, EmbedsTexts)
    with pytest.raises(BackendFault, match="does not chat") as caught:
        await anext(backend.chat(ChatRequest(model=MODEL, messages=())))
    assert caught.value.kind == "unsupported"


async def test_each_text_has_a_vector_of_length_one(model_folder, pool):
    vectors = await made(model_folder, pool).embed(MODEL, ["Oslo is far", "", "unheard of"])
    assert [len(vector) for vector in vectors] == [16, 16, 16]
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1, 1, 1], abs=1e-5)


async def test_a_text_has_the_same_vector_in_any_company(model_folder, pool):
    backend = made(model_folder, pool)
    texts = ["Oslo", "Rome is far from the sea", "a", "the sea is far from Rome"]
    together = await backend.embed(MODEL, texts)
    for text, vector in zip(texts, together, strict=True):
        (alone,) = await backend.embed(MODEL, [text])
        assert close(alone, vector)
    assert not close(together[1], together[3]), "the order of words counts"


async def test_batches_change_nothing(model_folder, pool):
    texts = ["Oslo", "Rome is far", "a", "the sea is far from Rome", "sea"] * 3
    many = await made(model_folder, pool, batch_tokens_max=16).embed(MODEL, texts)
    few = await made(model_folder, pool).embed(MODEL, texts)
    assert all(close(one, other) for one, other in zip(many, few, strict=True))


async def test_a_text_longer_than_a_window_is_read_to_its_end(model_folder, pool):
    begin = "Oslo is far from the sea and " * 6
    backend = made(model_folder, pool, window_tokens=16)
    one, other = await backend.embed(MODEL, [begin + "Rome", begin + "a sea"])
    assert not close(one, other)
    assert math.hypot(*one) == pytest.approx(1, abs=1e-5)


async def test_what_is_beyond_the_last_window_is_not_read(model_folder, pool):
    begin = "Oslo is far from the sea and " * 6
    backend = made(model_folder, pool, window_tokens=16, windows_max=1)
    one, other = await backend.embed(MODEL, [begin + "Rome", begin + "a sea"])
    assert close(one, other)


async def test_a_window_is_no_longer_than_the_model_reads(model_folder, pool):
    (vector,) = await made(model_folder, pool, window_tokens=5_000).embed(MODEL, ["sea " * 400])
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)


async def test_another_model_is_not_found(model_folder, pool):
    with pytest.raises(BackendFault) as caught:
        await made(model_folder, pool).embed("other", ["Oslo"])
    assert caught.value.kind == "not_found"


async def test_other_dimensions_are_refused(model_folder, pool):
    backend = made(model_folder, pool)
    assert len((await backend.embed(MODEL, ["Oslo"], 16))[0]) == 16
    with pytest.raises(BackendFault, match="16 dimensions") as caught:
        await backend.embed(MODEL, ["Oslo"], 8)
    assert (caught.value.kind, caught.value.param) == ("refused", "dimensions")


async def test_calls_over_the_limit_are_told_so(model_folder, pool):
    backend = made(model_folder, pool, calls_waiting_max=1)
    first = asyncio.ensure_future(backend.embed(MODEL, ["Oslo"]))
    await asyncio.sleep(0)
    with pytest.raises(BackendFault) as caught:
        await backend.embed(MODEL, ["Rome"])
    assert caught.value.kind == "overloaded"
    await first
    assert len(await backend.embed(MODEL, ["Rome"])) == 1


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
async def test_files_that_are_no_model_are_told_and_read_again_later(model_folder, pool, name):
    whole = (model_folder / name).read_bytes()
    (model_folder / name).write_bytes(b"{}")
    backend = made(model_folder, pool)
    with pytest.raises(BackendFault, match="its weights cannot be read") as caught:
        await backend.embed(MODEL, ["Oslo"])
    assert caught.value.kind == "broken"
    (model_folder / name).write_bytes(whole)
    assert len(await backend.embed(MODEL, ["Oslo"])) == 1


@pytest.mark.parametrize(
    ("modules", "pooling", "words"),
    [
        (["Transformer", "Pooling", "Normalize"], {"pooling_mode_mean_tokens": True}, None),
        (
            ["Transformer", "Pooling"],
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
            "otherwise than by the mean",
        ),
        (["Transformer", "Pooling", "Dense"], {}, "type Dense"),
    ],
)
async def test_a_model_that_makes_its_vectors_otherwise_is_refused(
    model_folder, pool, modules, pooling, words
):
    steps = [{"path": f"{n}", "type": f"models.{name}"} for n, name in enumerate(modules)]
    (model_folder / "modules.json").write_text(json.dumps(steps))
    (model_folder / "1").mkdir()
    (model_folder / "1" / "config.json").write_text(json.dumps(pooling))
    backend = made(model_folder, pool)
    if words is None:
        assert len(await backend.embed(MODEL, ["Oslo"])) == 1
        return
    with pytest.raises(BackendFault, match=words):
        await backend.embed(MODEL, ["Oslo"])


async def test_another_kind_of_network_is_refused(tmp_path, pool):
    folder = write_model(tmp_path / "other", hidden_act="relu")
    with pytest.raises(BackendFault, match="relu"):
        await made(folder, pool).embed(MODEL, ["Oslo"])
