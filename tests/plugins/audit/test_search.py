"""Whatever is asked of the log, the answer is what a reading of all of it would find."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus import Problem
from famulus.testing.memory_records import MemoryStore
from famulus_audit.events import KIND, Event, Source, event_id, record_of
from famulus_audit.queries import Search, limits_of
from famulus_audit.settings import AuditSettings
from famulus_schemas.audit_logs import AuditLogQuery, EffectiveAt

START = 1_700_000_000
PROJECTS = ("one", "other")
TYPES = ("thread.created", "thread.deleted", "login.failed")
ACTORS = ("key_1", "key_2")
OWNERS = ("", "svc_acct_1", "key_2")
RESOURCES = ("thread_1", "thread_2", None)

Said = dict[str, Any]

said = st.fixed_dictionaries(
    {
        "home": st.sampled_from((*PROJECTS, "system")),
        "project": st.sampled_from((*PROJECTS, None)),
        "type": st.sampled_from(TYPES),
        "actor": st.sampled_from(ACTORS),
        "owner": st.sampled_from(OWNERS),
        "resource": st.sampled_from(RESOURCES),
        "later_s": st.integers(0, 90),
    }
)
second = st.none() | st.integers(START - 50, START + 600)
queries = st.builds(
    AuditLogQuery,
    effective_at=st.builds(EffectiveAt, gt=second, gte=second, lt=second, lte=second),
    project_ids=st.lists(st.sampled_from(PROJECTS), max_size=2),
    event_types=st.lists(st.sampled_from(TYPES), max_size=2),
    actor_ids=st.lists(st.sampled_from((*ACTORS, "svc_acct_1")), max_size=2),
    resource_ids=st.lists(st.sampled_from(("thread_1", "thread_2")), max_size=2),
    limit=st.integers(1, 5),
)


async def kept(events: list[Said], **settings: Any) -> tuple[Search, list[Said]]:
    """A search in a store that holds these, and what it holds, oldest first."""
    store = MemoryStore()
    await store.system.declare(KIND)
    at, held = START, []
    for number, event in enumerate(events):
        at += event["later_s"]
        id = event_id(f"{number}", event["home"])
        source = Source(actor={"type": "server"}, actor_id=event["actor"], owner_id=event["owner"])
        made = Event(
            type=event["type"],
            at=at,
            source=source,
            project=event["project"],
            resource=event["resource"],
        )
        await store.of(event["home"]).commit([record_of(made, id=id)])
        held.append(event | {"id": id, "at": at})
    return Search(store.system, AuditSettings(**settings)), held


def suits(event: Said, query: AuditLogQuery) -> bool:
    """Whether an event is asked for, as the official client says it."""
    when = query.effective_at
    return (
        (not query.project_ids or event["project"] in query.project_ids)
        and (not query.event_types or event["type"] in query.event_types)
        and (not query.resource_ids or event["resource"] in query.resource_ids)
        and (not query.actor_ids or bool({event["actor"], event["owner"]} & {*query.actor_ids}))
        and (when.gt is None or event["at"] > when.gt)
        and (when.gte is None or event["at"] >= when.gte)
        and (when.lt is None or event["at"] < when.lt)
        and (when.lte is None or event["at"] <= when.lte)
    )


@given(st.lists(said, max_size=14), queries)
def test_pages_have_what_suits_once_and_the_newest_first(
    events: list[Said], query: AuditLogQuery
) -> None:
    async def ask() -> None:
        search, held = await kept(events)
        expected = [event["id"] for event in held[::-1] if suits(event, query)]
        found: list[str] = []
        after = None
        while True:
            page = await search.page(msgspec.structs.replace(query, after=after))
            found += [record.id for record in page.records]
            assert len(page.records) <= query.limit
            if not page.has_more:
                break
            after = page.records[-1].id
        assert found == expected
        for at, id in enumerate(expected):
            page = await search.page(msgspec.structs.replace(query, before=id))
            assert [each.id for each in page.records] == expected[max(0, at - query.limit) : at]
            assert page.has_more == (at > query.limit)

    anyio.run(ask)


@given(st.lists(said, max_size=14), second, second)
def test_a_time_is_exported_as_it_was_written(
    events: list[Said], since: int | None, until: int | None
) -> None:
    async def ask() -> None:
        search, held = await kept(events)
        first, last = limits_of(EffectiveAt(gte=since, lt=until))
        span = await search.span(first, last)
        found = [record.id async for record in search.all({}, span, batch=3)]
        assert found == [each["id"] for each in held if first <= each["at"] <= last]

    anyio.run(ask)


async def _scanned_too_much() -> None:
    search, _ = await kept(
        [
            {
                "home": "one",
                "project": "one",
                "type": TYPES[0],
                "actor": "key_1",
                "owner": "",
                "resource": None,
                "later_s": 0,
            }
        ]
        * 250,
        scanned_max=200,
    )
    # All are within the time that clocks may differ by, and none is of the time itself.
    await search.page(AuditLogQuery(effective_at=EffectiveAt(gt=START, lt=START + 20)))


def test_a_question_that_would_look_at_too_much_is_refused() -> None:
    with pytest.raises(Problem, match="more than 200 events") as refused:
        anyio.run(_scanned_too_much)
    assert refused.value.body.param == "effective_at"
