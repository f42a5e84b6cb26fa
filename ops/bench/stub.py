"""The model server of `stub.c` for machines without a compiler; it says so by being slower.

python stub.py PORT MODEL...
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import uvloop

TICK_S = 0.001
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
CHUNK = (
    '"id":"chatcmpl-stub","object":"chat.completion.chunk","created":1700000000,"model":"{model}"'
)
WHOLE = (
    b'{"id":"chatcmpl-stub","object":"chat.completion","created":1700000000,"model":"stub",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"An answer of one length, to '
    b'be passed on unchanged and counted by whoever asked for it.","tool_calls":[]},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":20,'
    b'"total_tokens":32}}'
)


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, streams: set[Connection], models: bytes) -> None:
        self._streams = streams
        self._models = models
        self._request = b""
        self._phase = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._phase = (transport.get_extra_info("peername")[1] * 137 % 1000) / 1000

    def connection_lost(self, exc: Exception | None) -> None:
        self._streams.discard(self)

    def data_received(self, data: bytes) -> None:
        self._request += data
        while (end := self._request.find(b"\r\n\r\n")) >= 0:
            head = self._request[:end].lower()
            _, found, rest = head.partition(b"\r\ncontent-length:")
            total = end + 4 + (int(rest.partition(b"\r\n")[0]) if found else 0)
            if len(self._request) < total:
                return
            body = self._request[end + 4 : total]
            self._request = self._request[total:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get /v1/models "):
            self._whole(b"200 OK", self._models)
        elif not head.startswith(b"post /v1/chat/completions "):
            self._whole(b"404 Not Found", b"{}")
        elif b'"stream":true' not in body:
            self._whole(b"200 OK", WHOLE)
        else:
            model = body.partition(b'"paced-')[2].partition(b'"')[0].decode() or "50-10"
            rate, _, tokens = model.partition("-")
            self._rate, self._tokens, self._sent = float(rate), int(tokens), 0
            self._common = CHUNK.format(model=f"paced-{model}")
            self._started = time.monotonic()
            self._transport.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            self._streams.add(self)

    def _whole(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)

    def pace(self, now: float) -> bool:
        """Send what is due; whether there is more to come."""
        due = (now - self._started) * self._rate - self._phase
        while self._sent < due:
            if self._sent == self._tokens:
                self._transport.write(self._last())
                return False
            delta = '"delta":{"content":"~%d "},"logprobs":null,"finish_reason":null'
            self._put(f'"choices":[{{"index":0,{delta % time.monotonic_ns()}}}]')
            self._sent += 1
        return True

    def _put(self, rest: str) -> None:
        self._transport.write(_chunk(f"data: {{{self._common},{rest}}}\n\n"))

    def _last(self) -> bytes:
        stop = '"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]'
        counts = f'"completion_tokens":{self._tokens},"total_tokens":{self._tokens + 12}'
        usage = f'"choices":[],"usage":{{"prompt_tokens":12,{counts}}}'
        return (
            _chunk(f"data: {{{self._common},{stop}}}\n\n")
            + _chunk(f"data: {{{self._common},{usage}}}\n\ndata: [DONE]\n\n")
            + b"0\r\n\r\n"
        )


def _chunk(text: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text.encode())


def _list(models: list[str]) -> bytes:
    cards = ",".join(
        f'{{"id":"{model}","object":"model","created":1700000000,"owned_by":"stub",'
        f'"max_model_len":1000000}}'
        for model in models
    )
    return f'{{"object":"list","data":[{cards}]}}'.encode()


async def main(port: int, models: list[str]) -> None:
    """Serve until killed."""
    streams: set[Connection] = set()
    listed = _list(models)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Connection(streams, listed), "127.0.0.1", port)
    while True:
        await asyncio.sleep(TICK_S)
        now = time.monotonic()
        streams -= {stream for stream in list(streams) if not stream.pace(now)}


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2:]))
