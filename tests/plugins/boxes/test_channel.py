"""What is sent to a box, whoever gives up meanwhile."""

from __future__ import annotations

import asyncio
import os

import pytest

from famulus_boxes.channel import Channel

pytestmark = pytest.mark.anyio


async def test_a_sender_who_gives_up_leaves_no_half_frame() -> None:
    theirs, requests = os.pipe()
    (replies, _a), (stdout, _b), (stderr, _c) = os.pipe(), os.pipe(), os.pipe()
    channel = Channel(requests=requests, replies=replies, stdout=stdout, stderr=stderr)
    try:
        sending = asyncio.create_task(channel.send_raw(b"1" * 100_000))
        await asyncio.sleep(0)
        assert not sending.done()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        sending = asyncio.create_task(channel.send_raw(b"2"))
        got = b""
        async with asyncio.timeout(30):
            while not got.endswith(b"2"):
                got += await asyncio.to_thread(os.read, theirs, 65_536)
            await sending
        assert got == b"1" * 100_000 + b"2"
    finally:
        channel.close()
        for each in (theirs, _a, _b, _c):
            os.close(each)
