"""Texts become unit vectors, in order."""

from __future__ import annotations

import math

import pytest

from famulus.testing.scripted import ScriptedBackend, ScriptedFault, faults
from famulus_http_models.settings import Limits
from famulus_schemas.inference import BackendFault

pytestmark = pytest.mark.anyio


async def test_each_text_gets_its_vector(reach):
    scripted = ScriptedBackend()
    async with reach(scripted) as backend:
        vectors = await backend.embed("scripted", ["one", "two"])
    assert [list(vector) for vector in vectors] == [
        pytest.approx(scripted.vector("one")),
        pytest.approx(scripted.vector("two")),
    ]


async def test_many_texts_go_in_several_calls(reach):
    scripted = ScriptedBackend()
    async with reach(scripted, limits=Limits(embed_texts_max=2)) as backend:
        vectors = await backend.embed("scripted", ["a", "b", "c", "d", "e"])
    calls = [r.body["input"] for r in scripted.requests if r.endpoint == "embeddings"]
    assert calls == [["a", "b"], ["c", "d"], ["e"]]
    assert list(vectors[4]) == pytest.approx(scripted.vector("e"))


async def test_dimensions_are_passed_on(reach):
    async with reach(ScriptedBackend()) as backend:
        [vector] = await backend.embed("scripted", ["a"], dimensions=4)
    assert len(vector) == 4


def answered(data: bytes) -> ScriptedBackend:
    scripted = ScriptedBackend()
    scripted.faults["embeddings"] = ScriptedFault(
        manner="raw_body", kind="broken", message="", data=data
    )
    return scripted


async def test_vectors_are_put_in_order_and_brought_to_length_one(reach):
    data = b'{"data":[{"index":1,"embedding":[0,2]},{"index":0,"embedding":[3,4]}]}'
    async with reach(answered(data)) as backend:
        vectors = await backend.embed("scripted", ["a", "b"])
    assert vectors == [[0.6, 0.8], [0.0, 1.0]]
    assert all(math.hypot(*vector) == pytest.approx(1) for vector in vectors)


@pytest.mark.parametrize(
    "data",
    [b'{"data":[{"index":0,"embedding":[1]}]}', b'{"data":[]}', b'{"data":"none"}', b'{"x":1}'],
    ids=["too few", "none", "text", "no data"],
)
async def test_too_few_vectors_are_a_fault(reach, data):
    async with reach(answered(data)) as backend:
        with pytest.raises(BackendFault) as caught:
            await backend.embed("scripted", ["a", "b"])
    assert caught.value.kind == "broken"


async def test_a_server_without_embeddings_does_not_support_them(reach):
    scripted = ScriptedBackend()
    scripted.faults["embeddings"] = ScriptedFault(
        manner="raw_body",
        kind="unsupported",
        message="",
        data=b'{"error":{"message":"no","code":404}}',
    )
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault) as caught:
            await backend.embed("scripted", ["a"])
    assert caught.value.kind == "not_found"


async def test_a_fault_of_the_server_is_told(reach):
    scripted = ScriptedBackend()
    scripted.faults["embeddings"] = faults.status(429, "slow down")
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="slow down") as caught:
            await backend.embed("scripted", ["a"])
    assert caught.value.kind == "overloaded"
