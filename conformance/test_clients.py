"""Every official client plays the one table of scenarios, on a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import openai
import pytest
from conformance.between import between
from msgspec.structs import replace
from tests.e2e.models import SCRIPTED
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import KEY, Served, serve

from famulus_conformance.clients import PLAYS, clients, play
from famulus_conformance.clients_manners import MANNERS
from famulus_conformance.clients_node import NoNode, its_scenarios, played_by_node
from famulus_conformance.scenarios import SCENARIOS, Scenario
from famulus_conformance.scenarios_model import any_model
from famulus_conformance.scenarios_stage import Stage, Unkept
from famulus_conformance.scope import scope

NAMES = [scenario.name for scenario in SCENARIOS]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a scripted model. At the end it must have nothing to complain of."""
    environment = {
        "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
        # Wrong keys are told as wrong here, however many are sent.
        "FAMULUS_RATE_LIMITS__FAILED_LOGINS_PER_MINUTE": "0",
    }
    folder = tmp_path_factory.mktemp("clients")
    with (
        scripted_server() as url,
        serve(folder, arguments=["--backend", url], environment=environment) as served,
    ):
        yield served
        complaints = [each for each in served.events() if each["level"] in ("error", "critical")]
    assert not complaints, json.dumps(complaints, indent=2)


@pytest.fixture(scope="module", params=MANNERS)
def stage(request: pytest.FixtureRequest, served: Served) -> Iterator[Stage]:
    with MANNERS[request.param](served.base_url, KEY, SCRIPTED) as stage:
        yield stage


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_by_the_python_client(scenario: Scenario, stage: Stage) -> None:
    play(scenario, stage)


@pytest.fixture(scope="module")
def told_by_node(served: Served) -> Mapping[str, str]:
    try:
        return played_by_node(served.base_url, KEY, SCRIPTED, SCENARIOS)
    except NoNode as reason:
        pytest.skip(f"NOT TESTED: {reason}")


@pytest.mark.parametrize("name", NAMES)
def test_by_the_node_client(name: str, told_by_node: Mapping[str, str]) -> None:
    assert not told_by_node[name], told_by_node[name]


# --- the table ---------------------------------------------------------------------------------


def test_the_python_client_plays_just_the_table() -> None:
    assert sorted(PLAYS) == sorted(NAMES)


def test_the_node_client_plays_just_the_table() -> None:
    try:
        names = its_scenarios()
    except NoNode as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    assert sorted(names) == sorted(NAMES)


def test_every_scenario_is_about_an_operation_of_openais_and_says_what_must_hold() -> None:
    operations = {operation.id for operation in scope()}
    for scenario in SCENARIOS:
        assert scenario.operations, scenario
        assert operations.issuperset(scenario.operations), scenario
        assert scenario.does.endswith("."), scenario
        assert scenario.holds.endswith("."), scenario
    assert len(set(NAMES)) == len(NAMES)


def test_every_operation_that_the_table_could_be_about_is_in_it() -> None:
    groups = {"assistants", "threads", "messages", "runs", "run_steps", "chat", "completions"}
    due = {operation.id for operation in scope() if operation.group in groups}
    assert due <= {id for scenario in SCENARIOS for id in scenario.operations}


def test_what_a_model_cannot_do_is_not_asked_of_it() -> None:
    suiting = {each.name for each in SCENARIOS if each.suits(any_model("any"))}
    assert "a chat is answered" in suiting
    assert "two functions are asked for at once" not in suiting
    assert "texts are embedded, as base64 and as floats" not in suiting
    assert "a run that is at work is cancelled" not in suiting
    assert all(each.suits(SCRIPTED) for each in SCENARIOS)


# --- any server --------------------------------------------------------------------------------


FEW = [each for each in SCENARIOS if each.operations[0] in ("listModels", "submitToolOuputsToRun")]


def test_clients_judge_a_server_by_its_base_url(served: Served) -> None:
    found = list(clients(served.base_url, KEY, SCRIPTED.id, FEW))
    assert [each for each in found if not each.kept] == []
    suiting = [each for each in FEW if each.suits(any_model("any"))]
    assert len(found) >= len(MANNERS) * len(suiting)
    assert {each.aspect for each in found} == {"clients"}


