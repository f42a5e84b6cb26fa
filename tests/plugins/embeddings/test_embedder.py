"""What EMBEDDER promises, whichever backend has the model."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence

import pytest

from famulus import Problem
from famulus.testing.scripted import ScriptedBackend, faults
from famulus_schemas.inference import ModelCard

pytestmark = pytest.mark.anyio


def backend(name: str = "a", *models: str, size: int = 16) -> ScriptedBackend:
    return ScriptedBackend(name=name, models=models or ("m",), embedding_size=size)


def unpacked(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def asked(scripted: ScriptedBackend) -> list[list[str]]:
    """The texts of every request for embeddings."""
    return [one.body["input"] for one in scripted.requests if one.endpoint == "embeddings"]


class Gated(ScriptedBackend):
    """Answers a request for embeddings once the test lets it."""

    def __init__(self) -> None:
        super().__init__(name="a", models=("m",))
        self.inside = 0
        self.most = 0
        self.came = asyncio.Condition()
        self.open = asyncio.Event()

    async def embed(
        self, model: str, texts: Sequence[str], dimensions: int | None = None
    ) -> Sequence[Sequence[float]]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        async with self.came:
            self.came.notify_all()
        try:
            await self.open.wait()
            return await super().embed(model, texts, dimensions)
        finally:
            self.inside -= 1

    async def has(self, count: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: self.inside >= count)


async def test_each_text_has_the_vector_of_the_model_as_float32(embedding):
    scripted = backend()
    async with embedding(scripted) as house:
        one, two = await house.vectors("Oslo", "Rome")
    assert unpacked(one) == pytest.approx(scripted.vector("Oslo"), abs=1e-6)
    assert unpacked(two) == pytest.approx(scripted.vector("Rome"), abs=1e-6)


async def test_no_texts_have_no_vectors_and_nobody_is_asked(embedding):
    scripted = backend()
    async with embedding(scripted) as house:
        assert list(await house.vectors()) == []
    assert asked(scripted) == []


async def test_vectors_come_in_the_order_of_the_texts_however_they_are_cut(embedding):
    scripted = backend()
    texts = [f"text {number}" for number in range(23)]
    async with embedding(scripted, texts_per_request_max=3) as house:
        vectors = await house.vectors(*texts)
    assert [unpacked(each)[0] for each in vectors] == pytest.approx(
        [scripted.vector(text)[0] for text in texts], abs=1e-6
    )
    assert max(map(len, asked(scripted))) == 3
    assert len(asked(scripted)) == 8


async def test_a_request_holds_no_more_characters_than_is_set(embedding):
    scripted = backend()
    async with embedding(scripted, characters_per_request_max=10) as house:
        await house.vectors("12345", "12345", "1", "123456789012345")
    assert asked(scripted) == [["12345", "12345"], ["1"], ["123456789012345"]]


async def test_a_text_that_is_too_long_is_cut(embedding):
    scripted = backend()
    async with embedding(scripted, text_characters_max=4) as house:
        assert await house.vectors("123456789") == await house.vectors("1234")
    assert asked(scripted) == [["1234"], ["1234"]]


async def test_a_blank_text_has_the_first_axis_and_is_sent_to_nobody(embedding):
    scripted = backend(size=3)
    async with embedding(scripted) as house:
        vectors = await house.vectors("", "Oslo", " \n ")
        [alone] = await house.vectors("")
    assert unpacked(vectors[1]) == pytest.approx(scripted.vector("Oslo"), abs=1e-6)
    assert vectors[0] == vectors[2] == alone == struct.pack("<3f", 1, 0, 0)
    assert asked(scripted) == [["Oslo"]]


async def test_queries_and_passages_get_the_words_that_the_model_wants(embedding):
    scripted = backend("a", "m", "plain")
    prefixes = {"m": {"query": "query: ", "passage": "passage: "}}
    async with embedding(scripted, prefixes=prefixes) as house:
        await house.vectors("x", role="query")
        await house.vectors("x", role="passage")
        await house.vectors("x", model="plain")
    assert asked(scripted) == [["query: x"], ["passage: x"], ["x"]]


async def test_a_models_dimensions_are_asked_for_once(embedding):
    scripted = backend(size=24)
    async with embedding(scripted) as house:
        assert await house.embedder.dimensions("m") == 24
        assert await house.embedder.dimensions("m") == 24
    assert len(asked(scripted)) == 1


async def test_the_default_is_the_one_that_needs_no_weights(embedding):
    async with embedding("builtin") as house:
        model = house.embedder.default_model
        assert model == "famulus-lexical-1"
        [one] = await house.vectors("The office in Oslo is closed.", model=model)
        assert len(one) == 4 * await house.embedder.dimensions(model)
        assert math.hypot(*unpacked(one)) == pytest.approx(1, abs=1e-6)
        assert await house.health() == ("ok", "")


async def test_a_model_server_that_is_connected_later_changes_no_vector(embedding):
    text = "The office in Oslo is closed."
    async with embedding("builtin") as house:
        before = await house.vectors(text, model=house.embedder.default_model)
    async with embedding("builtin", backend()) as house:
        after = await house.vectors(text, model=house.embedder.default_model)
    assert before == after


async def test_a_model_that_nobody_serves_is_named_with_what_there_is(embedding):
    async with embedding(backend(), default_model="gone") as house:
        with pytest.raises(Problem, match="'gone' cannot be used") as caught:
            await house.vectors("Oslo", model="gone")
        status, detail = await house.health()
    assert (caught.value.status, caught.value.body.code) == (503, "embedder_unavailable")
    assert "m" in caught.value.body.message
    assert status == "degraded"
    assert "gone" in detail


async def test_a_model_that_cannot_embed_is_told_as_such(embedding):
    class Chats:
        name = "a"

        async def models(self) -> Sequence[ModelCard]:
            return [ModelCard(id="m", backend="a")]

    async with embedding(Chats()) as house:
        with pytest.raises(Problem, match="offers no embeddings") as caught:
            await house.vectors("Oslo")
    assert caught.value.body.code == "embedder_unavailable"


async def test_an_alias_as_the_default_is_told_as_a_fault(embedding):
    aliases = {"house": "m"}
    async with embedding(backend(), models={"aliases": aliases}, default_model="house") as house:
        status, detail = await house.health()
    assert status == "degraded"
    assert "alias of 'm'" in detail


async def test_no_other_model_embeds_for_one_whose_server_is_down(embedding):
    down, up = backend("a", "m"), backend("b", "n")
    down.faults["embeddings"] = faults.reset()
    async with embedding(down, up, models={"fallbacks": {"m": ["n"]}}) as house:
        with pytest.raises(Problem) as caught:
            await house.vectors("Oslo")
    assert caught.value.body.code == "backend_unavailable"
    assert asked(up) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([[1.0, 0.0]], "2 texts with 1 vectors"),
        ([[1.0, 0.0], [1.0]], "vectors of \\[1, 2\\] numbers"),
        ([[1.0, 0.0], [math.nan, 0.0]], "numbers that are none"),
    ],
)
async def test_what_are_no_vectors_is_refused(embedding, answer, words):
    class Wrong(ScriptedBackend):
        async def embed(
            self, model: str, texts: Sequence[str], dimensions: int | None = None
        ) -> Sequence[Sequence[float]]:
            return answer

    async with embedding(Wrong(name="a", models=("m",))) as house:
        with pytest.raises(Problem, match=words) as caught:
            await house.vectors("Oslo", "Rome")
    assert caught.value.body.code == "embedder_unavailable"


async def test_no_more_requests_are_under_way_than_are_set(embedding):
    gated = Gated()
    async with embedding(gated, requests_at_once_max=2, texts_per_request_max=1) as house:
        work = asyncio.ensure_future(house.vectors(*(f"text {number}" for number in range(8))))
        await gated.has(2)
        gated.open.set()
        assert len(await work) == 8
    assert gated.most == 2


async def test_a_query_is_not_held_up_by_passages(embedding):
    gated = Gated()
    async with embedding(gated, requests_at_once_max=1) as house:
        passages = asyncio.ensure_future(house.vectors("a file"))
        await gated.has(1)
        query = asyncio.ensure_future(house.vectors("a question", role="query"))
        await gated.has(2)
        gated.open.set()
        await asyncio.gather(passages, query)


async def test_files_take_turns(embedding):
    gated = Gated()
    async with embedding(gated, requests_at_once_max=1, texts_per_request_max=1) as house:
        large = asyncio.ensure_future(house.vectors(*(f"large {number}" for number in range(9))))
        await gated.has(1)
        small = asyncio.ensure_future(house.vectors("small"))
        await asyncio.sleep(0)
        gated.open.set()
        await asyncio.gather(large, small)
    assert asked(gated).index(["small"]) < 3


async def test_calls_beyond_those_that_may_wait_are_told_that_the_server_is_busy(embedding):
    gated = Gated()
    async with embedding(gated, calls_waiting_max=1) as house:
        first = asyncio.ensure_future(house.vectors("a"))
        await gated.has(1)
        with pytest.raises(Problem) as caught:
            await house.vectors("b")
        gated.open.set()
        await first
        assert len(await house.vectors("b")) == 1
    assert caught.value.body.code == "overloaded"


async def test_a_call_that_fails_leaves_nothing_under_way(embedding):
    class Failing(Gated):
        async def embed(
            self, model: str, texts: Sequence[str], dimensions: int | None = None
        ) -> Sequence[Sequence[float]]:
            if texts == ["bad"]:
                await self.has(1)
                raise faults.reset().raised_by("a")
            return await super().embed(model, texts, dimensions)

    failing = Failing()
    async with embedding(failing, models={"attempts_max": 1}, texts_per_request_max=1) as house:
        with pytest.raises(Problem):
            await house.vectors("slow", "bad")
        assert failing.inside == 0
        failing.open.set()
        assert len(await house.vectors("slow")) == 1
