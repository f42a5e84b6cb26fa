"""What goes wrong has the Python client's class for it, and says which parameter and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import openai

from famulus_conformance.scenarios_stage import Play, Stage, holds, refused, same, users

WRONG_KEY = "sk-wrong-key-of-nobody"


def _missing(stage: Stage) -> None:
    client, threads = stage.client, stage.client.beta.threads
    here = stage.thread()
    missing: tuple[Callable[[], Any], ...] = (
        lambda: client.beta.assistants.retrieve("asst_none"),
        lambda: threads.retrieve("thread_none"),
        lambda: threads.messages.retrieve("msg_none", thread_id=here),
        lambda: threads.messages.list("thread_none").data,
        lambda: threads.runs.retrieve("run_none", thread_id=here),
        lambda: threads.runs.create(here, assistant_id="asst_none"),
        lambda: threads.runs.steps.retrieve("step_none", thread_id=here, run_id="run_none"),
    )
    for ask in missing:
        same(_not_found(ask), (404, "invalid_request_error", None, None), "the error")
    models = (
        lambda: client.models.retrieve("none"),
        lambda: client.chat.completions.create(model="none", messages=users("Hi")),
    )
    for ask in models:
        status, type, _, code = _not_found(ask)
        same((status, type, code), (404, "invalid_request_error", "model_not_found"), "the error")


def _not_found(ask: Callable[[], Any]) -> tuple[int, str | None, str | None, str | None]:
    error = refused(openai.NotFoundError, ask)
    holds("none" in error.message, f"it does not name what is missing: {error.message}")
    holds(error.request_id, "it has no request id")
    return error.status_code, error.type, error.param, error.code


def _bad(stage: Stage) -> None:
    assistants, threads = stage.client.beta.assistants, stage.client.beta.threads
    model = stage.model.id
    judge = [{"role": "judge", "content": "Hi"}]
    bad: tuple[tuple[Callable[[], Any], str, str | None], ...] = (
        (lambda: assistants.create(model=openai.omit), "model", "missing_required_parameter"),
        (
            lambda: assistants.create(model=model, extra_body={"colour": 1}),
            "colour",
            "unknown_parameter",
        ),
        (
            lambda: assistants.create(model=model, temperature=9),
            "temperature",
            "decimal_above_max_value",
        ),
        (lambda: assistants.create(model=model, top_p=9), "top_p", "decimal_above_max_value"),
        (lambda: assistants.list(limit=0).data, "limit", "integer_below_min_value"),
        (lambda: threads.create(metadata="no"), "metadata", "invalid_type"),
        (lambda: threads.create(messages=judge), "messages[0].role", "invalid_value"),
        (lambda: assistants.list(after="asst_none").data, "after", None),
        (
            lambda: stage.client.chat.completions.create(model=model, messages=openai.omit),
            "messages",
            "missing_required_parameter",
        ),
    )
    for ask, param, code in bad:
        error = refused(openai.BadRequestError, ask)
        same((error.status_code, error.param, error.code), (400, param, code), "the error")
        same(error.type, "invalid_request_error", "its type")


def _wrong_key(stage: Stage) -> None:
    wrong = stage.client.with_options(api_key=WRONG_KEY)
    for ask in (lambda: wrong.beta.threads.create(), lambda: wrong.models.list().data):
        error = refused(openai.AuthenticationError, ask)
        same((error.status_code, error.code), (401, "invalid_api_key"), "the error")
        holds("wrong-key-of" not in error.message, "it tells the key")


def _key_first(stage: Stage) -> None:
    wrong = stage.client.with_options(api_key=WRONG_KEY)
    refused(openai.AuthenticationError, lambda: wrong.beta.assistants.retrieve("asst_none"))


PLAYS: Mapping[str, Play] = {
    "what is missing is a NotFoundError": _missing,
    "what cannot be done is a BadRequestError with param and code": _bad,
    "a wrong key is an AuthenticationError": _wrong_key,
    "a key is asked for before anything is said to be missing": _key_first,
}
