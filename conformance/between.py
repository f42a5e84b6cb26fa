"""A man in the middle, who has a server say something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx

KEPT = ("content-type", "x-request-id", "openai-poll-after-ms")
"""Of the headers of an answer."""
TIMEOUT_S = 60.0


@contextmanager
def between(base_url: str, due: bytes, instead: bytes) -> Iterator[str]:
    """A base URL with the same behind it, but for these bytes, which are others in all answers."""
    origin = urlsplit(base_url)

    class Passing(BaseHTTPRequestHandler):
        """Asks the server, and passes its answer on when it is whole."""

        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def do_DELETE(self) -> None:
            self._pass_on()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            given = {name: self.headers[name] for name in ("authorization", "content-type")}
            answer = httpx.request(
                self.command,
                f"{origin.scheme}://{origin.netloc}{self.path}",
                content=body,
                headers={name: value for name, value in given.items() if value},
                timeout=TIMEOUT_S,
            )
            changed = answer.content.replace(due, instead)
            self.send_response(answer.status_code)
            for name in KEPT:
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(changed)))
            self.end_headers()
            self.wfile.write(changed)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{origin.path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
