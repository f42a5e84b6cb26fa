"""What only a real vLLM can show: its tokenizer, its grammar, its limits, and that it is let go."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from tests.e2e.models import TINY
from tests.e2e.places import Place, Vllm
from tests.e2e.serving import serve
from tests.e2e.texts import newest, text_of

from famulus_conformance.scenarios_model import CAPITAL, CONTEXT, ECHO, Model

pytestmark = pytest.mark.vllm

WAIT_S = 60.0
CONTEXT_TOKENS = 2048
TRIES = 3
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
        "kind": {"enum": ["a", "b"]},
    },
    "required": ["city", "n", "kind"],
    "additionalProperties": False,
}

on_both_stores = pytest.mark.parametrize(
    "place",
    [("sqlite", "vllm"), ("postgres", "vllm")],
    ids=["sqlite-vllm", "postgres-vllm"],
    indirect=True,
)


@on_both_stores
def test_a_long_thread_is_cut_to_what_the_models_tokenizer_counts(
    client: OpenAI, model: Model
) -> None:
    filler: list[Any] = [
        {"role": "user", "content": f"Note {n}: " + "Kyoto " * 40} for n in range(60)
    ]
    assistant = client.beta.assistants.create(model=model.id, temperature=0)
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [*filler, {"role": "user", "content": ECHO}]},
        max_prompt_tokens=1000,
    )
    assert run.status == "completed", run.last_error
    assert run.usage is not None
    # Not far below, so that it was not simply cut to the last message.
    assert 800 < run.usage.prompt_tokens <= 1000


@on_both_stores
def test_a_prompt_that_no_cutting_can_fit_leaves_the_run_incomplete(
    client: OpenAI, model: Model
) -> None:
    assistant = client.beta.assistants.create(model=model.id)
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Kyoto " * 4 * CONTEXT_TOKENS}]},
    )
    assert run.status == "incomplete"
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_prompt_tokens"


@on_both_stores
def test_a_chat_that_is_too_long_is_refused_as_vllm_words_it(client: OpenAI, model: Model) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 2048 tokens"):
        client.chat.completions.create(
            model=model.id,
            messages=[{"role": "user", "content": "Kyoto " * 4 * CONTEXT_TOKENS}],
        )


@on_both_stores
def test_a_run_obeys_a_json_schema(client: OpenAI, model: Model) -> None:
    assistant = client.beta.assistants.create(
        model=model.id,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
        },
    )
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "A city?"}]}
    )
    assert run.status == "completed"
    assert set(json.loads(newest(client, run.thread_id))) == {"city", "n", "kind"}


@on_both_stores
def test_usage_is_what_vllm_counted(place: Place, client: OpenAI, vllm_url: str) -> None:
    asked = {
        "model": place.model.id,
        "messages": [
            {"role": "system", "content": CONTEXT},
            {"role": "user", "content": CAPITAL},
        ],
        "temperature": 0,
    }
    counted = httpx.post(f"{vllm_url}/chat/completions", json=asked, timeout=60).json()["usage"]
    assistant = client.beta.assistants.create(
        model=place.model.id, temperature=0, instructions=CONTEXT
    )
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": CAPITAL}]}
    )
    assert run.usage is not None
    assert run.usage.prompt_tokens == counted["prompt_tokens"]
    assert run.usage.completion_tokens == counted["completion_tokens"]


@on_both_stores
def test_an_answer_that_is_cut_counts_as_written_to_the_end(
    client: OpenAI, model: Model, vllm_url: str
) -> None:
    """The two tests below rest on it."""
    before = written_to_the_end(vllm_url)
    client.chat.completions.create(
        model=model.id, messages=[{"role": "user", "content": ECHO}], max_tokens=1
    )
    assert written_to_the_end(vllm_url) == before + 1


@on_both_stores
def test_a_cancelled_run_is_let_go_by_vllm(client: OpenAI, model: Model, vllm_url: str) -> None:
    assistant = client.beta.assistants.create(model=model.id, temperature=0)

    def begin_and_cancel() -> None:
        thread = client.beta.threads.create(messages=[{"role": "user", "content": model.endless}])
        begun = client.beta.threads.runs.create(
            thread_id=thread.id,
            assistant_id=assistant.id,
            stream=True,
            extra_body=model.endless_arguments,
        )
        run: Any = next(event.data for event in begun if event.event == "thread.run.created")
        next(event for event in begun if event.event == "thread.message.delta")
        client.beta.threads.runs.cancel(run.id, thread_id=thread.id)
        ended = client.beta.threads.runs.poll(run.id, thread_id=thread.id)
        assert ended.status == "cancelled"

    assert is_let_go(vllm_url, begin_and_cancel)


@on_both_stores
def test_a_chat_whose_client_leaves_is_let_go_by_vllm(
    client: OpenAI, model: Model, vllm_url: str
) -> None:
    def begin_and_leave() -> None:
        with client.chat.completions.create(
            model=model.id,
            messages=[{"role": "user", "content": model.endless}],
            temperature=0,
            stream=True,
            extra_body=model.endless_arguments,
        ) as stream:
            next(chunk for chunk in stream if chunk.choices[0].delta.content)

    assert is_let_go(vllm_url, begin_and_leave)


def test_a_run_whose_vllm_dies_fails_and_says_so(mortal_vllm: Vllm, tmp_path: Path) -> None:
    with (
        serve(tmp_path, arguments=["--backend", mortal_vllm.url]) as served,
        served.client() as client,
    ):
        assistant = client.beta.assistants.create(model="tiny", temperature=0)
        told = []
        for event in client.beta.threads.create_and_run(
            assistant_id=assistant.id,
            thread={"messages": [{"role": "user", "content": TINY.endless}]},
            stream=True,
            extra_body=TINY.endless_arguments,
        ):
            told.append(event.event)
            if told.count("thread.message.delta") == 1 and told[-1] == "thread.message.delta":
                mortal_vllm.kill()
            run: Any = event.data
        assert told[-1] == "thread.run.failed"
        assert run.last_error.code == "server_error"
        (message,) = client.beta.threads.messages.list(run.thread_id, run_id=run.id)
        assert message.status == "incomplete"
        assert text_of(message)
        # The thread and the server go on; only the model is away.
        client.beta.threads.messages.create(run.thread_id, role="user", content="Still there?")
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": ECHO}]
            )
        assert served.get("/health/ready").json()["status"] in ("degraded", "down")


def test_embeddings_of_vllm_come_as_floats_and_as_base64(
    vllm_embedder_url: str, tmp_path: Path
) -> None:
    with (
        serve(tmp_path, arguments=["--backend", vllm_embedder_url]) as served,
        served.client() as client,
    ):
        (model,) = client.models.list()
        decoded = client.embeddings.create(model=model.id, input=["Kyoto", "Split"])
        floats = client.embeddings.create(
            model=model.id, input=["Kyoto", "Split"], encoding_format="float"
        )
    for one, other in zip(decoded.data, floats.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-3)
    assert decoded.data[0].embedding != decoded.data[1].embedding


def test_a_configured_vllm_is_reached_by_its_name_and_by_an_alias(
    vllm_url: str, tmp_path: Path
) -> None:
    listed = httpx.get(f"{vllm_url}/models", timeout=60).json()["data"][0]["id"]
    settings = f"""
