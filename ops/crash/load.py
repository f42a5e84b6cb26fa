"""The mixed load: what clients of the Assistants API do, over and over, in an order of chance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from client import Client, Stopped, Unanswered
from ledger import Story
from model import MODEL, Task, task_of

CLIENT_FUNCTIONS = ("ask_one", "ask_two")
SERVER_FUNCTIONS = ("effect_fast", "effect_slow")

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in (*CLIENT_FUNCTIONS, *SERVER_FUNCTIONS)
]


class Worker:
    """One client at work."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.ledger = client.ledger
        self.assistant = ""
        self.left: list[str] = []
        """Runs of its own that wait for it."""
        self._deck: list[Callable[[], Awaitable[None]]] = []
        self._number = number

    async def work(self, *, is_patient: bool = False) -> None:
        """One deed after the other, until the load is over; `is_patient` ends none of its runs."""
        while True:
            try:
                await self._next(is_patient)()
            except Unanswered:
                # Another server may be there; where none is, so it is soon told.
                await asyncio.sleep(0.05)
            except Stopped:
                return

    def _next(self, is_patient: bool) -> Callable[[], Awaitable[None]]:
        """Every deed comes once before any comes again; each client begins elsewhere."""
        if not self.assistant:
            return self._hire
        if is_patient:
            deeds = (self._leave_at_work, self._leave_waiting, self._say)
            return self.client.random.choice(deeds)
        if not self._deck:
            self._deck = [
                self._keep_assistants,
                self._converse,
                self._say,
                self._ask_client,
                self._have_effects,
                self._ask_and_have_effects,
                self._cancel_at_work,
                self._cancel_waiting,
                self._talk_and_call,
                self._delete_under_run,
                self._line_up,
                self._push_aside,
                self._leave_waiting,
                self._take_up_left,
            ]
            begin = self._number * 3 % len(self._deck)
            self._deck = self._deck[begin:] + self._deck[:begin]
            if self._number >= 4:
                self.client.random.shuffle(self._deck)
        return self._deck.pop()

    # --- without runs -------------------------------------------------------------------------

    async def _hire(self) -> None:
        made = await self.client.create(
            "assistant", "/v1/assistants", {"model": MODEL, "tools": TOOLS}
        )
        self.assistant = made["id"]

    async def _keep_assistants(self) -> None:
        client = self.client
        body = {"model": MODEL, "name": "To be changed", "instructions": "Be brief."}
        made = await client.create("assistant", "/v1/assistants", body)
        path = f"/v1/assistants/{made['id']}"
        await client.modify(path)
        if client.chance(0.6):
            await client.delete(path)

    async def _converse(self) -> None:
        client = self.client
        thread = await self._thread(said=client.random.randrange(3))
        path = f"/v1/threads/{thread}"
        for _ in range(2):
            body = {"role": "user", "content": f"Message {client.nonce()}"}
            message = await client.create("message", f"{path}/messages", body)
        await client.modify(path)
        await client.modify(f"{path}/messages/{message['id']}")
        if client.chance(0.6):
            await client.delete(f"{path}/messages/{message['id']}")
        if client.chance(0.4):
            await client.delete(path)

    async def _thread(self, *, said: int = 0) -> str:
        messages = [
            {"role": "user", "content": "Hello.", "metadata": {"part": self.client.nonce()}}
            for _ in range(said)
        ]
        made = await self.client.create("thread", "/v1/threads", {"messages": messages}, parts=said)
        return str(made["id"])

    # --- runs ---------------------------------------------------------------------------------

    async def _run(self, task: str, *, stream: bool | None = None) -> Story:
        """A run for a task, on a thread of its own."""
        client = self.client
        stream = client.chance(0.6) if stream is None else stream
        message = {"role": "user", "content": task}
        run: dict[str, Any] = {"assistant_id": self.assistant}
        way = client.random.randrange(3)
        if way == 0:
            body = {**run, "thread": {"messages": [message]}}
            path, parts = "/v1/threads/runs", 1
        elif way == 1:
            thread = await self._thread()
            body = {**run, "additional_messages": [message]}
            path, parts = f"/v1/threads/{thread}/runs", 1
        else:
            thread = await self._thread()
            await client.create("message", f"/v1/threads/{thread}/messages", message)
            body, path, parts = run, f"/v1/threads/{thread}/runs", 0
        return await client.run(path, body, _task(task), stream=stream, parts=parts)

    async def _ended(self, story: Story) -> None:
        """Hear or poll a run to its end, giving it the outputs that it asks for."""
        client = self.client
        while True:
            run = await client.rests(story)
            if run["status"] != "requires_action":
                break
            await client.submit(story, run, stream=client.chance(0.5))
        await self._read_back(story)

    async def _read_back(self, story: Story) -> None:
        """What a client has read of an ended run is as good as acknowledged."""
        client = self.client
        if client.chance(0.5):
            path = f"/v1/threads/{story.thread_id}/messages"
            found = await client.get(f"{path}?run_id={story.id}&limit=100")
            for message in found["data"] if found else ():
                status, data = await client.send("GET", f"{path}/{message['id']}")
                if status == 200:
                    self.ledger.thing(f"{path}/{message['id']}", data)
                    await client.modify(f"{path}/{message['id']}")

    async def _say(self) -> None:
        story = await self._run(f"say {self.client.nonce()} {self.client.random.randrange(2, 40)}")
        await self._ended(story)

    async def _ask_client(self) -> None:
        await self._ended(await self._run(f"call {self.client.nonce()} ask_one,ask_two"))

    async def _have_effects(self) -> None:
        functions = "effect_fast,effect_slow,effect_fast"
        await self._ended(await self._run(f"call {self.client.nonce()} {functions}"))

    async def _ask_and_have_effects(self) -> None:
        functions = "effect_slow,ask_one,effect_fast"
        await self._ended(await self._run(f"call {self.client.nonce()} {functions}"))

    async def _talk_and_call(self) -> None:
        await self._ended(await self._run(f"talk {self.client.nonce()} effect_fast,ask_one"))

    async def _cancel_at_work(self) -> None:
        """Cancel a run without end, which another task of this client may be listening to."""
        client = self.client
        before = client.newest
        running = asyncio.ensure_future(
            self._run(f"endless {client.nonce()}", stream=client.chance(0.6))
        )
        try:
            while client.newest is before and not running.done():
                await asyncio.sleep(0.01)
            story = client.newest
            if story is None or story is before:
                await running
                return
            await asyncio.sleep(client.random.uniform(0.02, 0.25))
            await client.cancel(story)
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await client.rests(story)

    async def _cancel_waiting(self) -> None:
        story = await self._run(f"call {self.client.nonce()} ask_one")
        await self.client.rests(story)
        await self.client.cancel(story)
        await self.client.rests(story)

    async def _delete_under_run(self) -> None:
        """Delete a thread while it is being written to."""
        story = await self._run(f"say {self.client.nonce()} 60", stream=False)
        await asyncio.sleep(self.client.random.uniform(0.0, 0.1))
        path = f"/v1/threads/{story.thread_id}"
        if path in self.ledger.things:
            await self.client.delete(path)
        else:
            await self._ended(story)

    async def _line_up(self) -> None:
        """Have runs wait for their turn on a thread: one after the other, and none is lost."""
        thread = await self._thread()
        stories = [
            await self._on_busy(thread, f"say {self.client.nonce()} {words}", "queue")
            for words in (30, 5, 5)
        ]
        for story in stories:
            await self._ended(story)

    async def _push_aside(self) -> None:
        """Have the runs that have a thread cancelled for the next one."""
        thread = await self._thread()
        pushed = [
            await self._on_busy(thread, f"endless {self.client.nonce()}", "queue"),
            await self._on_busy(thread, f"say {self.client.nonce()} 5", "queue"),
        ]
        for story in pushed:
            story.is_cancelled = True
        newest = await self._on_busy(thread, f"say {self.client.nonce()} 5", "cancel")
        for story in (*pushed, newest):
            await self._ended(story)

    async def _on_busy(self, thread: str, task: str, on_busy: str) -> Story:
        """A run on a thread that another one may have."""
        body = {
            "assistant_id": self.assistant,
            "additional_messages": [{"role": "user", "content": task}],
        }
        path = f"/v1/threads/{thread}/runs"
        return await self.client.run(
            path, body, _task(task), stream=False, parts=1, on_busy=on_busy
        )

    async def _leave_waiting(self) -> None:
        """Have a run wait for outputs, and leave it for later."""
        story = await self._run(f"call {self.client.nonce()} ask_two", stream=False)
        await self.client.rests(story)
        self.left.append(story.id)

    async def _leave_at_work(self) -> None:
        """Set a run going that does not end by itself, and forget it."""
        await self._run(f"endless {self.client.nonce()}", stream=False)

    async def _take_up_left(self) -> None:
        """Answer a run that was left waiting, perhaps before a crash."""
        if not self.left:
            return
        story = self.ledger.stories.get(self.left.pop(0))
        if story is not None and story.waits:
            await self._ended(story)


def _task(text: str) -> Task:
    task = task_of(text)
    assert task is not None
    return task
