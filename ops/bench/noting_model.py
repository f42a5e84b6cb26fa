"""A model server in this process that notes when it is asked: each question carries a mark."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servers import HOST

MODEL = "noting"
_MARK = re.compile(rb"<(\d+)>")


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: " + json.dumps({**chunk, "choices": [choice]}).encode() + b"\n\n"


ANSWER = _chunk({"role": "assistant", "content": "Yes."}, None) + _chunk({}, "stop")
ANSWER += b"data: [DONE]\n\n"
MODELS = json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode()


def mark(number: int) -> str:
    """What a question has in it, so that its arrival is known again."""
    return f"<{number}>"


class NotingModel(ThreadingHTTPServer):
    """Answers every question alike."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        self.asked_at: dict[int, float] = {}
        """When the question with that mark came."""
        super().__init__((HOST, 0), _Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: NotingModel

    def do_GET(self) -> None:
        is_known = self.path == "/v1/models"
        self._answer(200 if is_known else 404, "application/json", MODELS if is_known else b"{}")

    def do_POST(self) -> None:
        now = time.perf_counter()
        body = self.rfile.read(int(self.headers["content-length"]))
        found = _MARK.search(body)
        if found is not None:
            self.server.asked_at[int(found[1])] = now
        self._answer(200, "text/event-stream", ANSWER)

    def _answer(self, status: int, type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def noting_model() -> Iterator[NotingModel]:
    """One that listens."""
    with NotingModel() as model:
        thread = threading.Thread(target=model.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield model
        finally:
            model.shutdown()
            thread.join()
