"""The stand-in answers plainly, does small asks, and never pretends to be a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from famulus_builtin.phrases import CONNECT, IDENTITY
from famulus_builtin.refs import SchemaUnusable
from famulus_builtin.reply import Reply

Ask = Callable[..., Reply]
Answered = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize("text", ["Hello", "hi there!", "Good morning.", "hey, how are you?"])
def test_a_greeting_is_answered_honestly(ask: Ask, text: str) -> None:
    assert ask(text).text.startswith(f"Hello! {IDENTITY}.")


@pytest.mark.parametrize(
    "text",
    [
        "Who are you?",
        "What model are you?",
        "Are you ChatGPT?",
        "which model is this running on?",
        "How do I connect a real model?",
        "help",
        "What can you do?",
    ],
)
def test_it_says_what_it_is_and_how_to_connect_a_model(ask: Ask, text: str) -> None:
    reply = ask(text).text
    assert IDENTITY in reply
    assert CONNECT in reply


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Say hello world", "hello world"),
        ("Say this is a test", "this is a test"),
        ("Repeat after me: I am a parrot.", "I am a parrot."),
        ("echo 'abc'", "abc"),
        ("Please reply with exactly: pong", "pong"),
        ("Can you say the word Oslo", "Oslo"),
        ("say line one\nline two", "line one\nline two"),
    ],
)
def test_it_repeats_what_it_is_asked_to_say(ask: Ask, text: str, said: str) -> None:
    assert ask(text).text == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Count to 5", "1, 2, 3, 4, 5."),
        ("please count down from 3 to 1", "3, 2, 1."),
        ("Count from 8 to 10", "8, 9, 10."),
        ("Count to 9999", "I count no further than 500 numbers at once."),
        ("Thanks a lot!", "You are welcome."),
        ("bye", "Goodbye."),
        ("What is 12 * 7?", "12 * 7 = 84"),
    ],
)
def test_small_asks_are_done(ask: Ask, text: str, said: str) -> None:
    assert ask(text).text == said


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (["My name is Ada.", "What is my name?"], "You told me that your name is Ada."),
        (["I'm Ada Lovelace", "Who am I?"], "You told me that your name is Ada Lovelace."),
        (
            ["My favourite colour is blue and my dog's name is Rex", "What's my favourite colour?"],
            "You told me that your favourite colour is blue.",
        ),
        (
            ["My dog's name is Rex, by the way", "what is my dog's name?"],
            "You told me that your dog's name is Rex.",
        ),
        (
            ["My name is Ada", "My name is Bob", "What's my name?"],
            "You told me that your name is Bob.",
        ),
        (["Hello", "What is my name?"], "You have not told me your name in this conversation."),
        (["What is my name?"], "You have not told me your name in this conversation."),
        (
            ["a", "b", "How many messages have I sent?"],
            "You have sent 3 messages in this conversation, counting this one.",
        ),
        (
            ["a", "b", "What did I say first?"],
            "Your first message before this one was: \u201ca\u201d",
        ),
        (
            ["a", "b", "What was my last message?"],
            "Your last message before this one was: \u201cb\u201d",
        ),
        (
            ["a", "b", "List my messages"],
            "This is what you have said so far:\n1. \u201ca\u201d\n2. \u201cb\u201d",
        ),
        (["What have I asked so far?"], "You have said nothing before this message."),
        (["My name is Ada"], "I will remember, in this conversation, that your name is Ada."),
    ],
)
def test_it_remembers_what_it_was_told(ask: Ask, messages: list[str], said: str) -> None:
    assert ask(*messages).text == said


@pytest.mark.parametrize(
    "text", ["Tell me a joke", "Write a poem about the sea", "Qu'est-ce que c'est?"]
)
def test_otherwise_it_says_that_it_is_a_stand_in_and_what_it_read(ask: Ask, text: str) -> None:
    reply = ask(text).text
    assert IDENTITY in reply
    assert f"\u201c{text}\u201d, and I have no rule that answers it" in reply


def test_long_words_are_quoted_in_part(ask: Ask) -> None:
    reply = ask("Explain " + "everything " * 500).text
    assert "\u2026\u201d" in reply
    assert len(reply) < 1_000


def test_it_says_that_it_cannot_see_pictures(ask: Ask) -> None:
    parts = [
        {"type": "text", "text": "What is on this picture?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    reply = ask({"role": "user", "content": parts}).text
    assert "I cannot see pictures." in reply
    assert "What is on this picture?" in reply


@pytest.mark.parametrize("messages", [[""], [], [{"role": "system", "content": "Be brief."}]])
def test_no_words_are_answered_too(ask: Ask, messages: list[Any]) -> None:
    assert "There was no text for me to answer." in ask(*messages).text


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("22 and sunny", "22 and sunny."),
        ("It rains!", "It rains!"),
        (
            '{"temperature": 21.5, "wind": {"speed": 3, "from": "N"}, "days": ["mon", "tue"]}',
            "temperature: 21.5; wind.speed: 3; wind.from: N; days: mon, tue.",
        ),
        ('[{"id": 1}, {"id": 2}]', "1.id: 1; 2.id: 2."),
        ("42", "42."),
        ('"quoted"', "quoted."),
        ("null", "null."),
        ("{}", "{}."),
    ],
)
def test_a_result_is_read_out(ask: Ask, answered: Answered, result: str, said: str) -> None:
    reply = ask("What is the weather?", *answered("get_weather", result))
    assert reply.text == f"The function get_weather answered: {said}"


def test_results_of_several_calls_are_all_read_out(ask: Ask, answered: Answered) -> None:
    reply = ask("Both, please", *answered("one", "1", "two", ""))
    assert reply.text == "The function one answered: 1.\nThe function two answered nothing."


def test_a_long_result_is_read_out_in_part(ask: Ask, answered: Answered) -> None:
    result = json.dumps({f"key{number}": number for number in range(200)})
    reply = ask("Go", *answered("lookup", result)).text
    assert "key23: 23; and more." in reply
    assert "key24" not in reply


def test_a_result_whose_call_is_not_there_is_read_out(ask: Ask) -> None:
    reply = ask("Go", {"role": "tool", "tool_call_id": "x", "content": "done"})
    assert reply.text == "The function answered: done."


def shaped(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "city": {"type": "string"},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}


def test_a_schema_is_filled_in_from_the_words(ask: Ask) -> None:
    reply = ask("Ada is 36 and lives in London", response_format=shaped(PERSON)).text
    assert json.loads(reply) == {"name": "Ada", "age": 36, "city": "London"}


def test_a_schema_is_filled_in_from_a_result(ask: Ask, answered: Answered) -> None:
    result = answered("lookup", '{"name": "Grace", "age": 40, "city": "Arlington", "rank": 1}')
    reply = ask("Who is it?", *result, response_format=shaped(PERSON)).text
    assert json.loads(reply) == {"name": "Grace", "age": 40, "city": "Arlington"}


def test_an_answer_in_a_schema_is_the_answer(ask: Ask) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
    }
    reply = ask("What is 12 * 7?", response_format=shaped(schema)).text
    assert json.loads(reply) == {"answer": "12 * 7 = 84"}


def test_a_schema_that_the_words_say_nothing_of_is_still_satisfied(ask: Ask) -> None:
    reply = ask("Hello", response_format=shaped(PERSON)).text
    jsonschema.validate(json.loads(reply), PERSON)


def test_a_schema_that_cannot_be_satisfied_is_an_error(ask: Ask) -> None:
    with pytest.raises(SchemaUnusable):
        ask("Hello", response_format=shaped(False))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Say hi as JSON", {"reply": "hi as JSON"}),
        ("Give me JSON with keys name and age: Ada is 36", {"name": "Ada", "age": 36}),
    ],
)
def test_a_json_object_is_a_json_object(ask: Ask, text: str, value: Any) -> None:
    assert json.loads(ask(text, response_format={"type": "json_object"}).text) == value


def test_a_json_result_is_passed_on_as_a_json_object(ask: Ask, answered: Answered) -> None:
    reply = ask("Go", *answered("f", '{"a": [1]}'), response_format={"type": "json_object"})
    assert json.loads(reply.text) == {"a": [1]}


def test_the_format_text_is_text(ask: Ask) -> None:
    assert ask("Say hi", response_format={"type": "text"}).text == "hi"
