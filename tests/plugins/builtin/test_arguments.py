"""Arguments are filled from the user's words, by the schema's names, types and formats."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from famulus_builtin.arguments import fill
from famulus_builtin.refs import SchemaUnusable


def string(**more: Any) -> dict[str, Any]:
    return {"type": "string", **more}


def integer(**more: Any) -> dict[str, Any]:
    return {"type": "integer", **more}


def number(**more: Any) -> dict[str, Any]:
    return {"type": "number", **more}


def boolean() -> dict[str, Any]:
    return {"type": "boolean"}


def enum(*values: Any) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def array(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    wanted = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": wanted}


# The rules were written against these.
SAID: list[tuple[Any, str, Any]] = [
    (obj(city=string()), "What is the weather in Oslo?", {"city": "Oslo"}),
    (
        obj(
            ["location"],
            location=string(description="The city and state, e.g. San Francisco, CA"),
            unit=enum("celsius", "fahrenheit"),
        ),
        "What's the weather like in San Francisco, CA in Fahrenheit?",
        {"location": "San Francisco, CA", "unit": "fahrenheit"},
    ),
    (
        obj(
            ["location"],
            location=string(description="The city and state, e.g. San Francisco, CA"),
            unit=enum("celsius", "fahrenheit"),
        ),
        "What's the weather like in Boston today?",
        {"location": "Boston"},
    ),
    (
        obj(location=string(), unit=enum("c", "f")),
        "weather in oslo",
        {"location": "oslo", "unit": "c"},
    ),
    (obj(city=string()), "weather in new york please", {"city": "new york"}),
    (obj(city=string()), "Oslo weather", {"city": "Oslo"}),
    (obj(zone=string()), "Call lock_gate with zone Lagos.", {"zone": "Lagos"}),
    (obj(zone=string()), "lock the gate of zone north", {"zone": "north"}),
    (
        obj(origin=string(), destination=string(), date=string(format="date")),
        "Book a flight from Oslo to New York on 2026-05-12",
        {"origin": "Oslo", "destination": "New York", "date": "2026-05-12"},
    ),
    (
        obj(
            ["from_city", "to_city"],
            from_city=string(),
            to_city=string(),
            passengers=integer(minimum=1),
            date=string(),
        ),
        "Find flights from Berlin to Rome for 2 adults on May 3, 2026",
        {"from_city": "Berlin", "to_city": "Rome", "passengers": 2, "date": "2026-05-03"},
    ),
    (
        obj(["to", "subject", "body"], to=string(format="email"), subject=string(), body=string()),
        'Send an email to ada@example.com with subject "Lunch" and body "See you at noon"',
        {"to": "ada@example.com", "subject": "Lunch", "body": "See you at noon"},
    ),
    (
        obj(recipient=string(), message=string()),
        "Send a message to Bob saying dinner is ready.",
        {"recipient": "Bob", "message": "dinner is ready"},
    ),
    (
        obj(["title"], title=string(), date=string(), time=string(), attendees=array(string())),
        'Create an event called "Team lunch" on 2026-06-01 at 12:30 with Ada and Grace',
        {
            "title": "Team lunch",
            "date": "2026-06-01",
            "time": "12:30",
            "attendees": ["Ada", "Grace"],
        },
    ),
    (obj(a=number(), b=number()), "Add 3 and 4.5", {"a": 3, "b": 4.5}),
    (
        obj(["amount"], amount=number(), from_currency=string(), to_currency=string()),
        "Convert 20 from USD to EUR",
        {"amount": 20, "from_currency": "USD", "to_currency": "EUR"},
    ),
    (
        obj(amount=number(), from_currency=string(), to_currency=string()),
        "Convert 20 USD to EUR",
        {"amount": 20, "from_currency": "USD", "to_currency": "EUR"},
    ),
    (
        obj(query=string()),
        "Search for the best pizza in Naples",
        {"query": "the best pizza in Naples"},
    ),
    (
        obj(query=string()),
        "What does the handbook say about holidays?",
        {"query": "What does the handbook say about holidays?"},
    ),
    (obj(order_id=string()), "Where is my order ORD-1234?", {"order_id": "ORD-1234"}),
    (obj(order_id=string()), "What is the status of order 5561?", {"order_id": "5561"}),
    (obj(order_id=integer()), "What is the status of order 5561?", {"order_id": 5561}),
    (obj(ticker=string()), "What's the stock price of AAPL?", {"ticker": "AAPL"}),
    (obj(symbol=string()), "Get the price of Tesla", {"symbol": "Tesla"}),
    (
        obj(state=enum("on", "off"), room=string()),
        "Turn off the lights in the kitchen",
        {"state": "off", "room": "kitchen"},
    ),
    (
        obj(["room", "on"], room=string(), on=boolean()),
        "Switch on the lamp in the living room",
        {"room": "living room", "on": True},
    ),
    (
        obj(
            ["item", "quantity"],
            item=string(),
            quantity=integer(minimum=1, maximum=10),
            gift_wrap=boolean(),
        ),
        "Order 3 lamps with gift wrap",
        {"item": "lamps", "quantity": 3, "gift_wrap": True},
    ),
    (
        obj(
            ["item", "quantity"],
            item=string(),
            quantity=integer(minimum=1, maximum=10),
            gift_wrap=boolean(),
        ),
        "Order 30 'blue mugs' without gift wrap",
        {"item": "blue mugs", "quantity": 1, "gift_wrap": False},
    ),
    (
        obj(["text", "target_language"], text=string(), target_language=string()),
        'Translate "good morning" into French',
        {"text": "good morning", "target_language": "French"},
    ),
    (obj(duration_minutes=integer()), "Set a timer for 10 minutes", {"duration_minutes": 10}),
    (
        obj(minutes=integer(), label=string()),
        'Set a 5 minute timer called "tea"',
        {"minutes": 5, "label": "tea"},
    ),
    (
        obj(["topic"], topic=string(), max_results=integer()),
        "Find the top 5 articles about black holes",
        {"topic": "black holes", "max_results": 5},
    ),
    (
        obj(tags=array(string())),
        "Add the tags: red, green and blue",
        {"tags": ["red", "green", "blue"]},
    ),
    (
        obj(numbers=array(number())),
        "Sum the numbers 1, 2, 3.5 and 10",
        {"numbers": [1, 2, 3.5, 10]},
    ),
    (
        obj(toppings=array(enum("cheese", "ham", "olives", "mushrooms"))),
        "A pizza with olives and cheese please",
        {"toppings": ["cheese", "olives"]},
    ),
    (obj(size=enum("small", "medium", "large")), "I'd like a large coffee", {"size": "large"}),
    (
        obj(priority=enum("low", "high_priority"), title=string()),
        "Open a high priority ticket titled 'Printer broken'",
        {"priority": "high_priority", "title": "Printer broken"},
    ),
    (
        obj(user=obj(["name"], name=string(), age=integer()), newsletter=boolean()),
        "Register the user named Ada, age 36, no newsletter",
        {"user": {"name": "Ada", "age": 36}, "newsletter": False},
    ),
    (
        obj(name=string(), age=integer()),
        "Ada Lovelace is 36 years old",
        {"name": "Ada Lovelace", "age": 36},
    ),
    (
        obj(
            city={"anyOf": [string(), {"type": "null"}]},
            unit={"type": ["string", "null"], "enum": ["c", "f", None]},
        ),
        "Tell me the weather",
        {"city": None, "unit": None},
    ),
    (obj(city={"anyOf": [string(), {"type": "null"}]}), "weather in Oslo", {"city": "Oslo"}),
    (
        obj(start=string(format="date-time")),
        "Schedule it on 2026-05-12 at 3pm",
        {"start": "2026-05-12T15:00:00Z"},
    ),
    (obj(code=string()), "Run `print(2)` please", {"code": "print(2)"}),
    (
        obj(url=string(format="uri")),
        "Fetch https://example.com/a?b=1, please.",
        {"url": "https://example.com/a?b=1"},
    ),
    (
        obj(latitude=number(minimum=-90, maximum=90), longitude=number()),
        "What is at latitude 59.9 and longitude 10.7?",
        {"latitude": 59.9, "longitude": 10.7},
    ),
    (obj([], location=string()), "Is it sunny in Rome?", {"location": "Rome"}),
    (obj(), "what time is it?", {}),
    (obj(name=string()), "My name is Ada", {"name": "Ada"}),
    (obj(person=string()), "When was Marie Curie born?", {"person": "Marie Curie"}),
    (
        obj(["zone", "force"], zone=string(), force=boolean()),
        "lock zone B7 with force",
        {"zone": "B7", "force": True},
    ),
    (obj(temperature=number()), "Set the thermostat to 21.5 degrees", {"temperature": 21.5}),
    (
        obj(room=string(), temperature=number()),
        "Set the temperature of the bedroom to 19",
        {"room": "bedroom", "temperature": 19},
    ),
    (obj(["expression"], expression=string()), "calculate 3 + 4", {"expression": "3 + 4"}),
    (
        obj(["task"], task=string(), due=string()),
        "Remind me to water the plants tomorrow",
        {"task": "water the plants", "due": "tomorrow"},
    ),
    (
        obj(song=string(), artist=string()),
        'Play "Yesterday" by The Beatles',
        {"song": "Yesterday", "artist": "Beatles"},
    ),
    (obj(country=string()), "What is the capital of France?", {"country": "France"}),
    (
        obj(["city", "days"], city=string(), days=integer()),
        "What will the weather be in Paris over the next 3 days?",
        {"city": "Paris", "days": 3},
    ),
    (
        obj(people=integer(), time=string(), restaurant=string()),
        "Book a table for four at Luigi's at 19:30",
        {"people": 4, "time": "19:30", "restaurant": "Luigi"},
    ),
    (obj(filename=string()), "Open the file report.pdf", {"filename": "report.pdf"}),
    (obj(path=string()), "Read /etc/hosts", {"path": "/etc/hosts"}),
    (
        obj(check_in=string(format="date"), check_out=string(format="date"), city=string()),
        "A hotel in Rome from 2026-07-01 to 2026-07-05",
        {"check_in": "2026-07-01", "check_out": "2026-07-05", "city": "Rome"},
    ),
]

SAID += [
    (obj(destination=string()), "A hotel for Rome", {"destination": "Rome"}),
    (
        obj(title=string(), body=string()),
        "Post it with title: the end of it, body: I am done",
        {"title": "the end of it", "body": "I am done"},
    ),
    (obj(language=string()), "translate it into finnish", {"language": "finnish"}),
    (obj(note=string()), "Take a note: buy milk and eggs", {"note": "buy milk and eggs"}),
    (obj(comment=string()), "I want to add that nothing works", {"comment": "nothing works"}),
    (obj(question=string()), "Tell me about black holes", {"question": "black holes"}),
    (obj(timestamp=string()), "Meet tomorrow at 9:30", {"timestamp": "tomorrow 09:30"}),
    (obj(timestamp=string()), "Meet at 9:30", {"timestamp": "09:30"}),
    (obj(at=string(format="time")), "Wake me at 7am", {"at": "07:00:00Z"}),
    (obj(level=enum("", "low")), "low", {"level": "low"}),
    (obj(sides={"type": "integer", "enum": [6, 20]}), "Roll with 20 sides", {"sides": 20}),
]

# These were written afterwards, to see what the rules do with other words.
SAID_IN_OTHER_WORDS: list[tuple[Any, str, Any]] = [
    (obj(gate=string(), hours=integer()), "Close gate 14 for 3 hours", {"gate": "14", "hours": 3}),
    (obj(station=string()), "When does the next train leave from Utrecht?", {"station": "Utrecht"}),
    (
        obj(from_station=string(), to_station=string()),
        "trains from utrecht to arnhem",
        {"from_station": "utrecht", "to_station": "arnhem"},
    ),
    (
        obj(isbn=string()),
        "Look up the book with ISBN 978-3-16-148410-0",
        {"isbn": "978-3-16-148410-0"},
    ),
    (obj(movie=string()), "Who directed Blade Runner?", {"movie": "Blade Runner"}),
    (
        obj(["movie"], movie=string(), year=integer()),
        "Find the movie Alien from 1979",
        {"movie": "Alien", "year": 1979},
    ),
    (obj(lat=number(), lng=number()), "lat 48.2, lng 16.37", {"lat": 48.2, "lng": 16.37}),
    (
        obj(ingredient=string(), grams=number()),
        "How many calories are in 200 grams of rice?",
        {"ingredient": "rice", "grams": 200},
    ),
    (obj(ids=array(integer())), "Delete the records 4, 8 and 15", {"ids": [4, 8, 15]}),
    (
        obj(cities=array(string())),
        "Compare the weather in Oslo, Bergen and Tromso",
        {"cities": ["Oslo", "Bergen", "Tromso"]},
    ),
    (
        obj(emails=array(string(format="email"))),
        "Invite a@x.org and b@y.org",
        {"emails": ["a@x.org", "b@y.org"]},
    ),
    (
        obj(["name", "email"], name=string(), email=string(), phone=string()),
        "Add Grace Hopper, grace@navy.mil, to my contacts",
        {"name": "Grace Hopper", "email": "grace@navy.mil"},
    ),
    (obj(language=string()), "How do I say hello in Japanese?", {"language": "Japanese"}),
    (obj(["word"], word=string()), 'Define the word "serendipity"', {"word": "serendipity"}),
    (obj(["word"], word=string()), "What does obfuscate mean?", {"word": "obfuscate"}),
    (obj(level=integer(minimum=0, maximum=100)), "Set the volume to 40 percent", {"level": 40}),
    (
        obj(["location", "radius_km"], location=string(), radius_km=number(), open_now=boolean()),
        "Find pharmacies within 5 km of Lyon that are open now",
        {"location": "Lyon", "radius_km": 5, "open_now": True},
    ),
    (
        obj(["employee_id", "reason"], employee_id=string(), reason=string()),
        "Fire employee E-77 because of laziness",
        {"employee_id": "E-77", "reason": "laziness"},
    ),
    (
        obj(account=string(), amount=number(exclusiveMinimum=0)),
        "Transfer $250 to account NL91ABNA",
        {"account": "NL91ABNA", "amount": 250},
    ),
    (
        obj(person=obj(["first_name", "last_name"], first_name=string(), last_name=string())),
        "Register first name Alan and last name Turing",
        {"person": {"first_name": "Alan", "last_name": "Turing"}},
    ),
    (
        obj(color=enum("red", "green", "blue"), brightness=number(minimum=0, maximum=1)),
        "Make the light blue with brightness 0.7",
        {"color": "blue", "brightness": 0.7},
    ),
    (obj(q=string()), "Google the history of Rome", {"q": "the history of Rome"}),
    (
        obj(question=string()),
        "How tall is Mount Everest?",
        {"question": "How tall is Mount Everest?"},
    ),
    (
        obj(
            ["start_date", "end_date"],
            start_date=string(format="date"),
            end_date=string(format="date"),
            reason=string(),
        ),
        "I need leave from 3 June 2026 to 7 June 2026",
        {"start_date": "2026-06-03", "end_date": "2026-06-07"},
    ),
    (
        obj(items=array(obj(["name", "qty"], name=string(), qty=integer()))),
        "Buy 3 apples",
        {"items": [{"name": "apples", "qty": 3}]},
    ),
    (
        obj(
            ["departure", "arrival", "class"],
            departure=string(),
            arrival=string(),
            **{"class": enum("economy", "business")},
        ),
        "A business ticket from Vienna to Graz",
        {"departure": "Vienna", "arrival": "Graz", "class": "business"},
    ),
]


@pytest.mark.parametrize(("schema", "text", "wanted"), [*SAID, *SAID_IN_OTHER_WORDS])
def test_arguments_are_what_was_said(schema: Any, text: str, wanted: Any) -> None:
    filled = fill(schema, text)
    assert filled == wanted
    jsonschema.validate(filled, schema)


NOTHING_SAID: list[tuple[Any, Any]] = [
    (string(), "unknown"),
    (string(default="Oslo"), "Oslo"),
    (string(format="date"), "2000-01-01"),
    (string(maxLength=3), "tex"),
    (integer(), 0),
    (integer(minimum=5), 5),
    (number(exclusiveMinimum=0, maximum=0.5), 0.25),
    (boolean(), False),
    (enum("a1", "b2"), "a1"),
    (array(string()), ["unknown"]),
    (array(integer(), minItems=2), [0, 0]),
    ({"const": 7}, 7),
    ({"type": ["string", "null"]}, None),
    ({"anyOf": [integer(), {"type": "null"}]}, None),
    (obj(inner=string()), {"inner": "unknown"}),
]


@pytest.mark.parametrize(("part", "wanted"), NOTHING_SAID)
def test_what_is_required_and_not_said_is_filled_plainly(part: Any, wanted: Any) -> None:
    assert fill(obj(thing=part), "Do it.", dull=("do",)) == {"thing": wanted}


@pytest.mark.parametrize(
    "part", [string(), integer(), boolean(), enum("x9", "y9"), array(string()), obj(inner=string())]
)
def test_what_is_not_required_and_not_said_is_left_out(part: Any) -> None:
    assert fill(obj([], thing=part), "Do it.") == {}


def test_a_reference_is_followed() -> None:
    schema = {
        "$defs": {"place": string(description="The city")},
        **obj(where={"$ref": "#/$defs/place"}),
    }
    assert fill(schema, "Is it cold in Oslo?") == {"where": "Oslo"}


def test_two_properties_do_not_share_one_word() -> None:
    assert fill(obj(first=string(), second=string()), "Compare Ada with Grace") == {
        "first": "Ada",
        "second": "Grace",
    }


def test_values_known_by_name_come_first() -> None:
    assert fill(
        obj(city=string(), days=integer()), "Oslo", {"city": "Rome", "days": "no number"}
    ) == {
        "city": "Rome",
        "days": 0,
    }


def test_a_value_that_the_schema_refuses_is_not_taken() -> None:
    assert fill(obj(count=integer(maximum=10)), "Order 30 lamps") == {"count": 0}


def test_dull_words_are_no_values() -> None:
    assert fill(obj(city=string()), "oslo weather", dull=("weather",)) == {"city": "oslo"}


def test_equal_words_are_filled_in_equally() -> None:
    schema, text, _ = SAID[12]
    assert fill(schema, text) == fill(schema, text)


def test_a_schema_that_allows_nothing_is_an_error() -> None:
    with pytest.raises(SchemaUnusable):
        fill(obj(x={"type": "integer", "minimum": 2, "maximum": 1}), "Do it.")


def test_a_schema_of_endless_branches_ends() -> None:
    schema: dict[str, Any] = string()
    for _ in range(30):
        schema = {"anyOf": [schema, {"type": "object", "properties": {"a": schema}}]}
    assert isinstance(fill(obj(x=schema), "Say Oslo")["x"], str)
