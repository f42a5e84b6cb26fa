"""How many tokens a text is: exactly where a server knows, about where none does."""

from __future__ import annotations

import pytest

from famulus.testing.scripted import Script, ScriptedBackend, faults
from famulus_models.counting import Memory, Ratios
from famulus_schemas.inference import (
    ChatRequest,
    ModelCard,
    OfferedFunction,
    OfferedTool,
    PromptMessage,
    TokenUsage,
)

pytestmark = pytest.mark.anyio


def backend(script: Script | None = None) -> ScriptedBackend:
    return ScriptedBackend(script or Script(), name="a", models=("m",))


def counts_asked(scripted: ScriptedBackend) -> list[list[str]]:
    return [r.body["prompt"] for r in scripted.requests if r.endpoint == "tokenize"]


async def test_a_server_that_knows_counts_exactly(routed):
    async with routed(backend()) as server:
        count = await server.inference.count_tokens("m", ["one two", "", "three"])
    assert (count.counts, count.exact) == ((2, 0, 1), True)


async def test_a_text_is_counted_once(routed):
    scripted = backend()
    async with routed(scripted) as server:
        await server.inference.count_tokens("m", ["one two", "three"])
        again = await server.inference.count_tokens("m", ["three", "four five six", "one two"])
    assert again.counts == (1, 3, 2)
    assert counts_asked(scripted) == [["one two", "three"], ["four five six"]]


async def test_counts_that_need_not_be_kept_are_forgotten(routed):
    scripted = backend()
    async with routed(scripted, counts_kept_max=1) as server:
        for text in ("one", "two", "one"):
            await server.inference.count_tokens("m", [text])
    assert counts_asked(scripted) == [["one"], ["two"], ["one"]]


async def test_a_server_that_fails_leaves_an_estimate(routed):
    scripted = backend()
    scripted.faults["tokenize"] = faults.status(500)
    async with routed(scripted) as server:
        count = await server.inference.count_tokens("m", ["x" * 400, ""])
    assert (count.counts, count.exact) == ((100, 0), False)


async def test_an_unknown_model_has_estimates(routed):
    async with routed(backend()) as server:
        assert not (await server.inference.count_tokens("nope", ["hello"])).exact


async def test_estimates_learn_from_what_a_server_reports(routed):
    class ChatsOnly:
        name = "a"

        def __init__(self):
            self.chat = backend(Script().says("Hi").uses(204, 1).forever()).chat

        async def models(self):
            return [ModelCard(id="m", backend="a")]

    async with routed(ChatsOnly()) as server:
        before = await server.inference.count_tokens("m", ["x" * 400])
        await server.chunks("m", "y" * 400)
        after = await server.inference.count_tokens("m", ["x" * 400])
    assert (before.counts, after.counts) == ((100,), (200,))
    assert not after.exact


def asked(text: str, **fields: object) -> ChatRequest:
    return ChatRequest(model="m", messages=(PromptMessage(role="user", content=text),), **fields)


def used(prompt_tokens: int) -> TokenUsage:
    return TokenUsage(prompt_tokens=prompt_tokens, completion_tokens=0, total_tokens=prompt_tokens)


def test_other_scripts_are_estimated_by_their_bytes():
    assert Ratios().estimate("m", "東京" * 100) == 150


def test_an_absurd_report_is_believed_only_so_far():
    ratios = Ratios()
    ratios.learn("m", asked("x" * 4000), used(5))
    assert ratios.estimate("m", "x" * 1200) == 100


@pytest.mark.parametrize(
    "request_",
    [asked("short"), asked("x" * 400, tools=(OfferedTool(function=OfferedFunction(name="f")),))],
)
def test_prompts_that_are_not_mostly_text_teach_nothing(request_):
    ratios = Ratios()
    ratios.learn("m", request_, used(300))
    assert ratios.estimate("m", "x" * 400) == 100


def test_one_model_s_counts_are_not_another_s():
    memory = Memory(10)
    memory.put("m", "text", 5)
    assert (memory.get("m", "text"), memory.get("n", "text")) == (5, None)
