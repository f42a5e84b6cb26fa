"""What keys may use is one amount at both processes, and wrong keys are let in nowhere."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import redis
from tests.e2e.organization.organization import ADMIN_KEY, Key, Organization, eventually
from tests.e2e.scripted_model import ENDLESS
from tests.e2e.serving import Served

PER_MINUTE = 40
WRONG_PER_MINUTE = 5
SETTINGS = {
    "FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE": str(PER_MINUTE),
    "FAMULUS_RATE_LIMITS__ANSWERS_AT_ONCE_MAX": "1",
    "FAMULUS_RATE_LIMITS__FAILED_LOGINS_PER_MINUTE": str(WRONG_PER_MINUTE),
}


def test_a_key_is_admitted_as_often_at_two_processes_as_at_one(
    organization: Organization, redis_url: str
) -> None:
    key = organization.key(organization.billing, "eager")
    with redis.Redis.from_url(redis_url) as clock, ThreadPoolExecutor(2) as pool:
        began = seconds(clock)
        each = [pool.submit(admitted, organization, key, at) for at in organization.processes]
        first, second = (asked.result() for asked in each)
        passed_s = seconds(clock) - began
    # A minute's worth at once, and what came back meanwhile, by Redis's own clock.
    assert PER_MINUTE <= first + second <= PER_MINUTE + passed_s * PER_MINUTE / 60 + 1e-6


def test_one_key_uses_nothing_of_anothers(organization: Organization) -> None:
    told = organization.ask("GET", "/v1/models", organization.biller, organization.two)
    assert told.status_code == 200
    assert int(told.headers["x-ratelimit-limit-requests"]) == PER_MINUTE
    assert int(told.headers["x-ratelimit-remaining-requests"]) >= PER_MINUTE - 2


def test_an_answer_at_one_process_takes_the_place_of_one_at_the_other(
    organization: Organization,
) -> None:
    here = organization.client(organization.writer, organization.one).chat.completions
    there = organization.client(organization.writer, organization.two).chat.completions
    question: Any = [{"role": "user", "content": ENDLESS}]
    with here.create(model="scripted", messages=question, stream=True) as stream:
        assert next(iter(stream)).choices
        with pytest.raises(openai.RateLimitError):
            there.create(model="scripted", messages=[{"role": "user", "content": "Say yes"}])
        # Another key has a place of its own.
        other = organization.client(organization.biller, organization.two).chat.completions
        assert other.create(model="scripted", messages=[{"role": "user", "content": "Say yes"}])

    def answered() -> bool:
        try:
            there.create(model="scripted", messages=[{"role": "user", "content": "Say yes"}])
        except openai.RateLimitError:
            return False
        return True

    eventually(answered)


def test_a_limit_of_a_model_that_is_set_at_one_process_counts_at_both(
    organization: Organization,
) -> None:
    project = organization.project("Trial")
    key = organization.key(project, "trial")
    limits = organization.admin(organization.one).projects.rate_limits
    [limit] = [each for each in limits.list_rate_limits(project) if each.model == "scripted"]
    limits.update_rate_limit(limit.id, project_id=project, max_requests_per_1_day=3)
    for at in organization.processes:
        refused = eventually(lambda at=at: refusal(organization, key, at))
        assert f"for scripted in the project {project} on requests per day" in refused.message
        assert refused.response.headers["x-ratelimit-limit-requests"] == "3"
        assert float(refused.response.headers["retry-after-ms"]) > 1_000
    # Another project has used nothing of it.
    assert refusal(organization, organization.biller, organization.two) is None
    [told] = [
        each
        for each in organization.admin(organization.two).projects.rate_limits.list_rate_limits(
            project
        )
        if each.id == limit.id
    ]
    assert told.max_requests_per_1_day == 3


def test_a_run_takes_tokens_of_its_model_at_both_processes_until_it_is_over(
    organization: Organization,
) -> None:
    project = organization.project("Runners")
    key = organization.key(project, "runner")
    here, there = (organization.client(key, at) for at in organization.processes)
    limits = organization.admin(organization.one).projects.rate_limits
    [limit] = [each for each in limits.list_rate_limits(project) if each.model == "scripted"]
    # Less than two runs reserve.
    limits.update_rate_limit(limit.id, project_id=project, max_tokens_per_1_minute=3_000)
    assistant = here.beta.assistants.create(model="scripted")

    def limited_at_both() -> bool:
        asked = [
            organization.client(key, at).chat.completions.with_raw_response.create(
                model="scripted", messages=[{"role": "user", "content": "Say yes"}]
            )
            for at in organization.processes
        ]
        return all(each.headers.get("x-ratelimit-limit-tokens") == "3000" for each in asked)

    eventually(limited_at_both)
    talking = {"messages": [{"role": "user", "content": ENDLESS}]}
    run = here.beta.threads.create_and_run(assistant_id=assistant.id, thread=talking)  # type: ignore[arg-type]
    asking = {"messages": [{"role": "user", "content": "Say yes"}]}
    for client in (there, here):
        with pytest.raises(openai.RateLimitError) as caught:
            client.beta.threads.create_and_run(assistant_id=assistant.id, thread=asking)  # type: ignore[arg-type]
        assert f"for scripted in the project {project} on tokens per min" in caught.value.message
        assert caught.value.response.headers["x-ratelimit-limit-tokens"] == "3000"
        assert float(caught.value.response.headers["retry-after-ms"]) > 1_000
    there.beta.threads.runs.cancel(run.id, thread_id=run.thread_id)

    def admitted_again() -> bool:
        try:
            there.beta.threads.create_and_run(assistant_id=assistant.id, thread=asking)  # type: ignore[arg-type]
        except openai.RateLimitError:
            return False
        return True

    eventually(admitted_again)


def test_whoever_runs_both_is_told_what_counts_and_what_is_left(
    organization: Organization,
) -> None:
    project = organization.project("Counted")
    key = organization.key(project, "counted")
    limits = organization.admin(organization.two).projects.rate_limits
    [limit] = [each for each in limits.list_rate_limits(project) if each.model == "scripted"]
    limits.update_rate_limit(limit.id, project_id=project, max_requests_per_1_day=10)
    answers = organization.client(key, organization.two).chat.completions
    answers.create(model="scripted", messages=[{"role": "user", "content": "Say yes"}])
    question: Any = [{"role": "user", "content": ENDLESS}]
    with answers.create(model="scripted", messages=question, stream=True) as stream:
        assert next(iter(stream)).choices
        told = organization.command(
            "limits", "show", "--project", project, "--key", key.id, "--json"
        )
    assert told.returncode == 0, told.stderr
    lines = {(line["of"], line["what"], line["per"]): line for line in json.loads(told.stdout)}
    of_key = lines["key", "requests", "minute"]
    assert (of_key["id"], of_key["limit"]) == (key.id, PER_MINUTE)
    assert of_key["origin"] == "FAMULUS_RATE_LIMITS__REQUESTS_PER_MINUTE"
    at_once = lines["key", "answers", "at_once"]
    assert (at_once["limit"], at_once["left"], at_once["reset_s"]) == (1, 0, None)
    of_day = lines["model", "requests", "day"]
    assert (of_day["id"], of_day["set_by"]) == ("scripted", "administrator")
    assert (of_day["limit"], of_day["left"]) == (10, 8)
    assert of_day["reset_s"] > 8_640
    shown = organization.command("limits", "show", "--project", project)
    assert "an administrator" in shown.stdout
    assert "WHOSE" in shown.stderr
    unknown = organization.command("limits", "show", "--project", "proj_none")
    assert unknown.returncode == 1
    assert "proj_none" in unknown.stderr


def test_runs_use_up_the_requests_of_a_day_at_their_model_at_both_processes(
    organization: Organization,
) -> None:
    project = organization.project("Daily")
    key = organization.key(project, "daily")
    limits = organization.admin(organization.one).projects.rate_limits
    [limit] = [each for each in limits.list_rate_limits(project) if each.model == "scripted"]
    limits.update_rate_limit(limit.id, project_id=project, max_requests_per_1_day=2)
    for at in organization.processes:
        client = organization.client(key, at)
        assistant = client.beta.assistants.create(model="scripted")

        def run_is_refused(client: Any = client, assistant: str = assistant.id) -> Any:
            try:
                client.beta.threads.create_and_run(assistant_id=assistant)
            except openai.RateLimitError as error:
                return error
            return None

        refused = eventually(run_is_refused)
        assert f"for scripted in the project {project} on requests per day" in refused.message
        assert refused.response.headers["x-ratelimit-limit-requests"] == "2"
        # What is not asked of a model goes on.
        assert organization.ask("GET", "/v1/assistants", key, at).status_code == 200


def refusal(organization: Organization, key: Key, at: Served) -> openai.RateLimitError | None:
    """Why a question is refused, if it is."""
    question: Any = [{"role": "user", "content": "Say yes"}]
    try:
        organization.client(key, at).chat.completions.create(model="scripted", messages=question)
    except openai.RateLimitError as error:
        return error
    return None


def test_who_guesses_keys_waits_and_keeps_nobody_else_out(organization: Organization) -> None:
    two = organization.two
    for right in (organization.biller, ADMIN_KEY):
        path = "/v1/models" if isinstance(right, Key) else "/metrics"
        assert organization.ask("GET", path, right, two).status_code == 200
    statuses = [
        organization.ask("GET", "/v1/models", f"sk-canary-guess-{number}", two).status_code
        for number in range(WRONG_PER_MINUTE + 3)
    ]
    assert statuses[:WRONG_PER_MINUTE] == [401] * WRONG_PER_MINUTE
    assert statuses[-1] == 429
    # Whose key was right before comes in from the same address.
    assert organization.ask("GET", "/v1/models", organization.biller, two).status_code == 200
    assert organization.ask("GET", "/v1/models", "sk-canary", organization.one).status_code == 401


def admitted(organization: Organization, key: Key, at: Served) -> int:
    """How many of as many requests as are allowed to both are admitted by one."""
    answers = [organization.ask("GET", "/v1/models", key, at) for _ in range(PER_MINUTE)]
    refused = [each for each in answers if each.status_code == 429]
    assert all(each.json()["error"]["code"] == "rate_limit_exceeded" for each in refused)
    assert all(float(each.headers["retry-after-ms"]) > 0 for each in refused)
    assert {each.status_code for each in answers} <= {200, 429}
    return PER_MINUTE - len(refused)


def seconds(client: redis.Redis) -> float:
    whole, microseconds = client.time()  # type: ignore[misc]
    return float(whole) + microseconds / 1e6
