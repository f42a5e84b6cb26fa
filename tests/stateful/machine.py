"""The machine: what clients and operators do in any order, and what must hold after each of it.

After every rule the server is left alone until nothing moves: every run is at rest, or its model
waits, or there is no room for it. Then everything that the API answers is held to what must be.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.stateful.expected import (
    RUN_S,
    Listed,
    Run,
    Thread,
    assistant_of,
    message_of,
    run_body,
)
from tests.stateful.listener import AT_REST, Listener, added_up, hold_order
from tests.stateful.place import AT_ONCE_MAX, Place, Product
from tests.stateful.plans import CLIENT_FUNCTION, PLANS, SERVER_FUNCTION

ASSISTANTS_MAX = 3
THREADS_MAX = 4
MESSAGES_MAX = 8
RUNS_MAX = 4
LOOK_S = 0.002

TOOLS = [
    {"type": "function", "function": {"name": name}} for name in (SERVER_FUNCTION, CLIENT_FUNCTION)
]
MORE_TOOLS = [*TOOLS, {"type": "function", "function": {"name": "sing", "description": "A song."}}]

OFTEN = (
    "asks",
    "asks_twice",
    "asks_then_waits",
    "looks_and_asks",
    "thinks",
    "waits",
    "waits",
    "cut_off",
    "filtered",
)
plans = st.sampled_from((*sorted(PLANS), *OFTEN))
picks = st.integers(0, 1_000)
"""Chooses among whatever there is, so that a strategy never depends on what the server did."""
texts = st.sampled_from(("Hi.", "What now?", "Größe \u2603", "a\nb", " "))
metadata = st.dictionaries(st.sampled_from(("a", "b")), st.sampled_from(("1", "2", "")), max_size=2)
contents = st.one_of(
    texts,
    st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), min_size=1, max_size=2),
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(("user", "assistant")), "content": contents},
    optional={"metadata": metadata},
)
assistants = st.fixed_dictionaries(
    {"model": plans},
    optional={
        "name": texts,
        "description": texts,
        "instructions": texts,
        "metadata": metadata,
        "temperature": st.sampled_from((0.0, 0.5, 2.0)),
        "top_p": st.sampled_from((0.0, 1.0)),
        "response_format": st.sampled_from(("auto", {"type": "text"}, {"type": "json_object"})),
    },
)
of_any_run = {
    "tools": st.sampled_from((TOOLS, MORE_TOOLS)),
    "metadata": metadata,
    "temperature": st.sampled_from((0.0, 1.5)),
    "top_p": st.just(0.5),
    "max_prompt_tokens": st.just(5_000),
    "max_completion_tokens": st.just(256),
    "truncation_strategy": st.just({"type": "last_messages", "last_messages": 1}),
    "tool_choice": st.sampled_from(
        ("auto", "required", {"type": "function", "function": {"name": CLIENT_FUNCTION}})
    ),
    "parallel_tool_calls": st.booleans(),
    "response_format": st.just({"type": "text"}),
}
overrides = st.fixed_dictionaries(
    {},
    optional={
        **of_any_run,
        "instructions": texts,
        "additional_messages": st.lists(messages, max_size=2),
    },
)


class Kept:
    """A request that was sent with a key, to be sent again."""

    def __init__(self, path: str, body: Any, key: str, answer: bytes, location: str = "") -> None:
        self.path = path
        self.body = body
        self.key = key
        self.answer = answer
        self.location = location


class Machine(RuleBasedStateMachine):
    """One server, and all that was asked of it."""

    instead: Product | None = None
    without: Sequence[str] = ()
    seen: ClassVar[Counter[str]] = Counter()
    """How often what is rare was come to, over all histories."""
    still_s = 20.0
    """How long the server has until nothing moves, and a stream to end; it takes milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="famulus-stateful-"))
        self.place = Place(self._folder, instead=self.instead, without=self.without)
        self.assistants = Listed()
        self.threads: dict[str, Thread] = {}
        self.deleted: list[Thread] = []
        self.listeners: dict[str, list[Listener]] = {}
        """The readers of each run."""
        self.kept: list[Kept] = []
        self._marks = 0
        self._keys = 0
        self._checked: dict[str, str] = {}
        """In which status the streams of each run were held to what is stored."""

    def teardown(self) -> None:
        """Stop, and leave nothing behind."""
        try:
            self.place.do(self._all_leave())
        finally:
            self.place.close()
            shutil.rmtree(self._folder)

    async def _all_leave(self) -> None:
        for listener in self._every_listener():
            await listener.leave()

    def _every_listener(self) -> list[Listener]:
        return [listener for all_of in self.listeners.values() for listener in all_of]

    # --- what there is --------------------------------------------------------------------------

    def runs(self, is_meant: Callable[[Run], bool] = lambda _: True) -> list[Run]:
        """Runs of threads that are there, in the order in which they were made."""
        all_of = [run for thread in self.threads.values() for run in thread.runs.items.values()]
        return sorted((run for run in all_of if is_meant(run)), key=lambda run: run.mark)

    def _thread(self, pick: int) -> Thread:
        return list(self.threads.values())[pick % len(self.threads)]

    def _assistant(self, pick: int) -> dict[str, Any]:
        living = self.assistants.living()
        found: dict[str, Any] = self.assistants.items[living[pick % len(living)]]
        return found

    def _run(self, pick: int, is_meant: Callable[[Run], bool] = lambda _: True) -> Run:
        runs = self.runs(is_meant)
        return runs[pick % len(runs)]

    def _new_key(self, is_wanted: bool) -> str | None:
        if not is_wanted:
            return None
        self._keys += 1
        return f"key {self._keys}"

    # --- asking ---------------------------------------------------------------------------------

    def ok(self, method: str, path: str, body: Any = None, **named: Any) -> Any:
        """The JSON of an answer that is a success."""
        response = self.place.ask(method, path, body, **named)
        assert response.status_code == 200, (method, path, response.text)
        return response.json()

    def refused(
        self,
        response: httpx.Response,
        message: str | None,
        *,
        status: int = 400,
        param: str | None = None,
    ) -> None:
        """Hold an answer to being this error, in OpenAI's envelope."""
        assert response.status_code == status, response.text
        assert response.headers["content-type"].startswith("application/json")
        hold_error(response.json(), message, param=param)

    def created(self, path: str, body: Any, key: str | None) -> Any:
        """What a POST made, and the key it was sent with kept for later."""
        response = self.place.ask("POST", path, body, key=key)
        assert response.status_code == 200, response.text
        assert "idempotent-replayed" not in response.headers
        if key is not None:
            self.kept.append(Kept(path, body, key, response.content))
        return response.json()

    # --- assistants -----------------------------------------------------------------------------

    @initialize(
        request=assistants,
        given=st.lists(messages, max_size=2),
        runs=st.lists(st.tuples(plans, st.booleans()), min_size=1, max_size=THREADS_MAX - 1),
    )
    def begin_with_some_runs(
        self,
        request: dict[str, Any],
        given: list[dict[str, Any]],
        runs: list[tuple[str, bool]],
    ) -> None:
        """An assistant, a thread, and runs on threads of their own: most rules need them."""
        self._create_assistant(request, None)
        self._create_thread({"messages": given}, None)
        for plan, is_streamed in runs:
            self._create_thread_and_run(0, {"model": plan}, given, is_streamed, has_key=False)

    @precondition(lambda self: len(self.assistants.items) < ASSISTANTS_MAX)
    @rule(request=assistants, has_key=st.booleans())
    def create_assistant(self, request: dict[str, Any], has_key: bool) -> None:
        self._create_assistant(request, self._new_key(has_key))

    def _create_assistant(self, request: dict[str, Any], key: str | None) -> None:
        request = {**request, "tools": TOOLS}
        answered = self.created("/v1/assistants", request, key)
        body = {"id": answered["id"], **assistant_of(request, self.place.now)}
        assert answered == body
        self.assistants.add(body["id"], body)

    @precondition(lambda self: self.assistants.items)
    @rule(
        pick=picks,
        request=assistants,
        fields=st.sets(st.sampled_from(("model", "name", "metadata", "temperature"))),
    )
    def modify_assistant(self, pick: int, request: dict[str, Any], fields: set[str]) -> None:
        body = self._assistant(pick)
        change = {name: value for name, value in request.items() if name in fields}
        body.update(change)
        assert self.ok("POST", f"/v1/assistants/{body['id']}", change) == body

    @precondition(lambda self: len(self.assistants.items) > 1)
    @rule(pick=picks)
    def delete_assistant(self, pick: int) -> None:
        id = self._assistant(pick)["id"]
        wanted = {"id": id, "object": "assistant.deleted", "deleted": True}
        assert self.ok("DELETE", f"/v1/assistants/{id}") == wanted
        del self.assistants.items[id]

    # --- threads --------------------------------------------------------------------------------

    @precondition(lambda self: len(self.threads) < THREADS_MAX)
    @rule(given=st.lists(messages, max_size=2), notes=metadata, has_key=st.booleans())
    def create_thread(
        self, given: list[dict[str, Any]], notes: dict[str, str], has_key: bool
    ) -> None:
        self._create_thread({"messages": given, "metadata": notes}, self._new_key(has_key))

    def _create_thread(self, request: dict[str, Any], key: str | None) -> None:
        answered = self.created("/v1/threads", request, key)
        self._note_thread(answered, request)

    def _note_thread(self, answered: dict[str, Any], request: dict[str, Any]) -> Thread:
        assert answered == {
            "id": answered["id"],
            "object": "thread",
            "created_at": self.place.now,
            "tool_resources": {},
            "metadata": request.get("metadata") or {},
        }
        thread = self.threads[answered["id"]] = Thread(answered)
        self._note_messages(thread, request.get("messages") or [])
        return thread

    def _note_messages(self, thread: Thread, requests: Sequence[dict[str, Any]]) -> None:
        """Messages that came with something else: their ids are learned now."""
        if not requests:
            return
        path = f"/v1/threads/{thread.id}/messages"
        all_of = self.ok("GET", path, params={"order": "asc", "limit": 100})["data"]
        known = len(thread.messages.living())
        found = [one for one in all_of[known:] if one["run_id"] is None]
        assert len(found) == len(requests)
        for answered, request in zip(found, requests, strict=True):
            body = {"id": answered["id"], **message_of(thread.id, request, self.place.now)}
            thread.messages.add(body["id"], body)

    @precondition(lambda self: self.threads)
    @rule(pick=picks, notes=st.none() | metadata)
    def modify_thread(self, pick: int, notes: dict[str, str] | None) -> None:
        thread = self._thread(pick)
        thread.body["metadata"] = notes or {}
        assert self.ok("POST", f"/v1/threads/{thread.id}", {"metadata": notes}) == thread.body

    @precondition(lambda self: self.threads)
    @rule(pick=picks)
    def delete_thread(self, pick: int) -> None:
        thread = self._thread(pick)
        wanted = {"id": thread.id, "object": "thread.deleted", "deleted": True}
        assert self.ok("DELETE", f"/v1/threads/{thread.id}") == wanted
        del self.threads[thread.id]
        self.deleted.append(thread)
        for run in thread.runs.items.values():
            self.place.gates.at_work.discard(run.mark)
            for listener in self.listeners.pop(run.id, ()):
                self.place.do(listener.end(within_s=self.still_s))

    # --- messages -------------------------------------------------------------------------------

    @precondition(lambda self: self.threads)
    @rule(pick=picks, request=messages, has_key=st.booleans())
    def add_message(self, pick: int, request: dict[str, Any], has_key: bool) -> None:
        thread = self._thread(pick)
        path = f"/v1/threads/{thread.id}/messages"
        if active := thread.active():
            response = self.place.ask("POST", path, request, key=self._new_key(has_key))
            locked = f"Can't add messages to {thread.id} while a run {active.id} is active."
            self.refused(response, locked)
        elif len(thread.messages.items) < MESSAGES_MAX:
            answered = self.created(path, request, self._new_key(has_key))
            body = {"id": answered["id"], **message_of(thread.id, request, self.place.now)}
            assert answered == body
            thread.messages.add(body["id"], body)

    def _message(self, pick: int) -> tuple[Thread, str] | None:
        all_of = [(t, id) for t in self.threads.values() for id in t.messages.living()]
        return all_of[pick % len(all_of)] if all_of else None

    @precondition(lambda self: self.threads)
    @rule(pick=picks, notes=metadata)
    def modify_message(self, pick: int, notes: dict[str, str]) -> None:
        if (found := self._message(pick)) is None:
            return
        thread, id = found
        answered = self.ok("POST", f"/v1/threads/{thread.id}/messages/{id}", {"metadata": notes})
        message = thread.messages.items[id]
        if isinstance(message, dict):
            message["metadata"] = notes
        else:
            message.metadata = notes
        hold_message(message, answered)

    @precondition(lambda self: self.threads)
    @rule(pick=picks)
    def delete_message(self, pick: int) -> None:
        if (found := self._message(pick)) is None:
            return
        thread, id = found
        wanted = {"id": id, "object": "thread.message.deleted", "deleted": True}
        assert self.ok("DELETE", f"/v1/threads/{thread.id}/messages/{id}") == wanted
        message = thread.messages.items.pop(id)
        if not isinstance(message, dict):
            message.is_deleted = True

    # --- runs -----------------------------------------------------------------------------------

    @precondition(lambda self: self.threads and self.assistants.items)
    @rule(
        pick=picks,
        assistant_pick=picks,
        plan=st.none() | plans,
        request=overrides,
        is_streamed=st.booleans(),
        has_key=st.booleans(),
    )
    def create_run(
        self,
        pick: int,
        assistant_pick: int,
        plan: str | None,
        request: dict[str, Any],
        is_streamed: bool,
        has_key: bool,
    ) -> None:
        thread, assistant = self._thread(pick), self._assistant(assistant_pick)
        if len(thread.runs.items) >= RUNS_MAX:
            return
        request = {**request, "assistant_id": assistant["id"]}
        request["additional_instructions"] = f"mark {self._marks + 1}."
        if plan is not None:
            request["model"] = plan
        path, key = f"/v1/threads/{thread.id}/runs", self._new_key(has_key)
        if active := thread.active():
            response = self.place.ask("POST", path, {**request, "stream": is_streamed}, key=key)
            self.refused(response, f"Thread {thread.id} already has an active run {active.id}.")
            return
        answered, listener = self._create(path, request, is_streamed, key)
        self._note_messages(thread, request.get("additional_messages") or [])
        self._note_run(thread, assistant, request, answered, listener)

    @precondition(lambda self: len(self.threads) < THREADS_MAX and self.assistants.items)
    @rule(
        assistant_pick=picks,
        request=st.fixed_dictionaries({"model": plans}, optional=of_any_run),
        given=st.none() | st.lists(messages, max_size=2),
        is_streamed=st.booleans(),
        has_key=st.booleans(),
    )
    def create_thread_and_run(
        self,
        assistant_pick: int,
        request: dict[str, Any],
        given: list[dict[str, Any]] | None,
        is_streamed: bool,
        has_key: bool,
    ) -> None:
        self._create_thread_and_run(assistant_pick, request, given, is_streamed, has_key=has_key)

    def _create_thread_and_run(
        self,
        assistant_pick: int,
        request: dict[str, Any],
        given: list[dict[str, Any]] | None,
        is_streamed: bool,
        *,
        has_key: bool,
    ) -> None:
        assistant = self._assistant(assistant_pick)
        request = {**request, "assistant_id": assistant["id"]}
        request["instructions"] = f"mark {self._marks + 1}."
        if given is not None:
            request["thread"] = {"messages": given, "metadata": {"a": "1"}}
        key = self._new_key(has_key)
        answered, listener = self._create("/v1/threads/runs", request, is_streamed, key)
        body = self.ok("GET", f"/v1/threads/{answered['thread_id']}")
        thread = self._note_thread(body, request.get("thread") or {})
        if listener is not None:
            assert listener.events[0].name == "thread.created"
            assert listener.events[0].data == body
        self._note_run(thread, assistant, request, answered, listener)

    def _create(
        self, path: str, request: dict[str, Any], is_streamed: bool, key: str | None
    ) -> tuple[Any, Listener | None]:
        """A new run as it was answered, and whoever reads its stream."""
        if not is_streamed:
            return self.created(path, request, key), None
        body = {**request, "stream": True}
        headers = {} if key is None else {"idempotency_key": key}
        listener = self.place.listen("POST", path, body, **headers)
        assert listener.status == 200, listener.error
        run = self.place.do(listener.heard("thread.run.created")).data
        if key is not None:
            location = f"/v1/threads/{run['thread_id']}/runs/{run['id']}/events"
            self.kept.append(Kept(path, body, key, b"", location))
        return run, listener

    def _note_run(
        self,
        thread: Thread,
        assistant: dict[str, Any],
        request: dict[str, Any],
        answered: dict[str, Any],
        listener: Listener | None,
    ) -> None:
        self._marks += 1
        body = run_body(request, assistant, thread_id=thread.id, now=self.place.now)
        run = Run(thread, {"id": answered["id"], **body}, self._marks)
        assert answered == {**run.answer(), "last_error": None}
        thread.runs.add(run.id, run)
        self.listeners[run.id] = [] if listener is None else [listener]

    @precondition(lambda self: self.runs())
    @rule(pick=picks, notes=st.none() | metadata)
    def modify_run(self, pick: int, notes: dict[str, str] | None) -> None:
        run = self._run(pick)
        run.body["metadata"] = notes or {}
        run.hold(self.ok("POST", self._path(run), {"metadata": notes}))

    def _path(self, run: Run) -> str:
        return f"/v1/threads/{run.thread.id}/runs/{run.id}"

    @precondition(lambda self: self.runs())
    @rule(pick=picks, is_over=st.booleans())
    def cancel_run(self, pick: int, is_over: bool) -> None:
        meant = self.runs(lambda run: run.is_over is is_over) or self.runs()
        run = meant[pick % len(meant)]
        response = self.place.ask("POST", f"{self._path(run)}/cancel")
        if run.is_over:
            self.refused(response, f"Cannot cancel run with status '{run.status}'.")
            return
        assert response.status_code == 200, response.text
        run.cancel(self.place.now)
        self.place.gates.at_work.discard(run.mark)
        run.hold(response.json())

    @precondition(lambda self: self.runs(lambda run: run.status == "requires_action"))
    @rule(pick=picks, is_streamed=st.booleans(), has_key=st.booleans())
    def submit_outputs(self, pick: int, is_streamed: bool, has_key: bool) -> None:
        run = self._run(pick, lambda run: run.status == "requires_action")
        outputs = {call["id"]: f"output of {call['id']}" for call in run.asked()}
        path, request = f"{self._path(run)}/submit_tool_outputs", _outputs(outputs)
        key = self._new_key(has_key)
        if not is_streamed:
            answered = self.created(path, request, key)
        else:
            body = {**request, "stream": True}
            headers = {} if key is None else {"idempotency_key": key}
            listener = self.place.listen("POST", path, body, **headers)
            assert listener.status == 200, listener.error
            answered = self.place.do(listener.heard("thread.run.queued")).data
            self._join_listener(run, listener)
        run.submit(outputs, self.place.now)
        assert answered == {**run.answer(), "last_error": None}

    def _join_listener(self, run: Run, listener: Listener) -> None:
        """Whoever submits has heard what came before, and goes on with it."""
        before = next((one for one in self.listeners[run.id] if one.is_done), None)
        if before is None:
            # It has not heard the beginning, and so cannot add it up.
            self.place.do(listener.leave())
            return
        self.listeners[run.id].remove(before)
        listener.events[:0] = before.events[:-1]
        self.listeners[run.id].append(listener)

    @precondition(lambda self: self.runs())
    @rule(pick=picks, mistake=st.sampled_from(("none", "some", "other", "one more", "twice")))
    def submit_wrong_outputs(self, pick: int, mistake: str) -> None:
        waiting = self.runs(lambda run: run.status == "requires_action")
        runs = waiting or self.runs()
        run = runs[pick % len(runs)]
        asked = [call["id"] for call in run.asked()]
        given = {
            "none": [],
            "some": asked[:-1],
            "other": ["call_other", *asked[1:]],
            "one more": [*asked, "call_other"],
            "twice": [*asked, *asked[:1]],
        }[mistake]
        body = {"tool_outputs": [{"tool_call_id": id, "output": "x"} for id in given]}
        response = self.place.ask("POST", f"{self._path(run)}/submit_tool_outputs", body)
        if run.status != "requires_action":
            message = f'Runs in status "{run.status}" do not accept tool outputs.'
            self.refused(response, message)
        elif len(set(given)) < len(given):
            self.refused(response, None, param="tool_outputs")
        else:
            message = f"Expected tool outputs for call_ids {asked}, got {given}"
            self.refused(response, message, param="tool_outputs")

    @precondition(lambda self: self.runs(_is_at_gate))
    @rule(pick=picks)
    def let_the_model_go_on(self, pick: int) -> None:
        run = self._run(pick, _is_at_gate)
        is_at_work = run.mark in self.place.gates.at_work
        self.place.gates.release(run.mark)
        run.is_released = True
        if is_at_work:
            run.go_on(self.place.now)

    # --- sent again -----------------------------------------------------------------------------

    @precondition(lambda self: self.kept)
    @rule(pick=picks)
    def send_again(self, pick: int) -> None:
        kept = self.kept[pick % len(self.kept)]
        response = self.place.ask("POST", kept.path, kept.body, key=kept.key)
        assert response.headers.get("idempotent-replayed") == "true"
        if kept.location:
            assert response.status_code == 303
            assert response.headers["location"] == kept.location
        else:
            assert response.status_code == 200
            assert response.content == kept.answer

    @precondition(lambda self: self.kept)
    @rule(pick=picks)
    def send_another_under_the_same_key(self, pick: int) -> None:
        kept = self.kept[pick % len(self.kept)]
        other = {**kept.body, "metadata": {"other": "yes"}}
        if kept.path.endswith("/submit_tool_outputs"):
            other = {**kept.body, "tool_outputs": []}
        response = self.place.ask("POST", kept.path, other, key=kept.key)
        self.refused(response, None, param="idempotency-key")
        assert response.json()["error"]["code"] == "idempotency_key_reused"

    # --- lists ----------------------------------------------------------------------------------

    @rule(
        pick=picks,
        limit=st.none() | st.integers(1, 4) | st.just(100),
        order=st.sampled_from((None, "asc", "desc")),
        after=st.none() | picks,
        before=st.none() | picks,
    )
    def list_a_page(
        self, pick: int, limit: int | None, order: str | None, after: int | None, before: int | None
    ) -> None:
        path, listed, among, more = self._lists()[pick % len(self._lists())]
        cursors = {
            name: listed.ids[at % len(listed.ids)]
            for name, at in (("after", after), ("before", before))
            if at is not None and listed.ids
        }
        params = {**more, **cursors}
        params |= {} if limit is None else {"limit": limit}
        params |= {} if order is None else {"order": order}
        answered = self.ok("GET", path, params=params)
        ids, has_more = listed.page(
            among,
            limit=limit or 20,
            order=order or "desc",
            after=cursors.get("after"),
            before=cursors.get("before"),
        )
        assert [one["id"] for one in answered["data"]] == ids
        hold_list(answered)
        assert answered["has_more"] is has_more

    def _lists(self) -> list[tuple[str, Listed, list[str], dict[str, str]]]:
        """Every list: its path, what was ever in it, what of that is to be seen, and how."""
        lists: list[tuple[str, Listed, list[str], dict[str, str]]] = [
            ("/v1/assistants", self.assistants, self.assistants.living(), {})
        ]
        for thread in self.threads.values():
            path = f"/v1/threads/{thread.id}"
            living = thread.messages.living()
            lists.append((f"{path}/messages", thread.messages, living, {}))
            lists.append((f"{path}/runs", thread.runs, thread.runs.living(), {}))
            for run in thread.runs.items.values():
                own = [message.id for message in run.messages() if not message.is_deleted]
                lists.append((f"{path}/messages", thread.messages, own, {"run_id": run.id}))
                steps = Listed()
                for step in run.steps:
                    steps.add(step.id, step)
                lists.append((f"{path}/runs/{run.id}/steps", steps, steps.living(), {}))
        return lists

    def _list_what_cannot_be(self, pick: int, name: str, limit: int) -> None:
        path, _, _, more = self._lists()[pick % len(self._lists())]
        response = self.place.ask("GET", path, params={**more, name: "none_such"})
        self.refused(
            response, f"No object found with id 'none_such' to use as '{name}'.", param=name
        )
        response = self.place.ask("GET", path, params={**more, "limit": limit})
        self.refused(response, None, param="limit")

    # --- streams --------------------------------------------------------------------------------

    @precondition(lambda self: self.runs())
    @rule(pick=picks, reader=st.none() | picks, place=picks)
    def listen_from_some_place_on(self, pick: int, reader: int | None, place: int) -> None:
        """A new reader, from the first event or from where another one was once."""
        run = self._run(pick)
        readers = self.listeners[run.id]
        if len(readers) > 2:
            return
        before: list[Any] = []
        if reader is not None and readers:
            heard = [event for event in readers[reader % len(readers)].events if event.id]
            before = heard[: place % (len(heard) + 1)]
        self.seen["picked up amid a stream"] += bool(before)
        listener = Listener(before)
        self._resume(run, listener)
        readers.append(listener)

    def _resume(self, run: Run, listener: Listener) -> None:
        headers = {"last-event-id": listener.last_id} if listener.last_id else {}
        if listener.is_done:
            listener.events.pop()
        path = f"{self._path(run)}/events"
        self.place.do(listener.begin(self.place.client, "GET", path, None, headers))
        assert listener.status == 200, listener.error

    @precondition(lambda self: self._every_listener())
    @rule(pick=picks)
    def leave_a_stream(self, pick: int) -> None:
        every = self._every_listener()
        self.place.do(every[pick % len(every)].leave())

    # --- the operator ---------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1, RUN_S, 2 * RUN_S)))
    def let_time_pass(self, seconds: int) -> None:
        self.place.clock.move(seconds)
        for run in self.runs(lambda run: run.status == "requires_action"):
            if self.place.now >= run.body["created_at"] + RUN_S:
                run.expire(self.place.now)

    @rule()
    def stop_and_start(self) -> None:
        self.place.restart()
        self._begin_anew()

    @rule()
    def kill_and_start(self) -> None:
        self.place.do(self._all_leave())
        self.place.kill()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.place.do(self._all_leave())
        for run in self.runs(lambda run: run.is_live):
            self.seen[f"{run.status} at a new start"] += 1
            for message in run.messages():
                if message.status == "in_progress":
                    message.is_cut = True

    # --- what is not there ----------------------------------------------------------------------

    def _look_for_what_is_not_there(self, pick: int) -> None:
        gone = [thread.id for thread in self.deleted] + ["thread_none"]
        thread_id = gone[pick % len(gone)]
        path = f"/v1/threads/{thread_id}"
        missing = f"No thread found with id '{thread_id}'."
        for more in ("", "/messages", "/runs"):
            self.refused(self.place.ask("GET", path + more), missing, status=404)
        hello = {"role": "user", "content": "Hi."}
        self.refused(self.place.ask("POST", f"{path}/messages", hello), missing, status=404)
        self.refused(self.place.ask("DELETE", path), missing, status=404)
        living = self.assistants.living()
        request = {"assistant_id": living[0] if living else "asst_none"}
        said = missing if living else "No assistant found with id 'asst_none'."
        self.refused(self.place.ask("POST", f"{path}/runs", request), said, status=404)
        for thread in self.deleted[-1:]:
            self._nothing_is_left_of(thread)

    def _nothing_is_left_of(self, thread: Thread) -> None:
        path = f"/v1/threads/{thread.id}"
        for id in thread.messages.ids:
            said = f"No message found with id '{id}'."
            self.refused(self.place.ask("GET", f"{path}/messages/{id}"), said, status=404)
        for run in thread.runs.items.values():
            said = f"No run found with id '{run.id}'."
            for more in ("", "/steps", "/events", *(f"/steps/{step.id}" for step in run.steps)):
                response = self.place.ask("GET", f"{path}/runs/{run.id}{more}")
                self.refused(response, said, status=404)
            for more in ("/cancel", "/submit_tool_outputs"):
                body = _outputs({}) if more != "/cancel" else None
                response = self.place.ask("POST", f"{path}/runs/{run.id}{more}", body)
                self.refused(response, said, status=404)

    @rule(pick=picks, name=st.sampled_from(("after", "before")), limit=st.sampled_from((0, 101)))
    def ask_for_what_cannot_be(self, pick: int, name: str, limit: int) -> None:
        self._look_for_what_is_not_there(pick)
        self._list_what_cannot_be(pick, name, limit)
        if self.threads and self.assistants.items:
            self._send_what_cannot_be(pick)

    def _send_what_cannot_be(self, pick: int) -> None:
        path = f"/v1/threads/{self._thread(pick).id}"
        run = {"assistant_id": self._assistant(pick)["id"]}
        for more, body, param in (
            ("/messages", {"role": "user"}, "content"),
            ("/messages", {"role": "nobody", "content": "Hi."}, "role"),
            ("/runs", {}, "assistant_id"),
            ("/runs", {**run, "temperature": 3}, "temperature"),
            ("/runs", {**run, "unheard_of": 1}, "unheard_of"),
            ("", {"metadata": {"a": 1}}, "metadata.a"),
        ):
            self.refused(self.place.ask("POST", path + more, body), None, param=param)
        response = self.place.ask("POST", f"{path}/runs", {"assistant_id": "asst_none"})
        self.refused(response, "No assistant found with id 'asst_none'.", status=404)

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def everything_is_as_it_must_be(self) -> None:
        self.place.do(self._until_still())
        listed = self.ok("GET", "/v1/assistants", params={"order": "asc", "limit": 100})
        hold_list(listed)
        assert listed["data"] == [self.assistants.items[id] for id in self.assistants.living()]
        for thread in self.threads.values():
            self._hold_thread(thread)
        for run in self.runs(lambda run: not run.is_live):
            if self._checked.get(run.id) != run.status:
                self._hold_streams(run)
                self._checked[run.id] = run.status

    def _hold_thread(self, thread: Thread) -> None:
        path, all_of = f"/v1/threads/{thread.id}", {"order": "asc", "limit": 100}
        assert self.ok("GET", path) == thread.body
        runs = self.ok("GET", f"{path}/runs", params=all_of)
        hold_list(runs)
        assert [run["id"] for run in runs["data"]] == thread.runs.living()
        for answered in runs["data"]:
            run = thread.runs.items[answered["id"]]
            run.hold(answered)
            self._hold_steps(run)
        found = self.ok("GET", f"{path}/messages", params=all_of)
        hold_list(found)
        self._learn_messages(thread, found["data"])
        assert [message["id"] for message in found["data"]] == thread.messages.living()
        for answered in found["data"]:
            hold_message(thread.messages.items[answered["id"]], answered)

    def _hold_steps(self, run: Run) -> None:
        if self._checked.get(run.id) == run.status:
            return
        path = f"{self._path(run)}/steps"
        steps = self.ok("GET", path, params={"order": "asc", "limit": 100})
        hold_list(steps)
        assert len(steps["data"]) == len(run.steps), steps["data"]
        for step, answered in zip(run.steps, steps["data"], strict=True):
            step.id = step.id or answered["id"]
            if step.message is not None and not step.message.id:
                details = answered["step_details"]
                step.message.id = details["message_creation"]["message_id"]
            step.hold(answered)

    def _learn_messages(self, thread: Thread, answered: list[dict[str, Any]]) -> None:
        """Messages that runs have written, in the order in which they were."""
        for one in answered:
            if one["id"] in thread.messages.ids:
                continue
            assert one["run_id"] is not None, one
            own = thread.runs.items[one["run_id"]].messages()
            (message,) = [message for message in own if message.id == one["id"]]
            thread.messages.add(message.id, message)

    # --- until nothing moves ----------------------------------------------------------------------

    async def _until_still(self) -> None:
        try:
            async with asyncio.timeout(self.still_s):
                while not await self._is_still():
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            answered = await self._answered_runs()
            at_work = self.place.gates.at_work
            runs = [
                f"{run.id} (mark {run.mark}) is {answered[run.id]['status']}, not {run.status}"
                for run in self.runs()
            ]
            raise AssertionError(f"{'; '.join(runs)}; at work are marks {at_work}") from None

    async def _is_still(self) -> bool:
        answered = await self._answered_runs()
        for run in self.runs():
            found = answered[run.id]
            is_at_work = run.mark in self.place.gates.at_work
            if not run.is_live:
                continue
            has_rested = found["status"] not in ("queued", "in_progress")
            if has_rested or (run.status == "queued" and is_at_work):
                run.take_up(self.place.now)
            elif not is_at_work and run.is_late(self.place.now):
                # It is about to be ended, since it waited for room too long.
                return False
        live = self.runs(lambda run: run.is_live)
        at_work = [run for run in live if run.mark in self.place.gates.at_work]
        if len(at_work) < min(AT_ONCE_MAX, len(live)):
            return False
        return all(
            answered[run.id]["status"] == run.status for run in self.runs()
        ) and await self._messages_are_there(at_work)

    async def _answered_runs(self) -> dict[str, Any]:
        found = {}
        for thread in self.threads.values():
            path = f"/v1/threads/{thread.id}/runs"
            response = await self.place.client.get(path, params={"limit": 100})
            found.update({run["id"]: run for run in response.json()["data"]})
        return found

    async def _messages_are_there(self, at_work: list[Run]) -> bool:
        """Whether what a waiting model has said was taken in."""
        for run in at_work:
            path = f"{self._path(run)}/steps"
            response = await self.place.client.get(path, params={"limit": 100})
            if len(response.json()["data"]) != len(run.steps):
                return False
        return True

    # --- streams, held to what is stored ----------------------------------------------------------

    def _hold_streams(self, run: Run) -> None:
        """Every reader of a run at rest has heard all of it."""
        self.seen[run.status] += 1
        whole = Listener()
        self._resume(run, whole)
        self.place.do(whole.end(within_s=self.still_s))
        assert whole.is_done
        assert whole.events[-2].name == f"thread.run.{run.status}"
        assert whole.events[-2].name in AT_REST
        assert hold_order(whole.events) == run.status
        run.hold(whole.events[-2].data | {"metadata": run.body["metadata"]})
        items, told = added_up(whole.events)
        self._hold_items(run, items)
        for listener in self.listeners[run.id]:
            self.place.do(listener.end(within_s=self.still_s))
            if not listener.is_done or listener.events[-2].id != whole.events[-2].id:
                self._resume(run, listener)
                self.place.do(listener.end(within_s=self.still_s))
            assert listener.is_done, listener.story()
            ids = [event.id for event in listener.events if event.id]
            assert len(set(ids)) == len(ids), listener.story()
            added, heard = added_up(listener.events)
            assert heard == told
            # Of a message that was deleted meanwhile, whoever comes late is told no text.
            gone = {
                each.message.id for each in run.steps if each.message and each.message.is_deleted
            }
            assert _but(added, gone) == _but(items, gone)

    def _hold_items(self, run: Run, items: dict[str, str]) -> None:
        for step in run.steps:
            if step.message is None:
                calls = [(call["id"], call["function"]) for call in step.calls]
                texts = [f"{id}{one['name']}{one['arguments']}" for id, one in calls]
                assert items[step.id] == "".join(texts)
            elif not step.message.is_deleted:
                path = f"/v1/threads/{run.thread.id}/messages/{step.message.id}"
                stored = self.ok("GET", path)
                texts = [
                    block["text"]["value"] if block["type"] == "text" else block["refusal"]
                    for block in stored["content"]
                ]
                assert items[step.message.id] == "".join(texts)


