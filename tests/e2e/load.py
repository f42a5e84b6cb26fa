"""Clients that write without end, and remember, outside the server, what it acknowledged.

What one client writes no other touches, so that each object has one history. A write that was
under way when the server was killed may have happened or not, but never by half.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.serving import KEY

Known = Mapping[str, Any]
"""Paths to what is to be found there; None for nothing any more."""

TIMEOUT_S = 60.0


class Connection:
    """One kept connection to a server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer, or None where nothing is there. Raises OSError, HTTPException."""
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        content = None if body is None else json.dumps(body)
        self._http.request(method, path, content, headers)
        response = self._http.getresponse()
        answer = json.loads(response.read())
        if response.status == 404:
            return None
        assert response.status == 200, (method, path, answer)
        return answer

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


class Writer:
    """A client that writes until its server is gone."""

    def __init__(self, url: str, *, seed: str, model: str) -> None:
        self.known: dict[str, Any] = {}
        """What was acknowledged last."""
        self.alternatives: Sequence[Known] = ()
        """What the write that was under way may have left; empty where none was."""
        self.runs: list[str] = []
        """Paths of runs that were begun."""
        self.acknowledged = 0
        self.failure: Exception | None = None
        self._url = url
        self._chance = random.Random(seed)
        self._seed = seed
        self._model = model
        self._thread = threading.Thread(target=self._write_on, daemon=True)

    def start(self) -> None:
        """Write from now on, in a thread."""
        self._thread.start()

    def join(self) -> None:
        """Return once the server is gone."""
        self._thread.join()

    def _write_on(self) -> None:
        todo = [self._make_assistant, self._make_thread, self._make_message, self._make_message]
        todo += [self._modify, self._modify, self._delete, self._begin_run]
        with Connection(self._url) as self._connection:
            try:
                while True:
                    self._chance.choice(todo)()
            except (OSError, http.client.HTTPException):
                return
            except Exception as error:
                self.failure = error

    def _make_assistant(self) -> None:
        body = {"model": self._model, "name": self._word(), "instructions": self._word() * 20}
        self._keep("/v1/assistants", self._write("POST", "/v1/assistants", body))

    def _make_thread(self) -> None:
        messages = [self._said() for _ in range(self._chance.randint(0, 3))]
        thread = self._write("POST", "/v1/threads", {"messages": messages})
        path = self._keep("/v1/threads", thread)
        listed = self._connection.ask("GET", f"{path}/messages")["data"]
        assert len(listed) == len(messages)
        for message in listed:
            self._keep(f"{path}/messages", message)

    def _make_message(self) -> None:
        if path := self._one_of("thread"):
            message = self._write("POST", f"{path}/messages", self._said())
            self._keep(f"{path}/messages", message)

    def _modify(self) -> None:
        if path := self._one_of("assistant", "thread", "thread.message"):
            before, metadata = self.known[path], {"word": self._word()}
            self.alternatives = [{path: before}, {path: {**before, "metadata": metadata}}]
            self.known[path] = self._write("POST", path, {"metadata": metadata})
            self.alternatives = ()

    def _delete(self) -> None:
        if path := self._one_of("assistant", "thread", "thread.message"):
            # A thread takes its messages along.
            ending = [each for each in self.known if each == path or each.startswith(f"{path}/")]
            after = dict.fromkeys(ending)
            self.alternatives = [{each: self.known[each] for each in ending}, after]
            self._write("DELETE", path)
            self.known |= after
            self.alternatives = ()

    def _begin_run(self) -> None:
        if path := self._one_of("assistant"):
            thread = {"messages": [{"role": "user", "content": "Hello"}]}
            body = {"assistant_id": self.known[path]["id"], "thread": thread}
            run = self._write("POST", "/v1/threads/runs", body)
            self.runs.append(f"/v1/threads/{run['thread_id']}/runs/{run['id']}")

    def _write(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._connection.ask(method, path, body)
        assert answer is not None, (method, path)
        self.acknowledged += 1
        return answer

    def _keep(self, parent: str, made: Any) -> str:
        path = f"{parent}/{made['id']}"
        self.known[path] = made
        return path

    def _one_of(self, *kinds: str) -> str | None:
        """One of the things that are there."""
        found = [path for path, made in self.known.items() if made and made["object"] in kinds]
        return self._chance.choice(found) if found else None

    def _said(self) -> Any:
        return {"role": "user", "content": self._word()}

    def _word(self) -> str:
        return f"{self._seed}-{self._chance.randrange(10**9)}"
