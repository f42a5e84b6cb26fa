"""Which model a name stands for."""

from __future__ import annotations

import pytest

from famulus import Problem
from famulus.testing.scripted import Script, ScriptedBackend, faults
from famulus_models.names import RETIRED
from famulus_schemas.inference import (
    CANNOT_SEE,
    BackendFault,
    ChatRequest,
    ImageContent,
    ImageUrl,
    ModelCard,
    PromptMessage,
)

pytestmark = pytest.mark.anyio


def backend(name: str, *models: str) -> ScriptedBackend:
    return ScriptedBackend(Script().says(f"I am {name}").forever(), name=name, models=models)


class OnlyEmbeds(ScriptedBackend):
    """Says of its models that they do not chat."""

    async def models(self) -> list[ModelCard]:
        return [ModelCard(id=id, backend=self.name, chats=False) for id in self.model_ids]


async def ids(server) -> list[str]:
    return [model["id"] for model in (await server.server.get("/v1/models")).json()["data"]]


async def test_models_are_listed_in_the_order_of_their_servers(routed):
    async with routed(backend("a", "m2", "m1"), backend("b", "m3")) as server:
        assert await ids(server) == ["m2", "m1", "m3"]


async def test_a_model_is_described(routed):
    async with routed(backend("a", "m1")) as server:
        answer = await server.server.get("/v1/models/m1")
    assert answer.json() == {"id": "m1", "object": "model", "created": 0, "owned_by": "famulus"}


async def test_a_model_whose_name_has_slashes_can_be_asked_for(routed):
    async with routed(backend("a", "Qwen/Qwen3-8B")) as server:
        described = await server.server.get("/v1/models/Qwen/Qwen3-8B")
        answer = await server.ask("Qwen/Qwen3-8B")
    assert described.json()["id"] == "Qwen/Qwen3-8B"
    assert answer.status_code == 200


async def test_of_two_servers_with_one_model_the_first_has_the_name(routed):
    async with routed(backend("a", "m"), backend("b", "m")) as server:
        assert await ids(server) == ["m", "b/m"]
        assert await server.chat("m") == "I am a"
        assert await server.chat("b/m") == "I am b"
        assert await server.chat("a/m") == "I am a"


async def test_an_alias_is_listed_and_answers(routed):
    async with routed(backend("a", "m1"), aliases={"gpt-4o": "m1", "house": "gpt-4o"}) as server:
        assert await ids(server) == ["m1", "gpt-4o", "house"]
        assert await server.chat("house") == "I am a"
        card = await server.inference.find("house")
    assert (card.id, card.alias_of, card.context_tokens) == ("house", "m1", 8192)


async def test_an_alias_that_leads_nowhere_is_not_listed(routed):
    async with routed(backend("a", "m1"), aliases={"house": "gone"}) as server:
        assert await ids(server) == ["m1"]
        assert (await server.ask("house")).status_code == 404


async def test_an_alias_wins_over_a_model_of_its_name(routed):
    async with routed(backend("a", "m"), backend("b", "n"), aliases={"m": "n"}) as server:
        assert await server.chat("m") == "I am b"


def test_aliases_may_not_go_in_a_circle():
    from famulus_models import ModelsSettings

    with pytest.raises(ValueError, match="a -> b -> a"):
        ModelsSettings(aliases={"a": "b", "b": "a"})


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4-turbo", "gpt-3.5-turbo-0125", "o1", "o3-mini"])
async def test_a_retired_name_goes_to_the_only_model(routed, name):
    async with routed(backend("a", "m1")) as server:
        assert await server.chat(name) == "I am a"
        assert await ids(server) == ["m1"]


async def test_a_retired_name_goes_to_the_default_model_where_there_are_several(routed):
    async with routed(backend("a", "m1", "m2"), backend("b", "m3"), default_model="m3") as server:
        assert await server.chat("gpt-4o") == "I am b"


async def test_a_retired_name_is_unknown_where_nobody_can_say_what_was_meant(routed):
    async with routed(backend("a", "m1", "m2")) as server:
        assert (await server.ask("gpt-4o")).status_code == 404


async def test_a_retired_name_is_unknown_where_the_rule_is_off(routed):
    async with routed(backend("a", "m1"), retired_models_to_default=False) as server:
        assert (await server.ask("gpt-4o")).status_code == 404


@pytest.mark.parametrize("name", ["gpt-5", "gpt-oss-20b", "o1abc", "qwen3", "omni", "my-gpt-4"])
def test_other_names_are_not_taken_for_retired(name):
    assert RETIRED.match(name) is None


async def test_an_unknown_model_is_refused_with_what_there_is(routed):
    async with routed(backend("a", "m1", "m2")) as server:
        answer = await server.ask("nope")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "'nope' does not exist" in error["message"]
    assert "m1, m2" in error["message"]


