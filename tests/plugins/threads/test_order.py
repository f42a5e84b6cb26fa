"""Messages that were posted behind runs follow what those runs wrote, though that came later."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from famulus_schemas.messages import Message
from famulus_threads.order import MessageExtra, Written, as_meant, encode_extra, extra_of


def written(id: str, *, run_id: str | None = None, behind: tuple[str, ...] = ()) -> Written:
    """A message as it is read."""
    message = Message(
        id=id, created_at=0, thread_id="thread_1", status="completed", role="user", run_id=run_id
    )
    return Written(message=message, behind=behind)


class Thread:
    """A thread on which runs wait for each other, and what it would be if clients did, too."""

    def __init__(self) -> None:
        self.live: list[str] = []
        self.written: list[Written] = []
        self.asked_for: list[str] = []
        """Clients' messages and runs, in the order in which they came."""
        self.of_run: dict[str, list[str]] = {}
        self._runs = 0

    def do(self, what: str) -> None:
        """One thing that happens."""
        id = f"msg_{len(self.written)}"
        if what == "say":
            self.written.append(written(id, behind=tuple(self.live)))
            self.asked_for.append(id)
        elif what == "run":
            self._runs += 1
            self.live.append(f"run_{self._runs}")
            self.asked_for.append(self.live[-1])
        elif what == "write" and self.live:
            self.written.append(written(id, run_id=self.live[0]))
            self.of_run.setdefault(self.live[0], []).append(id)
        elif what == "end" and self.live:
            self.live.pop(0)
        elif what == "cancel the last" and self.live[1:]:
            self.live.pop()

    def meant(self) -> list[str]:
        """The ids of its messages, oldest first, as if all had waited for each other."""
        return [id for asked in self.asked_for for id in self.of_run.get(asked, [asked])]


@given(st.lists(st.sampled_from(["say", "run", "write", "write", "end", "cancel the last"])))
def test_messages_come_as_if_everybody_had_waited(happenings: list[str]) -> None:
    thread = Thread()
    for happening in happenings:
        thread.do(happening)
    newest_first = as_meant(thread.written[::-1])
    silent = {asked for asked in thread.asked_for if asked.startswith("run_")}
    meant = [id for id in thread.meant() if id not in silent]
    assert [message.id for message in newest_first] == meant[::-1]


def test_what_was_not_posted_behind_runs_stays_as_it_was_written() -> None:
    messages = [written("msg_1"), written("msg_2", run_id="run_1"), written("msg_3")]
    assert [message.id for message in as_meant(messages)] == ["msg_1", "msg_2", "msg_3"]


@given(st.lists(st.text(), max_size=5), st.text())
def test_the_runs_that_a_message_follows_or_came_with_are_kept_beside_it(
    runs: list[str], run: str
) -> None:
    extra = encode_extra(runs, run)
    assert extra_of(extra) == MessageExtra(behind=tuple(runs), run=run)
    assert bool(extra) == bool(runs or run)
    # What later versions keep beside it, too, is passed over.
    assert extra_of(msgspec.msgpack.encode({"behind": runs, "more": 1})).behind == tuple(runs)
