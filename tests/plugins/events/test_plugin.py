"""The plugin gives the port, and lets go of its listeners when it stops."""

from __future__ import annotations

import pytest

from famulus.plugin import NoSettings, Plugin, need
from famulus.testing import kernel_with
from famulus_schemas.ports import EVENTS, Emission, ListenerDropped

pytestmark = pytest.mark.anyio


class Reader(Plugin[NoSettings]):
    """Uses the port as a plugin does."""

    name = "reader"
    events = need(EVENTS)


async def test_another_plugin_publishes_and_listens_through_the_port() -> None:
    async with kernel_with("events", Reader) as server:
        events = server.plugin("reader").events
        async with events.subscribe("p", "t") as listener:
            events.publish("p", "t", [Emission(name="a", data=b"{}", position="run_1:1.1.0")])
            events.close("p", "t")
            batches = [batch async for batch in listener]
    assert [[emission.position for emission in batch] for batch in batches] == [["run_1:1.1.0"]]


async def test_listeners_are_dropped_when_the_server_stops() -> None:
    async with kernel_with("events", Reader) as server:
        events = server.plugin("reader").events
        subscription = events.subscribe("p", "t")
        listener = await subscription.__aenter__()
    with pytest.raises(ListenerDropped):
        await anext(aiter(listener))
    await subscription.__aexit__(None, None, None)


async def test_health_says_when_no_further_listener_fits() -> None:
    async with kernel_with("events", Reader, settings={"events": {"listeners_max": 1}}) as server:
        plugin = server.plugin("events")
        assert (await plugin.check_health()).status == "ok"
        async with server.plugin("reader").events.subscribe("p", "t"):
            health = await plugin.check_health()
    assert health.status == "degraded"
    assert "listeners_max" in health.detail