async def test_an_unknown_model_of_a_typed_chat_is_not_found(routed):
    async with routed(backend("a", "m1")) as server:
        with pytest.raises(BackendFault) as caught:
            await server.chat("nope")
    assert caught.value.kind == "not_found"


async def test_without_a_server_the_answer_says_how_to_name_one(routed):
    async with routed() as server:
        answer = await server.ask("gpt-4o")
    assert answer.status_code == 404
    assert "--backend" in answer.json()["error"]["message"]


async def test_the_last_resort_answers_where_there_is_no_other(routed):
    async with routed(backend("builtin", "famulus-builtin")) as server:
        assert await ids(server) == ["famulus-builtin"]
        assert await server.chat("gpt-4o") == "I am builtin"


async def test_the_last_resort_is_not_listed_beside_others_but_answers_to_its_name(routed):
    async with routed(backend("builtin", "famulus-builtin"), backend("a", "m1")) as server:
        assert await ids(server) == ["m1"]
        assert await server.chat("gpt-4o") == "I am a"
        assert await server.chat("famulus-builtin") == "I am builtin"


async def test_the_last_resort_does_not_answer_for_a_server_that_is_down(routed):
    down = backend("a", "m1")
    down.faults["models"] = faults.reset()
    async with routed(backend("builtin", "famulus-builtin"), down) as server:
        answer = await server.ask("gpt-4o")
    assert answer.status_code == 503
    assert "'a' did not answer" in answer.json()["error"]["message"]


async def test_a_model_is_not_deletable(routed):
    async with routed(backend("a", "m1")) as server:
        answer = await server.server.delete("/v1/models/m1")
        unknown = await server.server.delete("/v1/models/m2")
    assert answer.status_code == 403
    assert "cannot be deleted" in answer.json()["error"]["message"]
    assert unknown.status_code == 404


async def test_find_refuses_an_unknown_model(routed):
    async with routed(backend("a", "m1")) as server:
        with pytest.raises(Problem, match="does not exist"):
            await server.inference.find("nope")


SEES = {
    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    "role": "user",
}


async def test_pictures_are_refused_for_a_model_that_is_known_to_see_nothing(routed):
    async with routed(backend("a", "m"), vision={"m": False}) as server:
        answer = await server.ask("m", messages=[SEES])
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "messages"
        assert answer.json()["error"]["code"] == "unsupported"
        assert "does not support pictures" in answer.json()["error"]["message"]
        for content in ("image_url", '{"type":"image_url"}', [{"type": "text", "text": "x"}]):
            fine = {"role": "user", "content": content}
            assert (await server.ask("m", messages=[fine])).status_code == 200


async def test_pictures_go_to_a_model_of_which_nobody_knows(routed):
    async with routed(backend("a", "m")) as server:
        assert (await server.ask("m", messages=[SEES])).status_code == 200


@pytest.mark.parametrize(
    ("vision", "expected"),
    [
        ({}, [None, None, None]),
        ({"m": False}, [False, False, False]),
        ({"a/m": False}, [False, False, False]),
        ({"house": True, "m": False}, [False, True, True]),
        ({"door": False, "house": True}, [None, True, False]),
    ],
)
async def test_what_is_set_for_a_name_goes_before_what_it_stands_for(routed, vision, expected):
    aliases = {"house": "m", "door": "house"}
    async with routed(backend("a", "m"), aliases=aliases, vision=vision) as server:
        cards = [await server.inference.find(name) for name in ("m", "house", "door")]
        assert [card.sees for card in cards] == expected
        listed = {card.id: card.sees for card in await server.inference.models()}
        assert [listed[name] for name in ("m", "house", "door")] == expected


async def test_a_typed_chat_with_pictures_is_refused_likewise(routed):
    image = ImageContent(image_url=ImageUrl(url="data:image/png;base64,AAAA"))
    request = ChatRequest(model="m", messages=(PromptMessage(role="user", content=(image,)),))
    async with routed(backend("a", "m"), vision={"m": False}) as server:
        with pytest.raises(BackendFault, match="cannot be shown pictures") as caught:
            [batch async for batch in server.inference.chat(request)]
    assert caught.value.code == CANNOT_SEE


async def test_a_retired_name_goes_to_the_only_model_that_chats(routed):
    async with routed(OnlyEmbeds(name="e", models=("e1", "e2")), backend("a", "m1")) as server:
        assert await ids(server) == ["m1", "e1", "e2"]
        assert await server.chat("gpt-4o") == "I am a"


async def test_the_last_resort_is_listed_beside_models_that_only_embed(routed):
    embeds = OnlyEmbeds(name="e", models=("e1",))
    async with routed(embeds, backend("builtin", "stand-in")) as server:
        assert await ids(server) == ["stand-in", "e1"]
        assert await server.chat("gpt-4o") == "I am builtin"
        assert len(await server.inference.embed("e1", ["Oslo"])) == 1