def test_a_server_that_refuses_keeps_nothing(served: Served) -> None:
    found = list(clients(served.base_url, "sk-wrong-key-of-nobody", SCRIPTED.id, FEW))
    assert found
    assert not any(each.kept for each in found)
    assert all("Incorrect API key" in each.detail for each in found)


# --- answers that are broken on purpose ----------------------------------------------------------


BROKEN: dict[str, tuple[str, bytes, bytes, str]] = {
    "an answer that lacks a field": (
        "an assistant is created, retrieved, updated and deleted",
        b'"instructions":"Be brief."',
        b'"instructed":"Be brief."',
        "what it was given",
    ),
    "an answer with another word": (
        "a thread is created, retrieved, updated and deleted",
        b'"object":"thread.deleted"',
        b'"object":"thread.gone"',
        "deleted",
    ),
    "a page that says that there are no more": (
        "messages are listed over several pages",
        b'"has_more":true',
        b'"has_more":false',
        "has no more",
    ),
    "an error in another envelope": (
        "what cannot be done is a BadRequestError with param and code",
        b'"param":"',
        b'"parameter":"',
        "the error",
    ),
    "a stream whose message is never created": (
        "a stream tells its handlers everything in order",
        b"event: thread.message.created",
        b": thread.message.created",
        "message",
    ),
    "a stream whose deltas lack a piece": (
        "what a stream ends with is what is stored",
        b"event: thread.run.step.completed",
        b": thread.run.step.completed",
        "thread.run.step.completed",
    ),
    "a call that ends as a text": (
        "a chat calls a function and uses its result",
        b'"finish_reason":"tool_calls"',
        b'"finish_reason":"stop"',
        "why it ended",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("manner", MANNERS)
def test_a_broken_answer_is_told_by_the_python_client(
    what: str, manner: str, served: Served
) -> None:
    name, due, instead, complaint = BROKEN[what]
    scenario = SCENARIOS[NAMES.index(name)]
    with (
        between(served.base_url, due, instead) as base_url,
        MANNERS[manner](base_url, KEY, SCRIPTED) as stage,
        pytest.raises((Unkept, openai.OpenAIError, LookupError, RuntimeError)) as caught,
    ):
        play(scenario, stage)
    # Where the strict client's own validation finds it first, it does not say so in words.
    invalid = isinstance(caught.value, openai.APIResponseValidationError)
    assert invalid == (complaint not in str(caught.value))
    assert not invalid or manner == "Python, strict"


def test_a_field_of_the_wrong_type_is_told_by_the_strict_client(served: Served) -> None:
    scenario = SCENARIOS[NAMES.index("a thread is created from no arguments")]
    with (
        between(served.base_url, b'"object":"thread"', b'"object":"yarn"') as base_url,
        MANNERS["Python, strict"](base_url, KEY, SCRIPTED) as stage,
        pytest.raises(openai.APIResponseValidationError),
    ):
        play(scenario, stage)


# Not all of them, since each starts the client anew.
BROKEN_FOR_NODE = [
    "an answer with another word",
    "an error in another envelope",
    "a stream whose message is never created",
    "a call that ends as a text",
]


@pytest.mark.parametrize("what", BROKEN_FOR_NODE)
def test_a_broken_answer_is_told_by_the_node_client(what: str, served: Served) -> None:
    name, due, instead, _ = BROKEN[what]
    scenario = SCENARIOS[NAMES.index(name)]
    try:
        with between(served.base_url, due, instead) as base_url:
            told = played_by_node(base_url, KEY, SCRIPTED, [scenario])
    except NoNode as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    assert told[name]


def test_a_scenario_that_the_node_client_lacks_is_told(served: Served) -> None:
    lacking = replace(SCENARIOS[0], name="a thing that nobody does")
    try:
        told = played_by_node(served.base_url, KEY, SCRIPTED, [lacking])
    except NoNode as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    assert told[lacking.name] == "this client has no such scenario"