[plugins.models]
aliases = {{ "gpt-4o" = "big/{listed}" }}

[[plugins.vllm.servers]]
name = "big"
url = "{vllm_url.removesuffix("/v1")}"
"""
    (tmp_path / "famulus.toml").write_text(settings)
    with serve(tmp_path) as served, served.client() as client:
        for name in (listed, f"big/{listed}", "gpt-4o"):
            answer = client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": ECHO}], temperature=0
            )
            assert (answer.model, answer.choices[0].message.content) == (name, "Lagos 731")


def test_a_chat_model_that_embeds_nothing_refuses_in_openais_words(
    vllm_url: str, tmp_path: Path
) -> None:
    with serve(tmp_path, arguments=["--backend", vllm_url]) as served, served.client() as client:
        (model,) = client.models.list()
        with pytest.raises(openai.APIStatusError) as caught:
            client.embeddings.create(model=model.id, input="Kyoto")
    assert 400 <= caught.value.status_code < 500
    assert caught.value.type


def is_let_go(vllm_url: str, stop: Callable[[], None]) -> bool:
    """Whether vLLM did not write on to the end. What is never let go is written on every time;
    on a machine with few cores vLLM can be done, now and then, before it hears of the stop.
    """
    for _ in range(TRIES):
        before = written_to_the_end(vllm_url)
        stop()
        if written_to_the_end(vllm_url) == before:
            return True
    return False


def written_to_the_end(vllm_url: str) -> float:
    """How many answers vLLM wrote until their context was full, once it writes none any more."""
    give_up = time.monotonic() + WAIT_S
    while _metric(vllm_url, "num_requests_running"):
        assert time.monotonic() < give_up
    return _metric(vllm_url, "request_success_total", 'finished_reason="length"')


def _metric(vllm_url: str, name: str, label: str = "") -> float:
    metrics = httpx.get(f"{vllm_url.removesuffix('/v1')}/metrics", timeout=60).text
    found = re.search(rf"^vllm:{name}\{{[^}}]*{label}[^}}]*\}} (\S+)$", metrics, re.MULTILINE)
    assert found is not None
    return float(found[1])
