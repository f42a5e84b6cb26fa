"""Ports: who fills them, who may reach them, and that nothing goes round them."""

from __future__ import annotations

from typing import Any

import pytest

from famulus import NoSettings, Plugin, need, want
from famulus.services import PluginServices, Services
from famulus_schemas.ports import Port

WATER: Port[str] = Port("water")
MILL: Port[str] = Port("mill")


class Miller(Plugin[NoSettings]):
    """Declares one port of each kind."""

    name = "miller"
    provides = (MILL,)
    water = need(WATER)


class Angler(Miller):
    """Declares one more than its parent, and its parent's one anew."""

    name = "angler"
    mill = want(MILL)
    water = want(WATER)


def of(plugin_type: type[Plugin[Any]], services: Services) -> PluginServices:
    mine = set(plugin_type.provides)
    return PluginServices(services, plugin_type.name, plugin_type, mine)


def test_what_one_plugin_fills_another_reaches() -> None:
    services = Services()
    services.fill(WATER, "river", "fresh")
    assert of(Miller, services).get(WATER) == "fresh"
    assert services.provider(WATER) == "river"


def test_an_empty_port_is_told_and_an_optional_one_is_none() -> None:
    services = Services()
    with pytest.raises(LookupError, match="nobody provides water"):
        of(Miller, services).get(WATER)
    assert of(Miller, services).get_or_none(WATER) is None


def test_an_undeclared_port_is_refused_even_where_it_may_be_empty() -> None:
    services = Services()
    services.fill(MILL, "wind", "turning")
    for reach in (of(Miller, services).get, of(Miller, services).get_or_none):
        with pytest.raises(LookupError, match=r"miller uses mill without need\(\) or want\(\)"):
            reach(MILL)


def test_a_plugin_fills_only_what_it_promised() -> None:
    services = Services()
    with pytest.raises(LookupError, match="miller fills water, not in its provides"):
        of(Miller, services).provide(WATER, "stolen")
    assert services.provider(WATER) is None


def test_a_promise_is_open_until_it_is_kept() -> None:
    mine = of(Miller, Services())
    assert mine.unfilled() == ["mill"]
    mine.provide(MILL, "turning")
    assert mine.unfilled() == []


def test_withdrawing_empties_every_port_of_one_plugin_and_of_no_other() -> None:
    services = Services()
    services.fill(WATER, "river", "fresh")
    services.fill(MILL, "wind", "turning")
    services.withdraw("river")
    assert services.provider(WATER) is None
    assert services.provider(MILL) == "wind"


def test_a_port_that_was_given_to_another_stays_with_it() -> None:
    services = Services()
    services.fill(MILL, "wind", "turning")
    mine = PluginServices(services, "miller", Miller, set())
    mine.provide(MILL, "idle")
    assert mine.unfilled() == []
    assert services.get(MILL) == "turning"


def test_declarations_are_inherited_and_can_be_made_anew() -> None:
    assert [(each.port.name, each.optional) for each in Miller.ports()] == [("water", False)]
    declared = {each.port.name: each.optional for each in Angler.ports()}
    assert declared == {"water": True, "mill": True}


def test_a_declaration_on_the_class_is_the_declaration_itself() -> None:
    assert Miller.water.port is WATER
    assert repr(WATER) == "Port('water')"
