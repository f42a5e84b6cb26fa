"""Pictures that messages give by address: the server fetches them, once, from where it may."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.plugins.runs.test_images import as_data, asked_of, asks, by_url, error_of, shown
from tests.plugins.strange_host import ADDRESS, StrangeHost, ok

from famulus.testing import Script, tool

pytestmark = pytest.mark.anyio


def png(width: int = 2, height: int = 3, more: bytes = b"") -> bytes:
    """The head of a picture of that size."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + more


PICTURE = png()


@pytest.fixture
async def host() -> AsyncIterator[StrangeHost]:
    """A host with one picture."""
    async with StrangeHost().standing() as standing:
        standing.says["/a.png"] = ok(PICTURE)
        yield standing


@pytest.fixture
def open_web(open_api: Any, host: StrangeHost) -> Any:
    """Opens a server that may ask that host, and no other of this machine."""

    def opened(script: Any = None, **arguments: Any) -> Any:
        fetch = {"networks": [f"{ADDRESS}/32"], "ports": [80, 443, host.port], "total_s": 2}
        return open_api(script, also=("fetch",), tables={"fetch": fetch}, **arguments)

    return opened


async def test_a_picture_at_an_address_is_shown_as_its_content(
    open_web: Any, host: StrangeHost
) -> None:
    async with open_web(Script().says("A dot.")) as api:
        run = await asked_of(api, asks(by_url(f"{host.url}/a.png", detail="low")))
        assert run["status"] == "completed"
        image = {"url": as_data(PICTURE), "detail": "low"}
        assert shown(api)[0][1] == {"type": "image_url", "image_url": image}
        assert host.paths == ["/a.png"]


async def test_a_run_fetches_a_picture_once_for_all_its_steps(
    open_web: Any, host: StrangeHost
) -> None:
    script = Script().calls(tool("lookup", {}, id="call_a")).says("Done.")
    async with open_web(script) as api:
        url = f"{host.url}/a.png"
        run = await asked_of(
            api,
            asks(by_url(url), by_url(url)),
            tools=[{"type": "function", "function": {"name": "lookup"}}],
        )
        assert run["status"] == "requires_action"
        await api.ok(await api.submit(run, call_a="1"))
        run = await api.ended(run)
        assert run["status"] == "completed"
        for chat in range(2):
            assert [part["type"] for part in shown(api, chat)[0]] == ["text", *["image_url"] * 2]
        assert host.paths == ["/a.png"]


async def test_what_takes_more_memory_than_it_may_is_fetched_again(
    open_web: Any, host: StrangeHost
) -> None:
    script = Script().says("One.").says("Two.")
    async with open_web(script, settings={"fetched_images_bytes_max": 10}) as api:
        run = await asked_of(api, asks(by_url(f"{host.url}/a.png")))
        assert (await api.ran(run["thread_id"], run["assistant_id"]))["status"] == "completed"
        assert host.paths == ["/a.png"] * 2


async def test_long_addresses_that_led_to_nothing_take_of_that_memory(
    open_web: Any, host: StrangeHost
) -> None:
    settings = {"fetched_images_bytes_max": 16_000, "image_urls": "fetch"}
    script = Script().says("One.").says("Two.")
    async with open_web(script, settings=settings) as api:
        lost = [f"{host.url}/{number}.png?{'x' * 7_000}" for number in range(3)]
        fetched = api.server.plugin("runs")._fetched
        for url in lost:
            await fetched.of("default", "run_1", [url])
        assert len(host.paths) == 3
        await fetched.of("default", "run_1", [lost[2]])
        assert len(host.paths) == 3
        await fetched.of("default", "run_1", [lost[0]])
        assert len(host.paths) == 4


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", "it answered with status 403"),
        (ok(b"<html>Log in</html>", "image/png"), "no PNG, JPEG, GIF or WebP"),
        (ok(b"<svg/>", "image/svg+xml"), "no PNG, JPEG, GIF or WebP"),
        (ok(PICTURE[:20]), "what is there is damaged"),
        (ok(png(0, 5)), "what is there is damaged"),
        (ok(png(20_000, 20_000)), "20000 x 20000 pixels"),
        (ok(png(more=b"x" * 1_000)), "it has more than 1000 bytes"),
    ],
)
async def test_what_is_no_picture_that_can_be_shown_fails_the_run_by_its_address(
    open_web: Any, host: StrangeHost, says: bytes, reason: str
) -> None:
    host.says["/a.png"] = says
    async with open_web(Script().says("never"), settings={"image_bytes_max": 1_000}) as api:
        run = await asked_of(api, asks(by_url(f"{host.url}/a.png")))
        assert (run["status"], run["last_error"]["code"]) == ("failed", "invalid_prompt")
        assert f"{host.url}/a.png, and it cannot be fetched: " in run["last_error"]["message"]
        assert reason in run["last_error"]["message"]
        assert "purpose 'vision'" in run["last_error"]["message"]
        assert not api.backend.chats


async def test_an_older_picture_that_is_gone_leaves_a_note_and_the_run_goes_on(
    open_web: Any, host: StrangeHost
) -> None:
    async with open_web(Script().says("A dot.").says("Red.")) as api:
        url = f"{host.url}/a.png"
        run = await asked_of(api, asks(by_url(url)))
        host.says.clear()
        body = {"role": "user", "content": "Which colour?"}
        await api.ok(await api.server.post(f"/v1/threads/{run['thread_id']}/messages", body))
        run = await api.ran(run["thread_id"], run["assistant_id"])
        assert run["status"] == "completed"
        assert shown(api)[0] == f"What is this?\n[image {url}: it could not be fetched]"


