"""Random walks on which a store is compared with the model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import anyio
import anyio.from_thread
import anyio.to_thread
import msgspec
from hypothesis import HealthCheck, given, settings

from famulus.testing.records_conformance import model as records_model
from famulus.testing.records_conformance.opening import Opened, OpenStore, StoreTests
from famulus_schemas.records import Conflict, Reason, Record, UnknownCursor, Write


class WalkTests(StoreTests):
    walks_max: ClassVar[int] = 100
    """How many random walks the store is compared on."""

    async def test_the_store_does_what_the_model_does(self, open_store: OpenStore) -> None:
        numbers = itertools.count()
        async with open_store() as opened:

            @settings(
                max_examples=self.walks_max,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            )
            @given(records_model.steps())
            def compare(steps: Sequence[records_model.Step]) -> None:
                # Kinds of its own for each walk, instead of a store of its own.
                number = next(numbers)
                anyio.from_thread.run(_compare, opened, steps, (f"x{number}", f"y{number}"))

            # Hypothesis is no coroutine: it runs in a thread, and each walk back here.
            await anyio.to_thread.run_sync(compare)

    async def test_the_store_does_what_the_model_does_when_opened_again(
        self, open_store: OpenStore
    ) -> None:
        @settings(
            max_examples=max(1, self.walks_max // 10),
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(records_model.steps())
        def compare(steps: Sequence[records_model.Step]) -> None:
            number = next(numbers)
            anyio.from_thread.run(walk_and_reopen, steps, (f"x{number}", f"y{number}"))

        async def walk_and_reopen(
            steps: Sequence[records_model.Step], kinds: tuple[str, str]
        ) -> None:
            async with open_store() as opened:
                model = await _compare(opened, steps, kinds)
            async with open_store() as opened:
                await opened.store.declare(*records_model.kinds_named(*kinds))
                await _compare_all(opened, model)

        numbers = itertools.count()
        await anyio.to_thread.run_sync(compare)


async def _compare(
    opened: Opened, steps: Sequence[records_model.Step], kinds: tuple[str, str]
) -> records_model.Model:
    await opened.store.declare(*records_model.kinds_named(*kinds))
    model = records_model.Model(kinds)
    for step in steps:
        if isinstance(step, records_model.Commit):
            await _compare_commit(opened, model, step)
        else:
            await _compare_page(opened, model, step)
    await _compare_all(opened, model)
    return model


async def _compare_commit(
    opened: Opened, model: records_model.Model, step: records_model.Commit
) -> None:
    unit = model.unit_of(step)
    expected: tuple[Write, Reason] | None = None
    try:
        model.commit(step.project, unit)
    except records_model.Refused as refusal:
        expected = unit[refusal.number], refusal.reason
    found: tuple[Write, Reason] | None = None
    try:
        await opened.store.of(step.project).commit(unit)
    except Conflict as conflict:
        found = conflict.write, conflict.reason
    assert found == expected


async def _compare_page(opened: Opened, model: records_model.Model, ask: records_model.Ask) -> None:
    found: tuple[list[Record], bool] | None = None
    try:
        page = await opened.store.of(ask.project).page(
            model.kinds[ask.kind],
            ask.parent,
            where=ask.where,
            order=ask.order,
            after=ask.after,
            before=ask.before,
            limit=ask.limit,
        )
        found = _unnumbered(page.records), page.has_more
    except UnknownCursor:
        found = None
    expected = model.page(ask)
    assert found == (None if expected is None else (_unnumbered(expected[0]), expected[1]))


async def _compare_all(opened: Opened, model: records_model.Model) -> None:
    for kind in model.kinds:
        scanned = await opened.system.scan(kind, limit=1000)
        assert _unnumbered(scanned) == _unnumbered(model.all_of(kind))
        assert [record.seq for record in scanned] == sorted({record.seq for record in scanned})
        for ask in records_model.every_list(model.kinds.index(kind)):
            await _compare_page(opened, model, ask)
        for project, id in itertools.product(records_model.PROJECTS, records_model.IDS):
            record = await opened.store.of(project).get(kind, id)
            expected = model.get(project, kind, id)
            assert (record is None) == (expected is None)
            if record is not None and expected is not None:
                assert _unnumbered([record]) == _unnumbered([expected])


def _unnumbered(records: Sequence[Record]) -> list[Record]:
    """Numbers may skip, so a store's are compared by their order alone."""
    return [msgspec.structs.replace(record, seq=0) for record in records]