def _but(items: dict[str, str], gone: set[str]) -> dict[str, str]:
    return {id: text for id, text in items.items() if id not in gone}


def _is_at_gate(run: Run) -> bool:
    return run.is_live and run.waits and not run.is_endless


def _outputs(outputs: dict[str, str]) -> dict[str, Any]:
    listed = [{"tool_call_id": id, "output": output} for id, output in outputs.items()]
    return {"tool_outputs": listed}


def hold_message(message: Any, answered: dict[str, Any]) -> None:
    """Hold an answer to a client's message or to a run's."""
    if isinstance(message, dict):
        assert answered == message
    else:
        message.hold(answered)


def hold_list(answered: dict[str, Any]) -> None:
    """Hold the envelope of a list to what is in it."""
    ids = [one["id"] for one in answered["data"]]
    assert set(answered) == {"object", "data", "first_id", "last_id", "has_more"}
    assert answered["object"] == "list"
    ends = (ids[0], ids[-1]) if ids else (None, None)
    assert (answered["first_id"], answered["last_id"]) == ends


def hold_error(body: Any, message: str | None, *, param: str | None) -> None:
    """Hold a body to OpenAI's envelope of an error."""
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert isinstance(error["message"], str)
    assert error["message"]
    assert error["code"] is None or isinstance(error["code"], str)
    assert error["param"] == param
    if message is not None:
        assert error["message"] == message
