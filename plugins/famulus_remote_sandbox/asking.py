"""Questions to our part in a kernel: silent requests, answered in the reply to each."""

from __future__ import annotations

import asyncio
import secrets

import msgspec

from famulus_remote_sandbox.channel import Channel
from famulus_remote_sandbox.messages import (
    Answer,
    ExecuteReply,
    Forged,
    Message,
    Status,
    Value,
    decoded,
    packed,
    request,
    unpacked,
)
from famulus_remote_sandbox.settings import RemoteSandboxSettings


class Asker:
    """Asks one kernel, one thing at a time. Raises ChannelClosed, TimeoutError and Forged."""

    def __init__(self, channel: Channel, settings: RemoteSandboxSettings, session: str) -> None:
        self._channel = channel
        self._settings = settings
        self._session = session
        self._module = f"famulus_box_{secrets.token_hex(8)}"
        self._id = ""
        self._is_idle = False
        self._heard_bytes = 0

    async def bring(self, source: str) -> None:
        """Bring our part, as base64, to a kernel that is new. Takes as long as that does."""
        run = (
            f"__import__('builtins').exec(__import__('base64').b64decode('{source}'), "
            f"{{'__name__': '{self._module}'}})"
        )
        await self._send("", silent=True, expressions={"told": run})
        await self._value()

    async def run(self, code: str) -> str:
        """Have it run a cell; the id of the request."""
        async with self._in_time():
            await self._send(code, silent=False, expressions={})
        return self._id

    async def ask(self, kind: str, blob: bytes = b"", **fields: object) -> tuple[Answer, bytes]:
        """Ask, and wait for the answer."""
        head = packed(msgspec.json.encode({"kind": kind, **fields}))
        asked = f"__import__('{self._module}').ask('{head}', '{packed(blob)}')"
        async with self._in_time():
            await self._send("", silent=True, expressions={"told": asked})
            value = await self._value()
        if value.status != "ok":
            raise Forged(f"it does not know what it is asked: {value.ename[:100]}")
        head, _, blob_text = value.data.plain.partition(" ")
        return decoded(unpacked(head), Answer), unpacked(blob_text)

    async def until_idle(self) -> None:
        """Until all that belongs to the last answer has come."""
        while not self._is_idle:
            await self.hear()

    async def hear(self) -> Message | None:
        """The next message that belongs to what was asked last, if the next one does."""
        size, message = await self._channel.receive()
        # All that it says is counted: also what is passed over takes time.
        self._heard_bytes += size
        if self._heard_bytes > self._settings.turn_bytes:
            raise Forged("it says too much")
        if message.answers != self._id:
            return None
        if message.kind == "status" and message.read(Status).execution_state == "idle":
            self._is_idle = True
        return message

    def _in_time(self) -> asyncio.Timeout:
        return asyncio.timeout(self._settings.transfer_s)

    async def _send(self, code: str, *, silent: bool, expressions: dict[str, str]) -> None:
        self._id = secrets.token_hex(16)
        self._is_idle, self._heard_bytes = False, 0
        self._channel.is_listening = True
        text = request(self._id, self._session, code, silent=silent, expressions=expressions)
        await self._channel.send(text)

    async def _value(self) -> Value:
        while True:
            message = await self.hear()
            if message is not None and message.kind == "execute_reply":
                reply = message.read(ExecuteReply)
                if reply.status != "ok" or "told" not in reply.user_expressions:
                    raise Forged(f"it does not answer: {reply.status[:20]}")
                return reply.user_expressions["told"]