async def test_the_newest_are_fetched_and_no_more_than_a_prompt_has_room_for(
    open_web: Any, host: StrangeHost
) -> None:
    for number in range(6):
        host.says[f"/{number}.png"] = ok(png(number + 1, 1))
    settings = {"prompt_images_max": 2, "images_fetched_at_once": 1}
    async with open_web(Script().says("ok"), settings=settings) as api:
        await asked_of(api, asks(*(by_url(f"{host.url}/{number}.png") for number in range(6))))
        assert sorted(host.paths) == ["/4.png", "/5.png"]
        assert [part["type"] for part in shown(api)[0]].count("image_url") == 2
        assert "left out" in shown(api)[0][1]["text"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/a.png", "its host is none that this server asks"),
        ("http://169.254.169.254/latest", "its host is none that this server asks"),
        ("https://me:secret@a.example/a.png", "a user name or a password"),
        ("https://a.example:6379/a.png", "its port is 6379"),
        ("http://0x7f.1/a.png", "not well formed"),
    ],
)
async def test_an_address_that_is_never_asked_is_refused_with_the_message(
    open_web: Any, url: str, reason: str
) -> None:
    async with open_web() as api:
        message = asks(by_url(url))
        thread, assistant = await api.thread(), await api.assistant()
        run = {"assistant_id": assistant, "additional_messages": [message]}
        for path, body, within in (
            (f"/v1/threads/{thread}/messages", message, ""),
            ("/v1/threads", {"messages": [message]}, "messages[0]."),
            (f"/v1/threads/{thread}/runs", run, "additional_messages[0]."),
        ):
            param, text = error_of(await api.server.post(path, body))
            assert param == f"{within}content[1].image_url.url"
            assert reason in text
            assert "purpose 'vision'" in text


async def test_an_address_that_others_fetch_is_not_judged_here(open_web: Any) -> None:
    async with open_web(Script().says("ok"), settings={"image_urls": "pass"}) as api:
        await asked_of(api, asks(by_url("http://10.0.0.1:8080/a.png")))
        assert shown(api)[0][1]["image_url"]["url"] == "http://10.0.0.1:8080/a.png"


async def test_a_name_that_leads_inwards_fails_the_run(open_web: Any, host: StrangeHost) -> None:
    async with open_web(Script().says("never")) as api:
        run = await asked_of(api, asks(by_url(f"http://localhost:{host.port}/a.png")))
        assert "its host is none that this server asks" in run["last_error"]["message"]


async def test_nothing_that_a_model_writes_is_fetched(open_web: Any, host: StrangeHost) -> None:
    url = f"{host.url}/a.png?the=secret"
    script = Script().says(f"![look]({url})").says("ok")
    async with open_web(script) as api:
        said = {**asks(by_url(url), text="Here."), "role": "assistant"}
        run = await asked_of(api, said, asks(text=f"What is at {url}?"))
        await api.ran(run["thread_id"], run["assistant_id"])
        assert host.heard == []
        assert f"[image {url}]" in shown(api)[0]


async def test_a_blind_model_has_nothing_fetched(open_web: Any, host: StrangeHost) -> None:
    async with open_web(Script(), models={"vision": {"scripted": False}}) as api:
        run = await asked_of(api, asks(by_url(f"{host.url}/a.png")))
        assert "cannot be shown pictures" in run["last_error"]["message"]
        assert host.heard == []


def jpeg(width: int, height: int) -> bytes:
    exif = b"\xff\xe1\x00\x08Exif\x00\x00"
    tables = b"\xff\xff\xc4\x00\x04\x00\x00"
    size = struct.pack(">BHHB", 8, height, width, 0)
    return b"\xff\xd8" + exif + tables + b"\xff\xc2" + struct.pack(">H", 9) + size[:6] + b"\0" * 9


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (png(30_000, 30_000), "image/png"),
        (jpeg(30_000, 30_000), "image/jpeg"),
        (b"GIF89a" + struct.pack("<HH", 30_000, 30_000) + b"\0" * 9, "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x2f\x75\x00\x2f\x75\x00", "image/webp"),
        (
            b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f"
            + struct.pack("<I", 16_383 | 16_383 << 14)
            + b"\0" * 9,
            "image/webp",
        ),
        (
            b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_000, 16_000),
            "image/webp",
        ),
    ],
)
async def test_every_kind_of_picture_is_held_to_a_number_of_pixels(
    open_web: Any, host: StrangeHost, content: bytes, media_type: str
) -> None:
    host.says["/a.png"] = ok(content)
    async with open_web(Script().says("ok").forever()) as api:
        run = await asked_of(api, asks(by_url(f"{host.url}/a.png")))
        assert "pixels are the limit" in run["last_error"]["message"]
    async with open_web(Script().says("ok").forever(), settings={"image_pixels_max": 10**9}) as api:
        await asked_of(api, asks(by_url(f"{host.url}/a.png")))
        data = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        assert shown(api)[0][1]["image_url"]["url"] == data
