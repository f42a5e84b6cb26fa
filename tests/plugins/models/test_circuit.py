"""A server that fails time after time is left alone for a while."""

from __future__ import annotations

import pytest

from famulus.testing.kit import FixedClock
from famulus.testing.scripted import Script, ScriptedBackend, faults
from famulus_models.circuit import Circuit
from famulus_schemas.inference import BackendFault

pytestmark = pytest.mark.anyio

SETTINGS = {"attempts_max": 1, "circuit_failures_max": 2, "circuit_cooldown_s": 10.0}


def failing(fault=None) -> ScriptedBackend:
    return ScriptedBackend(
        Script().fails(fault or faults.reset()).forever(), name="a", models=("m",)
    )


async def test_a_dead_server_is_asked_no_more(routed):
    scripted = failing()
    async with routed(scripted, **SETTINGS) as server:
        for _ in range(5):
            answer = await server.ask("m")
            assert answer.status_code == 503
    assert len(scripted.chats) == 2
    assert "left alone" in answer.json()["error"]["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 10


async def test_health_names_a_server_that_is_left_alone(routed):
    async with routed(failing(), **SETTINGS) as server:
        for _ in range(2):
            await server.ask("m")
        assert await server.health() == ("degraded", "a: connection reset by peer")


async def test_after_the_pause_it_is_asked_again_and_taken_back(routed):
    scripted = failing()
    async with routed(scripted, **SETTINGS) as server:
        for _ in range(3):
            await server.ask("m")
        scripted.play(Script().says("I am back").forever())
        server.clock.move(10)
        assert await server.chat("m") == "I am back"
        assert await server.chat("m") == "I am back"
        assert (await server.health())[0] == "ok"


async def test_one_that_still_fails_is_left_alone_again(routed):
    scripted = failing()
    async with routed(scripted, **SETTINGS) as server:
        for _ in range(3):
            await server.ask("m")
        server.clock.move(10)
        for _ in range(3):
            await server.ask("m")
    assert len(scripted.chats) == 3


@pytest.mark.parametrize(
    "fault", [faults.status(400), faults.status(429), faults.status(404), faults.status(504)]
)
async def test_a_server_that_is_only_busy_or_asked_for_too_much_is_not_left_alone(routed, fault):
    scripted = failing(fault)
    async with routed(scripted, **SETTINGS) as server:
        for _ in range(4):
            await server.ask("m")
    assert len(scripted.chats) == 4


async def test_a_fallback_answers_at_once_for_a_server_that_is_left_alone(routed):
    a = failing()
    b = ScriptedBackend(Script().says("I am b").forever(), name="b", models=("n",))
    async with routed(a, b, fallbacks={"m": ["n"]}, **SETTINGS) as server:
        for _ in range(4):
            assert await server.chat("m") == "I am b"
    assert len(a.chats) == 2


def fault() -> BackendFault:
    return BackendFault("broken", "no")


def test_only_one_caller_tries_a_server_after_its_pause():
    clock = FixedClock()
    circuit = Circuit(1, 10.0, clock)
    circuit.failed(fault())
    clock.move(10)
    assert circuit.wait_s() == 0
    assert circuit.wait_s() == 10


def test_one_that_tried_and_left_does_not_keep_the_others_out_for_ever():
    clock = FixedClock()
    circuit = Circuit(1, 10.0, clock)
    circuit.failed(fault())
    clock.move(10)
    circuit.wait_s()
    clock.move(10)
    assert circuit.wait_s() == 0


def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer():
    clock = FixedClock()
    circuit = Circuit(1, 10.0, clock)
    circuit.failed(fault())
    clock.move(-1000)
    assert circuit.wait_s() == 0


def test_an_answer_in_between_begins_the_count_anew():
    circuit = Circuit(2, 10.0, FixedClock())
    circuit.failed(fault())
    circuit.succeeded()
    circuit.failed(fault())
    assert not circuit.is_open
