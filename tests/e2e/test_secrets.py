"""Secrets are planted in everything that a server is told, and looked for in all that it tells."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from tests.e2e.serving import Served, serve

PLANTED = "canary"
"""What every secret here holds; none has the form of a credential, unless that is its point."""

API_KEY = "the-canary-of-the-operator"
BACKEND_KEY = "the canary of the model server"
BACKEND_HEADER = "a-canary-beside-it"
PEPPER = "canary-pepper-canary-pepper"
WRONG_KEYS = ["sk-canary-canary-canary", "canary", "Canary And More", "canary\tcanary"]

OURS = (API_KEY, BACKEND_KEY, BACKEND_HEADER, PEPPER)
"""What no client may ever be told, even in the words of another server."""


class Talkative(BaseHTTPRequestHandler):
    """A model server that repeats all that it was sent in whatever goes wrong."""

    ids: ClassVar[list[str | None]] = []

    def log_message(self, *_: Any) -> None:
        """Say nothing of it."""

    def do_GET(self) -> None:
        """One model."""
        self._send(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        """Answer, or fail and say with what it was asked."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.ids.append(self.headers["X-Request-Id"])
        text = json.dumps(asked["messages"])
        if "fail" in text:
            status = 400 if "badly" in text else 500
            sent = f"{self.headers['Authorization']} {self.headers['X-Extra']}"
            self._send(status, {"error": {"message": f"You sent {sent}.", "code": "odd"}})
            return
        choice = {"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}
        chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

    def _send(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def talkative() -> Iterator[str]:
    """Such a server; its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Talkative)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Spy:
    """A client that remembers all that it was told."""

    def __init__(self, served: Served) -> None:
        headers = {"authorization": f"Bearer {API_KEY}"}
        self.client = httpx.Client(base_url=served.url, headers=headers, timeout=60)
        self.errors: list[str] = []

    def ask(self, method: str, path: str, **fields: Any) -> httpx.Response:
        """Ask, and remember what went wrong."""
        answer = self.client.request(method, path, **fields)
        if answer.status_code >= 400:
            self.errors.append(answer.text)
        return answer

    def run(self, assistant: str, text: str, **fields: Any) -> Any:
        """A run on a new thread, streamed to its end; its last state."""
        body = {
            "assistant_id": assistant,
            "stream": True,
            "thread": {
                "messages": [{"role": "user", "content": text, "metadata": {"m": f"{PLANTED} 1"}}],
                "metadata": {"m": f"{PLANTED} 2"},
            },
            **fields,
        }
        answer = self.ask("POST", "/v1/threads/runs", json=body)
        ends = [json.loads(line[6:]) for line in answer.text.splitlines() if 'thread.run"' in line]
        self.errors += [json.dumps(end["last_error"]) for end in ends if end.get("last_error")]
        return ends[-1]


def provoke(spy: Spy) -> None:
    """Plant secrets everywhere, in what goes well and in what does not."""
    for key in WRONG_KEYS:
        spy.ask("GET", "/v1/assistants", headers={"authorization": f"Bearer {key}"})
        spy.ask("GET", "/v1/assistants", headers={"authorization": key})
    strange = {
        "cookie": f"session={PLANTED}",
        "openai-organization": PLANTED,
        "x-forwarded-for": PLANTED,
        "x-request-id": f"{PLANTED} with spaces",
        "user-agent": PLANTED,
        "idempotency-key": PLANTED,
    }
    spy.ask("GET", f"/v1/assistants?after={PLANTED}&key={PLANTED}", headers=strange)
    spy.ask("GET", f"/v1/threads/{PLANTED}")
    spy.ask("GET", f"/{PLANTED}?{PLANTED}")
    spy.ask("PATCH", f"/v1/threads/{PLANTED}")
    json_type = {"content-type": "application/json"}
    spy.ask("POST", "/v1/threads", content=f'{{"{PLANTED}": {PLANTED}', headers=json_type)
    spy.ask("POST", "/v1/threads", json={PLANTED: PLANTED, "metadata": {"a": [PLANTED]}})
    spy.ask("POST", "/v1/threads", content=PLANTED, headers={"content-type": PLANTED})
    sent = {"file": (f"{PLANTED}.txt", f"{PLANTED} inside".encode(), "text/plain")}
    file = spy.ask("POST", "/v1/files", files=sent, data={"purpose": "assistants"}).json()
    damaged = {"file": (f"{PLANTED}.pdf", f"%PDF {PLANTED}".encode(), "application/pdf")}
    broken = spy.ask("POST", "/v1/files", files=damaged, data={"purpose": "assistants"}).json()
    ids = [file["id"], broken["id"]]
    spy.ask("POST", "/v1/vector_stores", json={"name": PLANTED, "file_ids": ids})
    function = {"name": f"{PLANTED}_f", "description": PLANTED}
    assistant = spy.ask(
        "POST",
        "/v1/assistants",
        json={
            "model": "m",
            "name": PLANTED,
            "instructions": PLANTED,
            "tools": [{"type": "function", "function": function}],
        },
    ).json()["id"]
    assert spy.run(assistant, f"my token is {PLANTED}")["status"] == "completed"
    assert spy.run(assistant, f"fail {PLANTED}")["status"] == "failed"
    assert spy.run(assistant, f"fail badly {PLANTED}")["status"] == "failed"
    for text in (PLANTED, f"fail {PLANTED}", f"fail badly {PLANTED}"):
        for stream in (False, True):
            body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
            spy.ask("POST", "/v1/chat/completions", json=body)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a server told of all that, by where; it is read once the server has ended."""
    folder: Path = tmp_path_factory.mktemp("secrets")
    (folder / "pepper").write_text(PEPPER)
    (folder / "pepper").chmod(0o600)
    Talkative.ids.clear()
    with talkative() as url:
        (folder / "famulus.toml").write_text(
            f"[plugins.openai_compatible]\ndiscover = false\n"
            f'[[plugins.openai_compatible.backends]]\nurl = "{url}"\nname = "talkative"\n'
            f'api_key = "{BACKEND_KEY}"\nheaders = {{ "X-Extra" = "{BACKEND_HEADER}" }}\n'
            "[plugins.models]\nattempts_max = 1\ncircuit_failures_max = 1000\n"
        )
        environment = {
            "FAMULUS_API_KEY": API_KEY,
            "FAMULUS_KEYS__PEPPER": f"file:{folder / 'pepper'}",
            "FAMULUS_SERVER__LOG_LEVEL": "debug",
        }
        arguments = ["--config", str(folder / "famulus.toml")]
        with serve(folder, arguments=arguments, environment=environment) as served:
            spy = Spy(served)
            with spy.client:
                provoke(spy)
                found = {
                    "errors": "\n".join(spy.errors),
                    "metrics": spy.ask("GET", "/metrics").text,
                    "plugins": spy.ask("GET", "/-/plugins").text,
                    "ready": spy.ask("GET", "/health/ready").text,
                }
    return {**found, "log": served.log.read_text()}


def test_something_was_told_everywhere(told: dict[str, str]) -> None:
    events = [json.loads(line)["event"] for line in told["log"].splitlines()]
    assert events.count("request_served") > 25
    assert {"run_completed", "run_failed", "model_attempt_failed"} <= set(events)
    assert "You sent" in told["errors"]
    assert "[redacted]" in told["errors"]
    assert 'famulus_runs_total{status="failed"} 2' in told["metrics"]


@pytest.mark.parametrize("where", ["log", "metrics", "plugins", "ready"])
def test_nothing_that_was_planted_is_told(told: dict[str, str], where: str) -> None:
    lines = [line for line in told[where].splitlines() if PLANTED in line.lower()]
    assert lines == []


@pytest.mark.parametrize("secret", OURS)
def test_no_client_is_told_a_secret_of_ours(told: dict[str, str], secret: str) -> None:
    assert secret not in told["errors"]


@pytest.mark.parametrize("key", [key for key in WRONG_KEYS if len(key) > 10])
def test_a_key_that_is_wrong_is_not_repeated(told: dict[str, str], key: str) -> None:
    assert key not in told["errors"]


def test_a_request_goes_by_one_id_to_the_log_and_the_model_server(told: dict[str, str]) -> None:
    events = [json.loads(line) for line in told["log"].splitlines()]
    served = {each["request_id"] for each in events if each["event"] == "request_served"}
    assert len(Talkative.ids) == 9
    assert set(Talkative.ids) <= served
    runs = [each for each in events if each["event"] in ("run_completed", "run_failed")]
    assert len(runs) == 3
    # A run's line, the model server and the request that created it name the same id.
    assert {each["request_id"] for each in runs} <= set(Talkative.ids)
