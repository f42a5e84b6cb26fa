"""After a crash: what was promised is held against what is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anatomy
import msgspec
from client import NOT_CANCELLED, Client, Stopped, Unanswered, story_of
from ledger import Creation, Kind, Ledger, Story, Thing
from stores import Dump, Store
from streams import Tale, text_of

POLL_S = 0.05
QUIET_S = 0.3
"""For what a client gave up on, and a server had taken already, to be done."""
STUCK_S = 15.0
"""Past the lease, how long a run may take to come to rest once a server is there again."""
LISTEN_S = 30.0
AGAIN = 50
"""Things that are looked at although nothing was done to them since the last time."""


class Audit:
    """The invariants of one store, over HTTP and in the store itself."""

    def __init__(
        self,
        ledger: Ledger,
        client: Client,
        store: Store,
        *,
        effects: Path,
        lease_s: float,
        stood_still: Callable[[], set[int]],
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._store = store
        self._effects = effects
        self._stood_still = stood_still
        self._within_s = lease_s + STUCK_S
        self.failed_by_loss = 0
        """Runs that ended because their process was lost too often, and say so."""
        self.frozen: set[int] = set()
        """Processes that stood still for longer than their lease once."""

    async def run(self, *, is_whole: bool = False) -> None:
        """Take up what was cut off, wait until all is at rest, and compare."""
        self._ledger.note("up")
        await self._take_up()
        self._ledger.note("taken up")
        if not await self._come_to_rest():
            return
        self._ledger.note("at rest")
        dump = await self._store.dump()
        for kind, text in anatomy.faults(dump, workers_max=self._store.servers):
            self._ledger.find(kind, text)
        self._ledger.note("dissected", records=len(dump.rows))
        await self._creations(dump)
        await self._things(is_whole=is_whole)
        self._ledger.note("things looked at")
        # A machine that is too busy stops processes as well as the campaign does.
        self.frozen |= self._stood_still()
        effects = self._last_effects()
        for story in list(self._ledger.stories.values()):
            if is_whole or not story.is_checked:
                await self._story(story, effects)
        self._ledger.settle()
        self._ledger.note("runs looked at")

    # --- taking up ----------------------------------------------------------------------------

    async def _take_up(self) -> None:
        """What a careful client does after a crash: send again under the key, listen again."""
        await self._look_for_deleted()
        await self._adopt(await self._store.dump())
        tasks = [
            self._tried(f"sending {creation.path} again", self._send_again(creation))
            for creation in self._ledger.creations.values()
            if creation.key is not None
        ]
        for story in self._ledger.stories.values():
            if story.submit is not None and self._client.chance(0.5):
                tasks.append(self._tried(f"outputs for {story.id}", self._submit_again(story)))
            elif story.tale is not None and not story.tale.is_done:
                tasks.append(self._tried(f"events of {story.id}", self._listen_again(story)))
        await self._cancel_endless()
        listening = [asyncio.ensure_future(task) for task in tasks]
        # Those that are sent again may be endless, too.
        await asyncio.sleep(POLL_S)
        while listening:
            _, waiting = await asyncio.wait(listening, timeout=POLL_S * 4)
            listening = list(waiting)
            await self._cancel_endless()

    async def _look_for_deleted(self) -> None:
        """Know which threads went with requests that were not answered."""
        for path, thing in list(self._ledger.things.items()):
            if None in thing.maybe and (await self._client.send("GET", path))[0] == 404:
                self._ledger.gone(path)

    async def _tried(self, what: str, task: Coroutine[Any, Any, Any]) -> None:
        try:
            async with asyncio.timeout(LISTEN_S):
                await task
        except TimeoutError:
            self._ledger.find("stuck", f"{what} took more than {LISTEN_S:g} s")
        except (Unanswered, Stopped):
            return

    async def _adopt(self, dump: Dump) -> None:
        """Know of runs that were made by requests without a key and without an answer."""
        for creation in list(self._ledger.creations.values()):
            if creation.key is None and creation.kind == "run":
                for row in self._made(dump, creation):
                    run = msgspec.json.decode(row.body)
                    story = story_of(run, creation.task)
                    self._ledger.stories.setdefault(story.id, story)

    async def _send_again(self, creation: Creation) -> None:
        """The same request under the same key: it is done once, and answered."""
        client = self._client
        if creation.kind == "run" and creation.body.get("stream"):
            tale = Tale(is_whole=True)
            status = await client.listen("POST", creation.path, tale, creation=creation)
            if status != 200:
                self._refused(creation, status, b"")
            return
        status, data = await client.send(
            "POST", creation.path, creation.body, key=creation.key, headers=creation.headers
        )
        if status != 200:
            self._refused(creation, status, data)
        elif creation.kind == "run":
            client.begun(creation, status, data)
        else:
            client.created(creation, status, data, creation.path)

    def _refused(self, creation: Creation, status: int, data: bytes) -> None:
        if NOT_CANCELLED in data:
            return
        text = f"POST {creation.path} was answered {status} when sent again: {data!r}"
        self._ledger.find("wrong", text)

    async def _submit_again(self, story: Story) -> None:
        assert story.submit is not None
        body, key = story.submit
        path = f"{story.path}/submit_tool_outputs"
        if not body["stream"]:
            status, data = await self._client.send("POST", path, body, key=key)
            self._client.submitted(story, status, data)
            return
        # Answered with the stream, or a redirect to its beginning: a new listener either way.
        tale = Tale(is_whole=False, run_id=story.id)
        status = await self._client.listen("POST", path, tale, body=body, key=key)
        self._client.submitted(story, status, b"")
        await self._listen_again(story)

    async def _listen_again(self, story: Story) -> None:
        tale = story.tale
        if tale is None or tale.is_done:
            return
        status = await self._client.listen("GET", f"{story.path}/events", tale)
        if status != 200:
            self._ledger.find("lost", f"the events of {story.path} were answered {status}")

    async def _cancel_endless(self) -> None:
        for story in list(self._ledger.stories.values()):
            if story.task is not None and story.task.kind == "endless" and not story.is_over:
                await self._tried(f"cancelling {story.id}", self._cancel(story))

    async def _cancel(self, story: Story) -> None:
        await self._client.cancel(story)
        await self._client.rests(story)

    async def _come_to_rest(self) -> bool:
        """Wait for every run to rest; whether all do."""
        await asyncio.sleep(QUIET_S)
        try:
            async with asyncio.timeout(self._within_s):
                while await self._store.live():
                    await asyncio.sleep(POLL_S)
                # Those that died are forgotten once their lease is over.
                while await self._store.workers() > self._store.servers:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            live = await self._store.live()
            for id, status in live:
                self._ledger.find("stuck", f"run {id} is still {status}")
            return not live
        return True

    # --- what was made and changed ------------------------------------------------------------

    def _made(self, dump: Dump, creation: Creation) -> list[Any]:
        mark = f'"nonce":"{creation.nonce}"'.encode()
        return [row for row in dump.of(creation.kind) if mark in row.body]

    async def _creations(self, dump: Dump) -> None:
        """A request that was not answered had all of its effect or none."""
        for creation in list(self._ledger.creations.values()):
            made = self._made(dump, creation)
            if creation.was_accepted and not made:
                self._ledger.find("lost", f"{creation.kind} {creation.nonce} was accepted")
            messages = [row for row in dump.of("message") if _is_part(creation, row.body)]
            if len(messages) != (creation.parts if made else 0):
                text = f"{creation.kind} {creation.nonce} was made {len(made)} times, "
                self._ledger.find("half-made", f"{text} with {len(messages)} messages")
            del self._ledger.creations[creation.nonce]

    async def _things(self, *, is_whole: bool) -> None:
        # Threads before what is under them: a deletion that was not answered is settled first.
        for path, thing in sorted(self._ledger.things.items()):
            again = is_whole or self._client.chance(AGAIN / len(self._ledger.things))
            if thing.is_checked and not thing.maybe and not again:
                continue
            await self._thing(path, thing)

    async def _thing(self, path: str, thing: Thing) -> None:
        status, data = await self._client.send("GET", path)
        thing.is_checked = True
        if status == 404:
            self._is_gone(path)
            thing.is_checked = True
            return
        if status != 200:
            self._ledger.find("wrong", f"{path} was answered {status}")
            return
        if thing.body is None:
            self._ledger.find("half-made", f"{path} is there, and was deleted: {data!r}")
        elif data != thing.body and msgspec.json.decode(data) not in thing.maybe:
            self._ledger.find("lost", f"{path} is {data!r}, and was {thing.body!r}")
        thing.body, thing.maybe = data, []

    def _is_gone(self, path: str) -> None:
        thing = self._ledger.things[path]
        if thing.body is None:
            return
        if None not in thing.maybe:
            self._ledger.find("lost", f"{path} is not there")
        self._ledger.gone(path)

    # --- runs ---------------------------------------------------------------------------------

    def _last_effects(self) -> dict[str, str]:
        """By the id of the call, what its last run had for an effect.

        What a process does once it is thawed, with the call that it was at, nobody can keep it
        from; that it is not stored is all that can be promised.
        """
        if not self._effects.exists():
            return {}
        lines = [line.split() for line in self._effects.read_text().splitlines()]
        last = {call: effect for call, effect, _ in lines}
        by_others = {call: effect for call, effect, pid in lines if int(pid) not in self.frozen}
        return {**last, **by_others}

    async def _story(self, story: Story, effects: dict[str, str]) -> None:
        status, data = await self._client.send("GET", story.path)
        if status != 200:
            self._ledger.find("lost", f"{story.path} was answered {status}")
            return
        run = msgspec.json.decode(data)
        self._compare(story, run, data)
        if run["status"] in ("queued", "in_progress", "cancelling"):
            self._ledger.find("stuck", f"{story.path} is {run['status']}")
            return
        story.resting, story.submit = data, None
        under = f"/v1/threads/{story.thread_id}"
        steps = await self._list(f"{story.path}/steps?limit=100&order=asc")
        messages = await self._list(f"{under}/messages?run_id={story.id}&limit=100&order=asc")
        self._check_end(story, run)
        self._check_items(story, run, steps, messages)
        self._check_outputs(story, steps, effects)
        self._check_answer(story, run, steps, messages)
        await self._check_events(story, run, steps, messages)
        story.is_checked = story.is_over

    async def _list(self, path: str) -> list[Any]:
        found = await self._client.get(path)
        if found is None:
            self._ledger.find("lost", f"{path} is not there")
            return []
        if found["has_more"]:
            self._ledger.find("doubled", f"{path} has more than it can have")
        return list(found["data"])

    def _compare(self, story: Story, run: Any, data: bytes) -> None:
        """What was known at rest is as it was, but for what the client itself may have done."""
        if story.resting is None or story.resting == data:
            return
        was = msgspec.json.decode(story.resting)
        may_change = story.waits and (
            story.is_cancelled or len(story.sent) > 0 or time.time() >= story.expires_at
        )
        if not may_change:
            text = f"run {story.id} was {was['status']}, and is {run['status']}"
            self._ledger.find("lost", f"{text}: {story.resting!r}, {data!r}")

    def _check_end(self, story: Story, run: Any) -> None:
        status = run["status"]
        if status == "failed":
            if run["last_error"] and "was lost" in run["last_error"]["message"]:
                self.failed_by_loss += 1
            else:
                self._ledger.find("wrong", f"run {story.id} failed: {run['last_error']}")
        if status == "cancelled" and not story.is_cancelled:
            self._ledger.find("wrong", f"run {story.id} was cancelled by nobody")
        is_early = status == "expired" and time.time() < story.expires_at
        if status == "incomplete" or is_early:
            self._ledger.find("wrong", f"run {story.id} is {status}")

    def _check_items(self, story: Story, run: Any, steps: list[Any], messages: list[Any]) -> None:
        """One message for each step that makes one, and nothing left open in a run that is over."""
        made = [
            step["step_details"]["message_creation"]["message_id"]
            for step in steps
            if step["type"] == "message_creation"
        ]
        there = [message["id"] for message in messages]
        if len(set(made)) < len(made) or set(there) - set(made):
            self._ledger.find("doubled", f"run {story.id} has steps for {made}, and {there}")
        if missing := set(made) - set(there):
            self._ledger.find("lost", f"run {story.id} has steps for {missing}")
        if not story.is_over:
            return
        for item in (*steps, *messages):
            if item["status"] == "in_progress":
                text = f"run {story.id} is {run['status']}, and {item['id']} is in progress"
                self._ledger.find("half-made", text)

    def _check_outputs(self, story: Story, steps: list[Any], effects: dict[str, str]) -> None:
        """Outputs that were taken are there, and no call was run again once its output was."""
        for call in _calls(steps):
            output = call["function"]["output"]
            taken = story.taken.get(call["id"])
            if taken is not None and output != taken:
                self._ledger.find("lost", f"{call['id']} was given {taken}, and has {output}")
            if not call["function"]["name"].startswith("effect"):
                sent = [outputs.get(call["id"]) for outputs in story.sent]
                if output is not None and output not in sent:
                    self._ledger.find("doubled", f"{call['id']} has {output}, not of {sent}")
            elif output is not None and output != effects.get(call["id"]):
                last = effects.get(call["id"])
                self._ledger.find("doubled", f"{call['id']} has {output}, and then did {last}")

    def _check_answer(self, story: Story, run: Any, steps: list[Any], messages: list[Any]) -> None:
        task = story.task
        if run["status"] != "completed" or task is None:
            return
        texts = [text_of(message) for message in messages]
        due = [task.said] if task.words else []
        if task.functions:
            calls = _calls(steps)
            due.append(task.told([call["function"]["output"] or "" for call in calls]))
            names = [call["function"]["name"] for call in calls]
            if names != list(task.functions):
                self._ledger.find("doubled", f"run {story.id} called {names}")
        if texts != due:
            kind: Kind = "doubled" if len("".join(texts)) > len("".join(due)) else "lost"
            self._ledger.find(kind, f"run {story.id} said {texts}, not {due}")

    async def _check_events(
        self, story: Story, run: Any, steps: list[Any], messages: list[Any]
    ) -> None:
        """The whole stream tells what is there, and what any listener was told is in it."""
        whole = Tale(is_whole=True, run_id=story.id)
        try:
            async with asyncio.timeout(LISTEN_S):
                status = await self._client.listen("GET", f"{story.path}/events", whole)
        except (Unanswered, TimeoutError):
            self._ledger.find("stuck", f"the events of {story.path} do not end")
            return
        if status != 200:
            self._ledger.find("lost", f"the events of {story.path} were answered {status}")
        story.tales = [tale for tale in story.tales if tale.events] + [whole]
        told = {seq: (name, data) for seq, name, data in whole.events}
        for tale in story.tales:
            for seq, name, data in tale.events:
                if told.get(seq) != (name, data):
                    text = f"run {story.id} told {name} as event {seq}: {data!r}"
                    self._ledger.find("lost", f"{text}, and now {told.get(seq)}")
        last = {msgspec.json.decode(data)["id"]: data for _, _, data in whole.events}
        for item in (run, *steps, *messages):
            if item["status"] == "in_progress":
                continue
            event = last.get(item["id"])
            if event is None or _plain(msgspec.json.decode(event)) != _plain(item):
                self._ledger.find("lost", f"{item} was last told as {event!r}")
        self._ledger.settle()
        story.tales = [whole]


def _plain(item: Any) -> Any:
    """Without what a client may change beside the run."""
    return {key: value for key, value in item.items() if key != "metadata"}


def _calls(steps: list[Any]) -> list[Any]:
    return [
        call
        for step in steps
        if step["type"] == "tool_calls"
        for call in step["step_details"]["tool_calls"]
    ]


def _texts(creation: Creation) -> list[str]:
    body = creation.body
    return [
        str(message["content"])
        for message in (
            *body.get("additional_messages", ()),
            *body.get("thread", {}).get("messages", ()),
        )
    ]


def _is_part(creation: Creation, body: bytes) -> bool:
    """Whether a message was made by the request."""
    marks = [text.encode() for text in _texts(creation)]
    parts = [m["metadata"]["part"].encode() for m in creation.body.get("messages", ())]
    return any(mark in body for mark in (*marks, *parts))
