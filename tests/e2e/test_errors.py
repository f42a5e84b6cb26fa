"""What goes wrong has the official client's class for it, and says which parameter and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from tests.e2e.models import Model

MISSING: dict[str, Callable[[OpenAI], Any]] = {
    "assistant": lambda client: client.beta.assistants.retrieve("asst_none"),
    "thread": lambda client: client.beta.threads.retrieve("thread_none"),
    "message": lambda client: client.beta.threads.messages.retrieve(
        "msg_none", thread_id=client.beta.threads.create().id
    ),
    "run": lambda client: client.beta.threads.runs.retrieve(
        "run_none", thread_id=client.beta.threads.create().id
    ),
    "step": lambda client: client.beta.threads.runs.steps.retrieve(
        "step_none", thread_id=client.beta.threads.create().id, run_id="run_none"
    ),
    "thread of a list": lambda client: client.beta.threads.messages.list("thread_none"),
    "assistant of a run": lambda client: client.beta.threads.runs.create(
        client.beta.threads.create().id, assistant_id="asst_none"
    ),
    "model": lambda client: client.models.retrieve("none"),
    "model of a chat": lambda client: client.chat.completions.create(
        model="none", messages=[{"role": "user", "content": "Hi"}]
    ),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_not_there_is_a_not_found_error(client: OpenAI, what: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        MISSING[what](client)
    assert caught.value.type == "invalid_request_error"
    assert "none" in caught.value.message
    assert caught.value.request_id


REFUSED: dict[str, tuple[Callable[[OpenAI, str], Any], str, str | None]] = {
    "a missing model": (
        lambda client, model: client.beta.assistants.create(model=openai.omit),  # type: ignore[arg-type]
        "model",
        "missing_required_parameter",
    ),
    "an unknown key": (
        lambda client, model: client.beta.assistants.create(model=model, extra_body={"colour": 1}),
        "colour",
        "unknown_parameter",
    ),
    "a number that is too high": (
        lambda client, model: client.beta.assistants.create(model=model, temperature=9),
        "temperature",
        "decimal_above_max_value",
    ),
    "a page of none": (
        lambda client, model: client.beta.assistants.list(limit=0),
        "limit",
        "integer_below_min_value",
    ),
    "a wrong type": (
        lambda client, model: client.beta.threads.create(metadata="no"),  # type: ignore[arg-type]
        "metadata",
        "invalid_type",
    ),
    "a wrong role": (
        lambda client, model: client.beta.threads.create(
            messages=[{"role": "judge", "content": "Hi"}]  # type: ignore[typeddict-item]
        ),
        "messages[0].role",
        "invalid_value",
    ),
    "a cursor that is none": (
        lambda client, model: client.beta.assistants.list(after="asst_none"),
        "after",
        None,
    ),
    "a chat without messages": (
        lambda client, model: client.chat.completions.create(  # type: ignore[call-overload]
            model=model, messages=openai.omit
        ),
        "messages",
        "missing_required_parameter",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_done_is_a_bad_request_error(
    client: OpenAI, model: Model, what: str
) -> None:
    ask, param, code = REFUSED[what]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model.id)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"


def test_a_wrong_key_is_an_authentication_error(client: OpenAI) -> None:
    wrong = client.with_options(api_key="sk-wrong-key-of-nobody")
    with pytest.raises(openai.AuthenticationError) as caught:
        wrong.beta.threads.create()
    assert caught.value.code == "invalid_api_key"
    assert "wrong-key-of" not in caught.value.message


def test_a_key_is_asked_for_before_anything_is_said_to_be_missing(client: OpenAI) -> None:
    wrong = client.with_options(api_key="sk-wrong-key-of-nobody")
    with pytest.raises(openai.AuthenticationError):
        wrong.beta.assistants.retrieve("asst_none")
