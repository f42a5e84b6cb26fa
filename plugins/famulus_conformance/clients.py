"""Plays the table of scenarios with the official clients, on any server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

from famulus_conformance import (
    scenarios_answers,
    scenarios_containers,
    scenarios_errors,
    scenarios_files,
    scenarios_functions,
    scenarios_objects,
    scenarios_runs,
    scenarios_streams,
    scenarios_vector_stores,
)
from famulus_conformance.clients_manners import MANNERS
from famulus_conformance.clients_node import NODE, NoNode, played_by_node
from famulus_conformance.findings import Finding
from famulus_conformance.scenarios import SCENARIOS, Scenario
from famulus_conformance.scenarios_model import any_model
from famulus_conformance.scenarios_stage import Play, Stage

SCENARIO_S = 300.0
"""For one scenario: a polling helper waits without end for a run that never does."""
DETAIL_MAX = 500

PLAYS: Mapping[str, Play] = {
    **scenarios_objects.PLAYS,
    **scenarios_runs.PLAYS,
    **scenarios_streams.PLAYS,
    **scenarios_functions.PLAYS,
    **scenarios_errors.PLAYS,
    **scenarios_answers.PLAYS,
    **scenarios_files.PLAYS,
    **scenarios_containers.PLAYS,
    **scenarios_vector_stores.PLAYS,
}
"""How the Python client plays each scenario of the table."""


def clients(
    base_url: str, api_key: str, model: str, scenarios: Sequence[Scenario] = SCENARIOS
) -> Iterator[Finding]:
    """What official clients get from any server, by those scenarios that any model suits.

    Node's is left out where it cannot be had.
    """
    cast = any_model(model)
    suiting = [scenario for scenario in scenarios if scenario.suits(cast)]
    for name, manner in MANNERS.items():
        with manner(base_url, api_key, cast) as stage:
            for scenario in suiting:
                yield from findings(name, scenario, _played_in_time(scenario, stage))
    try:
        told = played_by_node(base_url, api_key, cast, suiting)
    except NoNode:
        return
    for scenario in suiting:
        yield from findings(NODE, scenario, told[scenario.name])


def play(scenario: Scenario, stage: Stage) -> None:
    """One scenario. Raises whatever shows that something does not hold."""
    PLAYS[scenario.name](stage)


def findings(client: str, scenario: Scenario, detail: str) -> Iterator[Finding]:
    """What came of a scenario, by operation; nothing wrong where there is no detail."""
    for operation in scenario.operations:
        yield Finding(
            operation=operation,
            aspect="clients",
            what=f"{client}: {scenario.name}",
            kept=not detail,
            detail=detail[:DETAIL_MAX],
        )


def _played_in_time(scenario: Scenario, stage: Stage) -> str:
    """What does not hold; empty where all does."""
    found = [f"it was not over in {SCENARIO_S:g} s"]

    def played() -> None:
        try:
            play(scenario, stage)
        except Exception as error:  # a client may fail in any way on an answer that is wrong
            found[0] = f"{type(error).__name__}: {error}"
        else:
            found[0] = ""

    thread = threading.Thread(target=played, daemon=True)
    thread.start()
    thread.join(SCENARIO_S)
    return found[0]
