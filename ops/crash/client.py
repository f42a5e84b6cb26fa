"""One client: every request that it sends and every answer that it gets is in the ledger."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from ledger import GONE, Creation, Ledger, Story
from model import Task
from streams import Tale, frames

KEY = "sk-key-of-the-crash-tests"
ANSWER_S = 20.0
POLL_S = 0.03
NOT_CANCELLED = b"run_not_cancelled"
REST = frozenset({"completed", "failed", "cancelled", "expired", "incomplete", "requires_action"})


class Unanswered(Exception):
    """The server was gone before it answered."""


class Stopped(Exception):
    """The load is over; nothing more is to be sent."""


class Client:
    """Speaks to one server, whose address may change."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        url: Callable[[], str],
        seed: object,
        stopping: Callable[[], bool],
        key: str = KEY,
    ) -> None:
        self.ledger = ledger
        self.random = random.Random(str(seed))
        self.newest: Story | None = None
        """The run that it created last."""
        self.asked = ""
        """The server that it last sent something to."""
        self._url = url
        self._stopping = stopping
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def open(self) -> None:
        """Get ready to send."""
        # A connection for each request: on a kept one, aiohttp would repeat a DELETE by itself.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            headers={"authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=ANSWER_S),
        )

    async def leave(self) -> None:
        """Cut every connection."""
        if self._session is not None:
            await self._session.close()

    async def begin_anew(self) -> None:
        """Cut every connection; what is sent from now on goes over new ones."""
        old = self._session
        # First: whoever sends at this moment must find one that is open.
        self.open()
        if old is not None:
            await old.close()

    def nonce(self) -> str:
        """A word that is in one request only."""
        return f"n{self.random.getrandbits(60):015x}"

    def chance(self, share: float) -> bool:
        """Yes, so often."""
        return self.random.random() < share

    # --- requests -----------------------------------------------------------------------------

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """The answer. Raises Unanswered, Stopped."""
        if self._stopping():
            raise Stopped
        try:
            async with self._request(method, path, body, key, headers) as answer:
                data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.ledger.unanswered += method != "GET"
            self.ledger.note("unanswered", method=method, path=path, body=body, why=repr(error))
            raise Unanswered from None
        if method != "GET":
            self.ledger.note("answered", method=method, path=path, body=body, status=answer.status)
            self.ledger.acknowledged += answer.status < 300
        if answer.status >= 500 and NOT_CANCELLED not in data:
            self.ledger.find("wrong", f"{method} {path} was answered {answer.status}: {data!r}")
        return answer.status, data

    def _request(
        self, method: str, path: str, body: Any, key: str | None, headers: Any = None
    ) -> Any:
        assert self._session is not None
        named = dict(headers or {})
        if key is not None:
            named["idempotency-key"] = key
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            named["content-type"] = "application/json"
        self.asked = self._url()
        return self._session.request(method, self.asked + path, data=data, headers=named)

    async def get(self, path: str) -> Any | None:
        """What is there now, or None."""
        status, data = await self.send("GET", path)
        return msgspec.json.decode(data) if status == 200 else None

    # --- writes -------------------------------------------------------------------------------

    async def create(
        self, kind: str, path: str, body: dict[str, Any], *, parts: int = 0, item: str = ""
    ) -> Any:
        """Make something; the answer. Raises Refused where there is none to make."""
        creation = self.creation(kind, path, body, parts=parts)
        status, data = await self.send("POST", path, creation.body, key=creation.key)
        return self.created(creation, status, data, item or path)

    def creation(self, kind: str, path: str, body: dict[str, Any], *, parts: int = 0) -> Creation:
        """Enter in the ledger what is about to be made."""
        nonce = self.nonce()
        key = f"key-{nonce}" if self.chance(0.5) else None
        body = {**body, "metadata": {"nonce": nonce}}
        creation = Creation(nonce, kind, path, body, key, parts)
        self.ledger.creations[nonce] = creation
        return creation

    def created(self, creation: Creation, status: int, data: bytes, item: str) -> Any:
        """Enter that it was made, or that it was refused."""
        del self.ledger.creations[creation.nonce]
        if status != 200:
            self.ledger.find("wrong", f"POST {creation.path} was answered {status}: {data!r}")
            raise Unanswered
        made = msgspec.json.decode(data)
        self.ledger.thing(f"{item}/{made['id']}", data)
        return made

    async def modify(self, path: str) -> None:
        """Give something other metadata."""
        thing = self.ledger.things[path]
        assert thing.body is not None
        metadata = {**msgspec.json.decode(thing.body)["metadata"], "again": self.nonce()}
        thing.maybe.append({**msgspec.json.decode(thing.body), "metadata": metadata})
        status, data = await self.send("POST", path, {"metadata": metadata})
        if status == 200:
            self.ledger.thing(path, data)
        else:
            self.ledger.find("wrong", f"POST {path} was answered {status}: {data!r}")

    async def delete(self, path: str) -> None:
        """Delete something."""
        self.ledger.things[path].maybe.append(GONE)
        status, data = await self.send("DELETE", path)
        if status == 200:
            self.ledger.gone(path)
        else:
            self.ledger.find("wrong", f"DELETE {path} was answered {status}: {data!r}")

    # --- runs ---------------------------------------------------------------------------------

    async def run(
        self,
        path: str,
        body: dict[str, Any],
        task: Task,
        *,
        stream: bool,
        parts: int = 0,
        on_busy: str = "",
    ) -> Story:
        """Create a run; read its stream to the end, or poll it until it rests."""
        creation = self.creation("run", path, {**body, "stream": stream}, parts=parts)
        creation.task, creation.on_busy = task, on_busy
        if stream:
            tale = Tale(is_whole=True)
            status = await self.listen("POST", path, tale, creation=creation)
            if status != 200:
                del self.ledger.creations[creation.nonce]
                self.ledger.find("wrong", f"POST {path} was answered {status}")
                raise Unanswered
            return self.ledger.stories[tale.run_id]
        status, data = await self.send(
            "POST", path, creation.body, key=creation.key, headers=creation.headers
        )
        return self.begun(creation, status, data)

    def begun(self, creation: Creation, status: int, data: bytes) -> Story:
        """Enter that a run was made."""
        self.ledger.creations.pop(creation.nonce, None)
        if NOT_CANCELLED in data:
            # Whoever has the thread's run does not answer: the client may try again.
            raise Unanswered
        if status != 200:
            self.ledger.find("wrong", f"POST {creation.path} was answered {status}: {data!r}")
            raise Unanswered
        made = msgspec.json.decode(data)
        story = story_of(made, creation.task)
        self.newest = self.ledger.stories.setdefault(story.id, story)
        return self.newest

    async def listen(
        self,
        method: str,
        path: str,
        tale: Tale,
        *,
        body: Any = None,
        key: str | None = None,
        creation: Creation | None = None,
    ) -> int:
        """Hear a stream to its end; the status of the answer. Raises Unanswered, Stopped."""
        if self._stopping():
            raise Stopped
        if creation is not None:
            body, key = creation.body, creation.key
        headers = dict(creation.headers) if creation is not None else {}
        if method == "GET" and tale.last_id:
            headers["last-event-id"] = tale.last_id
        self.ledger.note("stream", method=method, path=path, body=body, after=tale.last_id)
        try:
            async with self._request(method, path, body, key, headers) as answer:
                if answer.status != 200:
                    data = await answer.read()
                    self.ledger.note("refused", path=path, status=answer.status, why=repr(data))
                    return int(answer.status)
                if creation is not None:
                    creation.was_accepted = True
                async for frame in frames(answer.content):
                    if self._stopping():
                        self.ledger.note("left", path=path, run=tale.run_id, after=tale.last_id)
                        raise Stopped
                    tale.hear(frame)
                    self.ledger.acknowledged += not frame.name.endswith(".delta")
                    if creation is not None and frame.name == "thread.run.created":
                        story = self.begun(creation, 200, frame.data)
                        story.tales.append(tale)
                        creation = None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.ledger.unanswered += tale.seq == 0
            self.ledger.note("cut", path=path, run=tale.run_id, after=tale.last_id, why=repr(error))
            raise Unanswered from None
        if not tale.is_done:
            raise Unanswered
        return 200

    async def rests(self, story: Story) -> Any:
        """Poll a run until it rests; what it then is."""
        while True:
            status, data = await self.send("GET", story.path)
            if status != 200:
                self.ledger.find("lost", f"{story.path} was answered {status}")
                raise Unanswered
            run = msgspec.json.decode(data)
            if run["status"] in REST:
                story.resting = data
                return run
            await asyncio.sleep(POLL_S)

    async def submit(self, story: Story, run: Any, *, stream: bool) -> None:
        """Send the outputs of all calls that a run waits for."""
        calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = {call["id"]: f"output-{self.nonce()}" for call in calls}
        given = [{"tool_call_id": id, "output": output} for id, output in outputs.items()]
        body: dict[str, Any] = {"tool_outputs": given, "stream": stream}
        key = f"key-{self.nonce()}"
        story.sent.append(outputs)
        story.submit = (body, key)
        path = f"{story.path}/submit_tool_outputs"
        if not stream:
            status, data = await self.send("POST", path, body, key=key)
            self.submitted(story, status, data)
            return
        tale = story.tale if story.tale is not None and story.tale.is_whole else None
        if tale is None:
            tale = Tale(is_whole=False, run_id=story.id)
            story.tales.append(tale)
        seq = tale.seq
        try:
            status = await self.listen("POST", path, tale, body=body, key=key)
        except Unanswered:
            if tale.seq > seq:
                self.submitted(story, 200, b"")
            raise
        self.submitted(story, status, b"")

    def submitted(self, story: Story, status: int, data: bytes) -> None:
        """Enter that outputs were taken."""
        story.submit = None
        if status != 200:
            self.ledger.find("wrong", f"outputs for {story.id} were answered {status}: {data!r}")
            return
        story.taken.update(story.sent[-1])
        story.resting = None

    async def cancel(self, story: Story) -> None:
        """Cancel a run; one that is over by then cannot be."""
        story.is_cancelled = True
        status, data = await self.send("POST", f"{story.path}/cancel", {})
        if status == 400 and b"Cannot cancel" in data:
            return
        if status != 200:
            self.ledger.find("wrong", f"cancelling {story.id} was answered {status}: {data!r}")
            return
        # What was known of it as waiting for its client does not hold any more.
        story.resting = None


def story_of(run: Any, task: Task | None) -> Story:
    """A run that was not known before, as it was first seen."""
    # Where that was after its end, nothing more can happen to it.
    return Story(run["thread_id"], run["id"], task, run["expires_at"] or 0)
