"""Functions are called where the user's words fit, and as the request allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from famulus_builtin.functions import CannotCall
from famulus_builtin.reply import Reply

Ask = Callable[..., Reply]
Offer = Callable[..., dict[str, Any]]


def called(reply: Reply) -> list[tuple[str, Any]]:
    return [(call.name, msgspec.json.decode(call.arguments)) for call in reply.calls]


@pytest.fixture
def weather(offer: Offer) -> dict[str, Any]:
    return offer("get_weather", "Current weather of a city", city="string")


@pytest.fixture
def search(offer: Offer) -> dict[str, Any]:
    return offer("file_search", "Search the files of this assistant", query="string")


@pytest.fixture
def tools(offer: Offer, weather: Any, search: Any) -> list[dict[str, Any]]:
    return [
        weather,
        search,
        offer("get_time", "The time at a place", city="string"),
        offer("delete_event", None, title="string"),
        offer("create_event", None, title="string", date={"type": "string", "format": "date"}),
        offer("book_flight", "Reserve a seat", origin="string", destination="string"),
        offer("lock_gate", None, zone="string"),
        offer("roll_dice", "Throw dice", sides="integer"),
    ]


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        ("What is the weather in Oslo?", [("get_weather", {"city": "Oslo"})]),
        ("weather oslo", [("get_weather", {"city": "oslo"})]),
        (
            "What's the weather in San Francisco, Tokyo, and Paris?",
            [("get_weather", {"city": city}) for city in ("San Francisco", "Tokyo", "Paris")],
        ),
        (
            "Compare the weather in Lagos with the weather in Quito",
            [("get_weather", {"city": "Lagos"})],
        ),
        (
            "What is the weather in Lagos and in Hanoi?",
            [("get_weather", {"city": "Lagos"}), ("get_weather", {"city": "Hanoi"})],
        ),
        (
            "What is the weather in Oslo and the time in Rome?",
            [("get_weather", {"city": "Oslo"}), ("get_time", {"city": "Rome"})],
        ),
        (
            "What are the weather and the time in Rome?",
            [("get_weather", {"city": "Rome"}), ("get_time", {"city": "Rome"})],
        ),
        ("Delete the event 'Lunch'", [("delete_event", {"title": "Lunch"})]),
        (
            "Create an event 'Lunch' on 2026-06-01",
            [("create_event", {"title": "Lunch", "date": "2026-06-01"})],
        ),
        (
            "Book a flight from Oslo to Rome",
            [("book_flight", {"origin": "Oslo", "destination": "Rome"})],
        ),
        ("Call lock_gate with zone Lagos.", [("lock_gate", {"zone": "Lagos"})]),
        ("Roll a dice with 20 sides", [("roll_dice", {"sides": 20})]),
        (
            "How long is the refund period?",
            [("file_search", {"query": "How long is the refund period?"})],
        ),
    ],
)
def test_the_function_that_fits_is_called(
    ask: Ask, tools: list[Any], asked: str, calls: list[Any]
) -> None:
    assert called(ask(asked, tools=tools)) == calls


@pytest.mark.parametrize(
    "asked", ["Hello", "My name is Ada", "What is my name?", "What is 12 * 7?", "Say hi", "Thanks!"]
)
def test_small_talk_calls_nothing(ask: Ask, tools: list[Any], asked: str) -> None:
    reply = ask(asked, tools=tools)
    assert reply.calls == ()
    assert reply.text


def test_nothing_fits_and_nothing_is_called(ask: Ask, weather: Any) -> None:
    assert ask("Tell me a joke", tools=[weather]).calls == ()


def test_tool_choice_none_is_honoured(ask: Ask, weather: Any) -> None:
    reply = ask("What is the weather in Oslo?", tools=[weather], tool_choice="none")
    assert reply.calls == ()


def test_tool_choice_required_calls_even_if_nothing_fits(ask: Ask, weather: Any) -> None:
    reply = ask("Hello", tools=[weather], tool_choice="required")
    assert called(reply) == [("get_weather", {"city": "unknown"})]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "lock_gate"}},
        {"type": "function", "name": "lock_gate"},
    ],
)
def test_a_named_function_is_called(ask: Ask, tools: list[Any], choice: Any) -> None:
    reply = ask("What is the weather in Oslo?", tools=tools, tool_choice=choice)
    assert called(reply) == [("lock_gate", {"zone": "Oslo"})]


def test_a_named_function_that_is_not_offered_is_an_error(ask: Ask, weather: Any) -> None:
    choice = {"type": "function", "function": {"name": "nothing"}}
    with pytest.raises(CannotCall, match="'nothing'"):
        ask("Hello", tools=[weather], tool_choice=choice)


@pytest.mark.parametrize(
    "asked",
    [
        "What is the weather in Lagos and in Hanoi?",
        "What is the weather in Lagos and the time in Rome?",
    ],
)
def test_without_parallel_calls_there_is_one(ask: Ask, tools: list[Any], asked: str) -> None:
    reply = ask(asked, tools=tools, parallel_tool_calls=False)
    assert len(reply.calls) == 1


def test_a_list_of_places_is_one_call_where_the_function_takes_a_list(
    ask: Ask, offer: Offer
) -> None:
    tool = offer("get_weather", None, cities={"type": "array", "items": {"type": "string"}})
    reply = ask("What is the weather in Oslo and Rome?", tools=[tool])
    assert called(reply) == [("get_weather", {"cities": ["Oslo", "Rome"]})]


def test_there_are_at_most_eight_calls(ask: Ask, weather: Any) -> None:
    cities = ", ".join(f"{letter}ville" for letter in "ABCDEFGHIJKL")
    assert len(ask(f"What is the weather in {cities}?", tools=[weather]).calls) == 8


def test_an_answered_call_is_not_made_again(
    ask: Ask, weather: Any, answered: Callable[..., list[Any]]
) -> None:
    asked = "What is the weather in Oslo?"
    reply = ask(asked, *answered("get_weather", "rain"), tools=[weather])
    assert reply.calls == ()
    assert reply.text == "The function get_weather answered: rain."


def test_a_value_of_an_enum_that_is_said_speaks_for_its_function(ask: Ask, offer: Offer) -> None:
    tools = [
        offer("set_light", None, level={"type": "string", "enum": ["bright", "dim"]}),
        offer("set_heat", None, level={"type": "string", "enum": ["cosy", "frosty"]}),
    ]
    assert called(ask("set it to frosty", tools=tools, tool_choice="required")) == [
        ("set_heat", {"level": "frosty"})
    ]


def test_parameters_that_are_no_object_are_called_with_none(ask: Ask) -> None:
    function = {"name": "get_time", "parameters": {"type": "string"}}
    tools = [{"type": "function", "function": function}]
    assert called(ask("What time is it?", tools=tools)) == [("get_time", {})]


def test_a_function_without_parameters_is_called_with_none(ask: Ask) -> None:
    tool = {"type": "function", "function": {"name": "get_time"}}
    assert called(ask("What time is it?", tools=[tool])) == [("get_time", {})]


def test_parameters_that_cannot_be_filled_are_an_error(ask: Ask, offer: Offer) -> None:
    tool = offer("get_weather", None, city={"type": "integer", "minimum": 2, "maximum": 1})
    with pytest.raises(CannotCall, match="parameters of 'get_weather' cannot be filled"):
        ask("weather in Oslo", tools=[tool])
