"""What servers serve is asked again, and one that is silent hides nobody else."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from famulus.log import make_log
from famulus.testing import kernel_with
from famulus.testing.kit import serves
from famulus.testing.scripted import Script, ScriptedBackend, faults
from famulus_schemas.inference import ModelCard

pytestmark = pytest.mark.anyio


def backend(name: str = "a", *models: str) -> ScriptedBackend:
    return ScriptedBackend(Script().says("Hi").forever(), name=name, models=models or ("m1",))


def lists_asked(scripted: ScriptedBackend) -> int:
    return sum(request.endpoint == "models" for request in scripted.requests)


async def test_a_silent_server_hides_no_other(routed):
    silent = backend("a", "m1")
    silent.faults["models"] = faults.status(500, "no list today")
    async with routed(silent, backend("b", "m2")) as server:
        assert [card.id for card in await server.inference.models()] == ["m2"]
        assert await server.chat("m2") == "Hi"


async def test_a_model_that_a_silent_server_may_serve_is_worth_another_try(routed):
    silent = backend("a", "m1")
    silent.faults["models"] = faults.status(500, "no list today")
    async with routed(silent, backend("b", "m2")) as server:
        answer = await server.ask("m1")
        assert answer.status_code == 503
        assert "no list today" in answer.json()["error"]["message"]
        del silent.faults["models"]
        assert (await server.ask("m1")).status_code == 200


async def test_a_list_is_asked_for_once_and_then_remembered(routed):
    scripted = backend()
    async with routed(scripted) as server:
        for _ in range(5):
            await server.ask("m1")
    assert lists_asked(scripted) == 1


async def test_an_old_list_is_renewed_behind_the_caller_s_back(routed):
    scripted = backend("a", "m1")
    async with routed(scripted, models_ttl_s=30.0) as server:
        await server.inference.models()
        scripted.model_ids = ("m1", "m2")
        server.clock.move(31)
        stale = await server.inference.models()
        assert [card.id for card in stale] == ["m1"]
        async with asyncio.timeout(10):
            while await server.inference.models() == stale:
                await asyncio.sleep(0)
        assert [card.id for card in await server.inference.models()] == ["m1", "m2"]


async def test_a_model_s_date_is_that_of_its_first_sight(routed):
    class Forgets:
        name = "a"
        now = 100

        async def models(self):
            self.now += 1
            return [ModelCard(id="m1", backend="a", created=self.now)]

    async with routed(Forgets()) as server:
        first = await server.inference.find("m1")
        await server.ask("nope")
        assert await server.inference.find("m1") == first


async def test_an_unknown_model_makes_the_servers_be_asked_again(routed):
    scripted = backend("a", "m1")
    async with routed(scripted) as server:
        await server.inference.models()
        scripted.model_ids = ("m1", "late")
        assert (await server.inference.find("late")).id == "late"


async def test_unknown_models_do_not_make_servers_be_asked_all_the_time(routed):
    scripted = backend("a", "m1")
    async with routed(scripted, refresh_min_s=5.0) as server:
        for _ in range(5):
            assert (await server.ask("nope")).status_code == 404
        assert lists_asked(scripted) == 1
        server.clock.move(6)
        await server.ask("nope")
        assert lists_asked(scripted) == 2


async def test_what_a_server_served_is_still_its_own_while_it_is_silent(routed):
    scripted = backend("a", "m1")
    async with routed(scripted, attempts_max=1) as server:
        await server.inference.models()
        scripted.faults["models"] = faults.reset()
        await server.ask("nope")
        assert [card.id for card in await server.inference.models()] == ["m1"]


async def test_a_server_that_never_answers_holds_nobody_up_for_long(routed):
    class Hangs:
        name = "hangs"

        async def models(self):
            await asyncio.Event().wait()

    async with routed(Hangs(), backend("b", "m2"), models_timeout_s=0.05) as server:
        assert await server.chat("m2") == "Hi"
        assert (await server.health())[0] == "degraded"


async def test_a_backend_that_breaks_in_listing_hides_no_other(routed):
    class Breaks:
        name = "breaks"

        async def models(self):
            raise KeyError("data")

    async with routed(Breaks(), backend("b", "m2")) as server:
        assert await server.chat("m2") == "Hi"
        status, detail = await server.health()
    assert (status, detail) == ("degraded", "breaks: KeyError: 'data'")


async def test_health_is_well_where_all_answer(routed):
    async with routed(backend()) as server:
        await server.inference.models()
        assert await server.health() == ("ok", "")


async def test_health_says_where_no_model_is_served(routed):
    async with routed() as server:
        await server.inference.models()
        status, detail = await server.health()
    assert status == "degraded"
    assert "--backend" in detail


async def test_health_does_not_wait_for_a_server_that_never_answers(routed):
    class Hangs:
        name = "hangs"

        async def models(self):
            await asyncio.Event().wait()

    async with routed(Hangs(), models_timeout_s=3600.0) as server:
        assert await server.health() == ("degraded", "the model servers are being asked")
        assert (await server.server.get("/health/ready")).status_code == 200


async def test_two_backends_of_one_name_are_a_mistake_of_configuration():
    from famulus import NoSettings, Plugin, hookimpl
    from famulus.testing.kit import kernel_with
    from famulus_models import Models

    class Twice(Plugin[NoSettings]):
        name = "twice"

        @hookimpl
        def register_backends(self):
            return [backend("a"), backend("a")]

    async with kernel_with(Twice, Models) as server:
        state, reason = server.state("models")
    assert state == "failed"
    assert "two backends are called 'a'" in reason


class StandIn:
    name = "builtin"

    async def models(self):
        return [ModelCard(id="stand-in", backend="builtin", note="No language model.")]


def notes(log: io.StringIO) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [
        (each["model"], each["note"]) for each in lines if each["event"] == "last_resort_listed"
    ]


async def test_what_a_stand_in_is_stands_in_the_list_and_once_in_the_log():
    out = io.StringIO()
    log = make_log("info", "json", stream=out)
    settings = {"models": {"models_ttl_s": 0.000001, "aliases": {"other": "stand-in"}}}
    async with kernel_with(serves(StandIn()), "models", settings=settings, log=log) as server:
        listed = (await server.get("/v1/models")).json()["data"]
        assert [(each["id"], each["note"]) for each in listed] == [
            ("stand-in", "No language model."),
            ("other", "No language model."),
        ]
        one = await server.get("/v1/models/stand-in")
        assert one.json()["note"] == "No language model."
    assert notes(out) == [("stand-in", "No language model.")]


async def test_a_stand_in_that_is_not_needed_is_not_told_of():
    out = io.StringIO()
    log = make_log("info", "json", stream=out)
    plugins = (serves(StandIn()), serves(backend("a", "m1")), "models")
    async with kernel_with(*plugins, log=log) as server:
        [only] = (await server.get("/v1/models")).json()["data"]
    assert (only["id"], "note" in only) == ("m1", False)
    assert notes(out) == []
