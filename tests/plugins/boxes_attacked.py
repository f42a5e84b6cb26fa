"""Hostile code in the boxes of a local sandbox: nothing leaks, and nothing is left."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, cast

import pytest
from tests.plugins.box_attacks import (
    CANARY,
    LIMITS,
    Attack,
    Bait,
    attacks_on,
    bait,
    made,
    processes_of_boxes,
    read_through_a_link,
    survivors,
)

from famulus.testing.sandbox_conformance import cell, of
from famulus_schemas.sandbox import BoxGone, ResultOutput, Sandbox

FORK = (
    "import os, time\nmade = 0\ntry:\n    while made < 100:\n        if os.fork() == 0:\n"
    "            time.sleep(60)\n        made += 1\nexcept OSError:\n    pass\nmade"
)
FORK_FOR_EVER = (
    "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n"
    "        print('full', flush=True)\n"
)


def attacks_for(name: str, opened: Callable[..., AbstractAsyncContextManager[Sandbox]]) -> type:
    """The tests of one sandbox; `opened` takes a data folder and settings."""

    class Attacks:
        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="class")
        @classmethod
        def trap(cls) -> Iterator[Bait]:
            with pytest.MonkeyPatch.context() as patch, bait() as trap:
                patch.setenv("FAMULUS_CANARY", CANARY)
                yield trap

        @pytest.fixture(scope="class")
        @classmethod
        async def sandbox(
            cls, trap: Bait, tmp_path_factory: pytest.TempPathFactory
        ) -> AsyncIterator[Sandbox]:
            async with opened(tmp_path_factory.mktemp("data"), **LIMITS) as sandbox:
                yield sandbox

        @pytest.mark.parametrize("attack", attacks_on(name), ids=lambda each: each.name)
        async def test_an_attack_gets_nothing(
            self, attack: Attack, sandbox: Sandbox, trap: Bait
        ) -> None:
            # One box is attacked again and again, until one of the attacks is the end of it.
            box = await sandbox.open("attacker", project="p")
            held = processes_of_boxes()
            assert held
            await made(attack, box, trap)
            if attack.gone:
                # What it left running would be in the way of the next.
                await box.close()
                assert survivors(held) == set()
                assert processes_of_boxes() == set()

        async def test_a_link_in_a_box_leads_to_no_file_of_the_server(
            self, sandbox: Sandbox, trap: Bait
        ) -> None:
            box = await sandbox.open("link", project="p")
            await read_through_a_link(box, trap)
            await box.close()

        async def test_a_box_that_is_full_of_processes_leaves_others_theirs(
            self, sandbox: Sandbox
        ) -> None:
            full = await sandbox.open("full", project="p")
            [made] = of(ResultOutput, await cell(full, FORK))
            other = await sandbox.open("other", project="p")
            [made_too] = of(ResultOutput, await cell(other, FORK))
            assert 10 < int(made.text) <= 24
            assert 10 < int(made_too.text) <= 24
            await full.close()
            await other.close()

        async def test_a_box_that_spins_and_forks_is_gone_when_it_is_closed(
            self, sandbox: Sandbox
        ) -> None:
            box = await sandbox.open("forker", project="p")
            with pytest.raises(BoxGone):
                async with aclosing(cast("Any", box.run(FORK_FOR_EVER))) as outputs:
                    await anext(outputs)
                    held = processes_of_boxes()
                    await box.close()
                    await anext(outputs)
            assert len(held) > 10
            assert survivors(held) == set()

        def test_a_server_that_is_killed_leaves_no_process(self) -> None:
            with subprocess.Popen(
                [sys.executable, "-m", "tests.plugins.box_server", name],
                stdout=subprocess.PIPE,
                text=True,
            ) as server:
                assert server.stdout is not None
                held = {int(each) for each in server.stdout.readline().split()}
                server.kill()
            assert len(held) >= 4
            assert survivors(held) == set()

    return Attacks
