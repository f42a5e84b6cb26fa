"""What users of the official client do, with every store and every kind of model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest
from tests.e2e.places import Place
from tests.e2e.serving import KEY

from famulus_conformance.clients import play
from famulus_conformance.clients_manners import MANNERS
from famulus_conformance.scenarios import SCENARIOS, Scenario
from famulus_conformance.scenarios_stage import Stage

BOTH = ("Python", "Python, async")


@pytest.fixture(scope="session")
def stages(place: Place) -> Iterator[Mapping[str, Stage]]:
    """The client and the one for asyncio."""
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(MANNERS[name](place.served.base_url, KEY, place.model))
            for name in BOTH
        }


@pytest.mark.parametrize("manner", BOTH)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[each.name for each in SCENARIOS])
def test_a_scenario_of_the_official_client(
    scenario: Scenario, manner: str, stages: Mapping[str, Stage]
) -> None:
    stage = stages[manner]
    if not scenario.suits(stage.model):
        pytest.skip("this model chats only; embeddings of vLLM have a test of their own")
    play(scenario, stage)
