"""A server is asked what it serves, and what it is."""

from __future__ import annotations

import pytest

from famulus.testing.scripted import Script, ScriptedBackend, faults
from famulus_schemas.inference import BackendFault, ChatRequest, ModelCard, PromptMessage

pytestmark = pytest.mark.anyio


def json_answer(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


async def test_models_come_with_their_context(reach):
    async with reach(ScriptedBackend(models=("a", "b"), context_tokens=4096)) as backend:
        cards = await backend.models()
    assert [(card.id, card.backend, card.context_tokens) for card in cards] == [
        ("a", "box", 4096),
        ("b", "box", 4096),
    ]


async def test_named_models_are_known_while_the_server_is_down(reach):
    async with reach("http://127.0.0.1:9", models=["a"], context_tokens=512) as backend:
        assert await backend.models() == [
            ModelCard(id="a", backend="box", owned_by="box", context_tokens=512)
        ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"object":"list","data":[{"id":"m","created":1.5}]}', [("m", 1, None)]),
        (b'{"data":[{"id":"m","meta":{"n_ctx":32768,"n_params":1}}]}', [("m", 0, 32768)]),
        (b'{"data":[{"id":"m","context_length":8192,"pricing":{}}]}', [("m", 0, 8192)]),
        (b'{"object":"list","data":null}', []),
    ],
    ids=["float date", "llama.cpp", "hosted router", "ollama without models"],
)
async def test_lists_are_read_as_servers_write_them(reach, answering, body, expected):
    async with (
        answering(json_answer(body)) as server,
        reach(server.url, dialect="openai") as backend,
    ):
        cards = await backend.models()
    assert [(card.id, card.created, card.context_tokens) for card in cards] == expected


@pytest.mark.parametrize(
    ("body", "sees"),
    [
        (b'{"data":[{"id":"m"}]}', None),
        (b'{"data":[{"id":"m","architecture":{"input_modalities":["text","image"]}}]}', True),
        (b'{"data":[{"id":"m","architecture":{"input_modalities":["text"]}}]}', False),
        (b'{"data":[{"id":"m","architecture":"llama","capabilities":[1]}]}', None),
        (b'{"data":[{"id":"m","capabilities":{"vision":true}}]}', True),
        (b'{"data":[{"id":"m"}],"models":[{"model":"m","capabilities":["completion"]}]}', False),
        (
            b'{"data":[{"id":"m"}],"models":[{"name":"m","capabilities":["multimodal"]}]}',
            True,
        ),
        (b'{"data":[{"id":"m"}],"models":[{"name":"n","capabilities":["multimodal"]},3]}', None),
    ],
    ids=["silent", "router sees", "router", "odd", "flag", "llama.cpp", "llama.cpp sees", "others"],
)
async def test_whether_a_model_sees_is_read_where_its_server_says_so(reach, answering, body, sees):
    async with (
        answering(json_answer(body)) as server,
        reach(server.url, dialect="openai") as backend,
    ):
        (card,) = await backend.models()
    assert card.sees is sees


@pytest.mark.parametrize("models", [None, ["m"]])
async def test_what_is_set_goes_before_what_a_server_says(reach, answering, models):
    body = b'{"data":[{"id":"m","capabilities":{"vision":true}}]}'
    async with (
        answering(json_answer(body)) as server,
        reach(server.url, dialect="openai", vision=False, models=models) as backend,
    ):
        (card,) = await backend.models()
    assert card.sees is False


async def test_a_vllm_server_is_recognised_and_gets_priorities(reach):
    scripted = ScriptedBackend(Script().says("Hi"))
    request = ChatRequest(
        model="scripted", messages=(PromptMessage(role="user", content="Hi"),), priority=5
    )
    async with reach(scripted) as backend:
        await backend.models()
        async for _ in backend.chat(request):
            pass
    assert backend.dialect.name == "vllm"
    assert scripted.chats[0].body["priority"] == 5


async def test_a_server_that_tells_no_version_is_not_taken_for_vllm(reach, answering):
    answer = json_answer(b'{"data":[{"id":"m"}]}')
    async with answering(answer) as server, reach(server.url) as backend:
        await backend.models()
    assert backend.dialect.name == "openai"


async def test_a_server_that_is_down_is_asked_again_what_it_is(reach):
    scripted = ScriptedBackend()
    async with reach(scripted) as backend:
        async with scripted.refusing():
            with pytest.raises(BackendFault):
                await backend.models()
        await backend.models()
    assert backend.dialect.name == "vllm"


async def test_a_list_that_does_not_come_is_a_fault(reach):
    scripted = ScriptedBackend()
    scripted.faults["models"] = faults.status(500, "no list today")
    async with reach(scripted) as backend:
        with pytest.raises(BackendFault, match="no list today"):
            await backend.models()
