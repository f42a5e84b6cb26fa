"""A collector on a port of this machine, which takes OTLP by HTTP and remembers it."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

WAIT_S = 60.0


class Span:
    """A span that was taken, in Python's types."""

    def __init__(self, span: trace_pb2.Span, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.kind: str = trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        self.trace: str = span.trace_id.hex()
        self.id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.begins = span.start_time_unix_nano
        self.ends = span.end_time_unix_nano
        self.failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
        self.attributes = values(span.attributes)
        self.resource = resource


def values(attributes: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class Collector:
    """What it was sent, and how it answers."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Span] = []
        self.refused = 0

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """One request; the status of its answer."""
        self.headers.append(headers)
        if self.status != 200:
            self.refused += 1
            return self.status
        data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.bodies.append(data)
        request = ExportTraceServiceRequest.FromString(data)
        for of_server in request.resource_spans:
            resource = values(of_server.resource.attributes)
            for of_scope in of_server.scope_spans:
                self.spans.extend(Span(span, resource) for span in of_scope.spans)
        return 200

    def named(self, *names: str, of: str = "") -> list[Span]:
        """The spans of these names, once there are as many; of one trace, where it is given."""
        give_up = time.monotonic() + WAIT_S
        while time.monotonic() < give_up:
            found = [span for span in self.spans if span.name in names and of in ("", span.trace)]
            if Counter(span.name for span in found) >= Counter(names):
                return sorted(found, key=lambda span: names.index(span.name))
            time.sleep(0.01)
        raise AssertionError(f"not there: {names}; only {[span.name for span in self.spans]}")


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            assert self.path == "/v1/traces"
            self.send_response(collector.take(headers, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
