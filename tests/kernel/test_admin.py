"""What the kernel says about itself, and to whom."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.datastructures import Headers

from famulus import NoSettings, Plugin, Problem, hookimpl
from famulus.log import make_log
from famulus.testing import kernel_with
from famulus_schemas.errors import NOT_ALLOWED, WRONG_API_KEY
from famulus_schemas.health import Health
from famulus_schemas.identity import Principal
from famulus_schemas.ports import Port

pytestmark = pytest.mark.anyio

WATER: Port[str] = Port("water")
SECRETS = ("/srv/secret/path", "db.internal", "process 4711")
KEY = {"authorization": "Bearer right"}


class Door(Plugin[NoSettings]):
    """Knows one key, and one that may not read about plugins."""

    name = "keys"

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        given = headers.get("authorization")
        if given is None:
            return None
        if given == "Bearer broken":
            raise OSError("the store is gone: db.internal")
        if given not in ("Bearer right", "Bearer narrow"):
            raise Problem(WRONG_API_KEY, shown="***")
        return Principal(id=given.removeprefix("Bearer "))

    @hookimpl
    async def authorize(self, principal: Principal, action: str, resource: str | None) -> None:
        if principal.id == "narrow":
            raise Problem(NOT_ALLOWED, action=action)


class Well(Plugin[NoSettings]):
    """Cannot be dug yet."""

    name = "well"
    provides = (WATER,)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        raise ConnectionError("/srv/secret/path is in use by process 4711 on db.internal")
        yield


class Pump(Plugin[NoSettings]):
    """Runs, and is not well."""

    name = "pump"

    @hookimpl
    async def check_health(self) -> Health:
        raise OSError("db.internal hangs up")


class Shut(Plugin[NoSettings]):
    """Would let somebody in, but does not run."""

    name = "shut"

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        raise ConnectionError("no key is known")
        yield

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        return None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer narrow"},
        {"authorization": "Bearer broken"},
        {"x-forwarded-for": "127.0.0.1"},
    ],
)
async def test_a_stranger_is_told_which_plugins_are_unwell_and_not_why(
    headers: dict[str, str],
) -> None:
    async with kernel_with(Door, Well, Pump) as server:
        ready = await server.get("/health/ready", headers=headers)
    assert ready.status_code == 503
    assert ready.json() == {
        "status": "down",
        "plugins": {
            "well": {"status": "down", "detail": "failed"},
            "pump": {"status": "down", "detail": "unwell"},
        },
    }


async def test_who_has_a_key_is_told_why() -> None:
    async with kernel_with(Door, Well, Pump) as server:
        plugins = (await server.get("/health/ready", headers=KEY)).json()["plugins"]
    for secret in SECRETS:
        assert secret in plugins["well"]["detail"]
    assert plugins["pump"]["detail"] == "OSError: db.internal hangs up"


async def test_the_log_says_why() -> None:
    out = io.StringIO()
    async with kernel_with(Door, Well, log=make_log("info", "json", stream=out)):
        pass
    assert all(secret in out.getvalue() for secret in SECRETS)


async def test_a_server_that_can_let_nobody_in_is_not_ready() -> None:
    async with kernel_with(Shut) as server:
        ready = await server.get("/health/ready")
        refused: Any = await server.get("/nothing", headers={"x-test-project": "x"})
    assert (ready.status_code, ready.json()["plugins"]["shut"]["detail"][:6]) == (503, "failed")
    assert refused.status_code == 404


async def test_a_server_is_not_ready_while_what_it_stands_on_is_started_again() -> None:
    class River(Plugin[NoSettings]):
        """Does not come the first time, and takes long the second."""

        name = "river"
        provides = (WATER,)
        starts = 0
        begun, may_come = asyncio.Event(), asyncio.Event()

        @asynccontextmanager
        async def lifespan(self) -> AsyncIterator[None]:
            River.starts += 1
            if River.starts == 1:
                raise ConnectionError("dry")
            River.begun.set()
            await River.may_come.wait()
            self.provide(WATER, "clear")
            yield

    async with kernel_with(Door, River) as server:
        again = asyncio.create_task(server.kernel.reload(server.kernel.config))
        await River.begun.wait()
        ready = await server.get("/health/ready")
        assert (ready.status_code, ready.json()["plugins"]["river"]["detail"]) == (503, "loaded")
        River.may_come.set()
        await again
        assert (await server.get("/health/ready")).json() == {"status": "ok", "plugins": {}}
