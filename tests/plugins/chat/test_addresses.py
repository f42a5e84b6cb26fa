"""What model servers would fetch themselves can be refused before they are asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from famulus.testing.kit import kernel_with
from famulus.testing.scripted import Script, ScriptedBackend
from famulus_chat import Chat
from famulus_models import Models

pytestmark = pytest.mark.anyio
PATH = "/v1/chat/completions"
DATA = "data:image/png;base64,AAAA"


def asked(part: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "image_url"}, part]
    return {"model": "scripted", "messages": [{"role": "user", "content": content}]}


def server_of(media_addresses: str) -> Any:
    settings = {"chat": {"media_addresses": media_addresses}}
    backend = ScriptedBackend(Script().says("ok").forever())
    return kernel_with(Models, Chat, backend=backend, settings=settings)


@pytest.mark.parametrize(
    "url", ["https://a.example/b.png", "HTTP://10.0.0.1", "file:///etc/passwd"]
)
@pytest.mark.parametrize("kind", ["image_url", "video_url", "audio_url"])
async def test_an_address_is_refused_by_its_place(kind: str, url: str) -> None:
    async with server_of("refuse") as server:
        for given in ({"url": url}, url):
            answer = await server.post(PATH, asked({"type": kind, kind: given}))
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == f"messages[0].content[1].{kind}"


async def test_a_key_that_is_written_with_escapes_is_the_same_key() -> None:
    body = json.dumps(asked({"image_url": {"url": "http://10.0.0.1"}}))
    body = body.replace("image_url", "\\u0069mage\\u005furl")
    headers = {"content-type": "application/json"}
    async with server_of("refuse") as server:
        answer = await server.client.post(PATH, content=body, headers=headers)
        assert answer.status_code == 400


async def test_bytes_and_words_pass() -> None:
    async with server_of("refuse") as server:
        for part in (
            {"type": "image_url", "image_url": {"url": DATA}},
            {"type": "text", "text": '{"image_url": "http://10.0.0.1"}'},
        ):
            assert (await server.post(PATH, asked(part))).status_code == 200


async def test_addresses_pass_unless_the_operator_says_otherwise() -> None:
    async with server_of("pass") as server:
        part = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
        assert (await server.post(PATH, asked(part))).status_code == 200
