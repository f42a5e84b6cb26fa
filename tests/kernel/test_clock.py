"""Ids are unguessable and never made twice, not even by a process and its fork."""

from __future__ import annotations

import os
import re
import time

from famulus.clock import IdPool, system_clock


def test_an_id_is_its_prefix_and_24_characters() -> None:
    assert re.fullmatch(r"thread_[0-9a-f]{24}", IdPool()("thread_"))


def test_ids_are_different_past_every_refill_of_the_pool() -> None:
    make_id = IdPool()
    ids = [make_id("x") for _ in range(1000)]
    assert len(set(ids)) == 1000


def test_a_fork_does_not_make_its_parents_ids() -> None:
    make_id = IdPool()
    make_id("x")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, make_id("x").encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() != make_id("x")
    os.close(reading)
    os.close(writing)


def test_the_clock_is_the_machines() -> None:
    before = time.time()
    assert before <= system_clock() <= time.time()
