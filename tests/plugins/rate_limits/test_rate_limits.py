"""What keys, projects and models may use in a minute, as a client meets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from starlette.datastructures import Headers

from famulus import Call, NoSettings, Operation, Plugin, hookimpl, operation, operations
from famulus.testing import FixedClock, Script, ScriptedBackend, TestServer, kernel_with, tool
from famulus_schemas.identity import Principal

pytestmark = pytest.mark.anyio

MODELS = ("openai_compatible", "models", "chat", "rate_limits", "memory_limits")
ASSISTANTS = (
    *("sqlite", "events", "jobs", "local_blobs", "files", "assistants", "threads", "runs"),
    *("idempotency", *MODELS),
)


class Doors(Plugin[NoSettings]):
    """Lets in keys of the form `<project>.<key>`."""

    name: ClassVar[str] = "keys"

    @hookimpl
    async def authenticate(self, headers: Headers) -> Principal | None:
        project, _, key = headers["authorization"].removeprefix("Bearer ").partition(".")
        return Principal(id=key, project=project, key_id=key)

    @hookimpl
    def register_operations(self) -> list[Operation]:
        return operations(self)

    @operation("GET", "/things", action="things.read")
    async def list_things(self, call: Call) -> dict[str, str]:
        """Something that no model is asked for."""
        return {}


@asynccontextmanager
async def limited(
    clock: FixedClock, *plugins: Any, script: Script | None = None, **limits: Any
) -> AsyncIterator[TestServer]:
    """A server with these limits; with a script, one that has a model, too."""
    async with AsyncExitStack() as stack:
        tables: dict[str, Any] = {"rate_limits": limits}
        if script is not None:
            url = await stack.enter_async_context(ScriptedBackend(script.forever()).serve())
            tables["openai_compatible"] = {"backends": [{"name": "box", "url": url}]}
            tables["models"] = {"backoff_s": 0.0, "attempts_max": 1}
        chosen = plugins or ("rate_limits", "memory_limits")
        yield await stack.enter_async_context(
            kernel_with(Doors, *chosen, settings=tables, clock=clock)
        )


async def asked(server: TestServer, who: str = "acme.one") -> httpx.Response:
    return await server.get("/things", headers={"authorization": f"Bearer {who}"})


async def chatted(server: TestServer, who: str = "acme.one", **more: Any) -> httpx.Response:
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Hello"}], **more}
    headers = {"authorization": f"Bearer {who}"}
    return await server.post("/v1/chat/completions", body, headers=headers)


def client_of(server: TestServer, who: str = "acme.one", **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url="http://famulus.test/v1", api_key=who, http_client=server.client, **more
    )


def of_headers(answer: httpx.Response, what: str) -> tuple[str, str, str]:
    parts = ("limit", "remaining", "reset")
    return tuple(answer.headers[f"x-ratelimit-{part}-{what}"] for part in parts)  # type: ignore[return-value]


# --- requests ------------------------------------------------------------------------------------


async def test_a_key_may_send_so_many_requests_and_is_told_when_it_may_again(
    fixed_clock: FixedClock,
) -> None:
    async with limited(fixed_clock, requests_per_minute=3) as server:
        answers = [await asked(server) for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert of_headers(answers[0], "requests") == ("3", "2", "20s")
        assert of_headers(answers[2], "requests") == ("3", "0", "1m0s")
        assert of_headers(answers[3], "requests") == ("3", "0", "1m0s")
        assert not any("tokens" in name for name in answers[0].headers)
        assert answers[3].headers["retry-after"] == "21"
        assert answers[3].headers["retry-after-ms"] == "20001"
        error = answers[3].json()["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        assert error["message"] == (
            "Rate limit reached for the key one on requests per min (RPM): Limit 3, Used 3, "
            "Requested 1. Please try again in 20.001s."
        )
        fixed_clock.move(20.001)
        assert (await asked(server)).status_code == 200
        assert (await asked(server)).status_code == 429


async def test_keys_and_projects_have_limits_of_their_own(fixed_clock: FixedClock) -> None:
    limits = {"requests_per_minute": 2, "project_requests_per_minute": 3}
    async with limited(fixed_clock, **limits) as server:
        first = [(await asked(server, "acme.one")).status_code for _ in range(3)]
        assert first == [200, 200, 429]
        # The key has two left, its project one.
        second = await asked(server, "acme.two")
        assert of_headers(second, "requests") == ("3", "0", "1m0s")
        refused = await asked(server, "acme.two")
        assert "for the project acme on requests" in refused.json()["error"]["message"]
        # Of the same name, in another project, it is another key.
        assert (await asked(server, "other.one")).status_code == 200


async def test_a_key_and_a_project_may_be_given_other_limits_by_name(
    fixed_clock: FixedClock,
) -> None:
    limits = {
        "requests_per_minute": 1,
        "keys": {"fast": {"requests_per_minute": 3}, "free": {}},
        "projects": {"small": {"requests_per_minute": 1}},
    }
    async with limited(fixed_clock, **limits) as server:
        fast = [(await asked(server, "acme.fast")).status_code for _ in range(4)]
        assert fast == [200, 200, 200, 429]
        free = [await asked(server, "acme.free") for _ in range(4)]
        assert {one.status_code for one in free} == {200}
        assert not any(name.startswith("x-ratelimit") for name in free[0].headers)
        small = [(await asked(server, "small.free")).status_code for _ in range(2)]
        assert small == [200, 429]


async def test_what_everybody_is_served_and_what_does_not_exist_takes_nothing(
    fixed_clock: FixedClock,
) -> None:
    async with limited(fixed_clock, requests_per_minute=1) as server:
        for path in ("/health/live", "/openapi.json"):
            answers = [await server.get(path) for _ in range(3)]
            assert {one.status_code for one in answers} == {200}
        headers = {"authorization": "Bearer acme.one"}
        assert (await server.get("/v1/nothing", headers=headers)).status_code == 404
        assert (await asked(server)).status_code == 200


async def test_without_limits_nothing_is_said_of_any(fixed_clock: FixedClock) -> None:
    async with limited(fixed_clock) as server:
        answers = [await asked(server) for _ in range(100)]
    assert {one.status_code for one in answers} == {200}
    assert not any(name.startswith("x-ratelimit") for name in answers[0].headers)


async def test_the_official_client_waits_as_long_as_it_is_told(
    fixed_clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    really = asyncio.sleep

    async def moved(seconds: float) -> None:
        if seconds > 0.1:
            slept.append(seconds)
            fixed_clock.move(seconds)
        await really(0)

    script = Script().says("Hello.")
    async with limited(fixed_clock, *MODELS, script=script, requests_per_minute=2) as server:
        client = client_of(server, max_retries=1)
        # Of the client's own module alone.
        monkeypatch.setattr("openai._base_client.anyio.sleep", moved)
        for _ in range(3):
            await client.models.list()
        assert slept == [pytest.approx(30.001)]
        with pytest.raises(openai.RateLimitError) as caught:
            await client_of(server, max_retries=0).models.list()
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")


# --- tokens --------------------------------------------------------------------------------------


async def test_tokens_are_reserved_by_estimate_and_settled_by_usage(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"tokens_per_minute": 1000, "answer_tokens": 400}
    async with limited(fixed_clock, *MODELS, script=script, **limits) as server:
        first = await chatted(server, max_tokens=250)
        assert first.status_code == 200, first.text
        limit, remaining, _ = of_headers(first, "tokens")
        prompt = 1000 - 250 - int(remaining)
        # A token for each four characters of `[{"role":"user","content":"Hello"}]`.
        assert (limit, prompt) == ("1000", 9)
        used = first.json()["usage"]["total_tokens"]
        second = await chatted(server)
        taken = 1000 - int(of_headers(second, "tokens")[1])
        assert taken == used + prompt + 400


async def test_whoever_has_no_tokens_left_is_refused_before_the_model_is_asked(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"tokens_per_minute": 100, "requests_per_minute": 10}
    async with limited(fixed_clock, *MODELS, script=script, **limits) as server:
        # More than a minute's worth takes all of it.
        assert (await chatted(server, max_tokens=5000)).status_code == 200
        refused = await chatted(server, max_tokens=5000)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
        assert "on tokens per min (TPM): Limit 100" in error["message"]
        # The request that was refused for its tokens has cost none.
        assert of_headers(refused, "requests")[:2] == ("10", "9")
        # What asks no model needs no tokens.
        assert (await asked(server)).status_code == 200


async def test_a_stream_is_settled_at_its_end(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello, how are you today?")
    limits = {"tokens_per_minute": 1000, "answer_tokens": 900}
    async with limited(fixed_clock, *MODELS, script=script, **limits) as server:
        for more in ({}, {"stream_options": {"include_usage": True}}):
            streamed = await chatted(server, stream=True, **more)
            assert streamed.text.endswith("data: [DONE]\n\n")
            assert "x-ratelimit-remaining-tokens" in streamed.headers
        left = int(of_headers(await chatted(server, max_tokens=1), "tokens")[1])
    assert 850 < left < 1000


async def test_what_fails_gives_its_tokens_back(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"tokens_per_minute": 100, "requests_per_minute": 10}
    async with limited(fixed_clock, *MODELS, script=script, **limits) as server:
        for _ in range(3):
            failed = await chatted(server, model="unknown", max_tokens=90)
            assert failed.status_code == 404
            assert "x-ratelimit-remaining-tokens" in failed.headers
        last = await chatted(server, max_tokens=90)
        assert last.status_code == 200
        assert of_headers(last, "requests")[1] == "6"


async def test_a_model_has_limits_of_its_own_in_each_project(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"models": {"scripted": {"requests_per_minute": 1}}}
    async with limited(fixed_clock, *MODELS, script=script, **limits) as server:
        statuses = [(await chatted(server, who)).status_code for who in ("a.1", "a.2", "b.1")]
        assert statuses == [200, 429, 200]
        assert (await chatted(server, "a.1", model="unknown")).status_code == 404
        assert (await asked(server, "a.1")).status_code == 200


async def test_a_run_reserves_tokens_and_is_settled_when_it_is_over(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"tokens_per_minute": 2500}
    async with limited(fixed_clock, *ASSISTANTS, script=script, **limits) as server:
        client = client_of(server, max_retries=0)
        assistant = await client.beta.assistants.create(model="scripted")
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])

        async def run() -> Any:
            return await client.beta.threads.runs.with_raw_response.create(
                thread.id, assistant_id=assistant.id
            )

        first = await run()
        assert first.headers["x-ratelimit-remaining-tokens"] == "500"
        done = await finished(client, first.parse())
        assert done.usage is not None
        used = done.usage.total_tokens
        # Settled when it is told that the run is over, which is a moment after that.
        while (left := await remaining(server)) == 500:
            await asyncio.sleep(0)
        assert left == 2500 - used
        second = await run()
        assert second.headers["x-ratelimit-remaining-tokens"] == str(500 - used)
        await finished(client, second.parse())


async def test_a_run_reserves_what_its_request_brings_and_limits(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"tokens_per_minute": 9000, "run_tokens": 1000}
    async with limited(fixed_clock, *ASSISTANTS, script=script, **limits) as server:
        client = client_of(server, max_retries=0)
        assistant = await client.beta.assistants.create(model="scripted")
        create = client.beta.threads.with_raw_response.create_and_run
        used = 0
        for reserved, asked in (
            (1500, {"instructions": "x" * 1998}),
            (1300, {"instructions": "x" * 1998, "max_prompt_tokens": 300}),
            (756, {"instructions": "x" * 1998, "max_completion_tokens": 256}),
        ):
            answer = await create(assistant_id=assistant.id, **asked)  # type: ignore[arg-type]
            left = int(answer.headers["x-ratelimit-remaining-tokens"])
            assert left == 9000 - used - reserved
            run = await done(client, answer.parse())
            assert run.usage is not None
            used += run.usage.total_tokens
            # Whatever was reserved, what it used is left in the end.
            await remains(server, 9000 - used)


async def test_runs_that_end_without_work_give_back_what_was_reserved(
    fixed_clock: FixedClock,
) -> None:
    script = Script().calls(tool("book_table")).forever()
    limits = {"tokens_per_minute": 9000, "run_tokens": 1000}
    plugins = (*ASSISTANTS, "functions")
    async with limited(fixed_clock, *plugins, script=script, **limits) as server:
        client = client_of(server, max_retries=0)
        book: Any = {"type": "function", "function": {"name": "book_table"}}
        assistant = await client.beta.assistants.create(model="scripted", tools=[book])
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
        runs = client.beta.threads.runs
        at_rest = await done(client, await runs.create(thread.id, assistant_id=assistant.id))
        assert at_rest.status == "requires_action"
        waiting = await runs.create(
            thread.id,
            assistant_id=assistant.id,
            extra_headers={"x-famulus-on-busy": "queue"},
        )
        assert await remaining(server) == 7000
        # The one has used nothing, and the other what its model was asked before it came to rest.
        await runs.cancel(waiting.id, thread_id=thread.id)
        await remains(server, 8000)
        ended = await runs.cancel(at_rest.id, thread_id=thread.id)
        assert ended.usage is not None
        await remains(server, 9000 - ended.usage.total_tokens)


async def remains(server: TestServer, tokens: int) -> None:
    """Wait until so many are left: runs are settled when it is told that they are over."""
    async with asyncio.timeout(30):
        while await remaining(server) != tokens:
            await asyncio.sleep(0.01)


async def done(client: AsyncOpenAI, run: Any) -> Any:
    while run.status in ("queued", "in_progress"):
        await asyncio.sleep(0.01)
        run = await client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    return run


async def test_a_run_that_uses_more_than_it_reserved_is_owed_for(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello " * 300)
    limits = {"tokens_per_minute": 100, "run_tokens": 1}
    async with limited(fixed_clock, *ASSISTANTS, script=script, **limits) as server:
        client = client_of(server, max_retries=0)
        assistant = await client.beta.assistants.create(model="scripted")
        thread = await client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
        runs = client.beta.threads.runs
        await finished(client, await runs.create(thread.id, assistant_id=assistant.id))
        while await remaining(server) == 99:
            await asyncio.sleep(0)
        with pytest.raises(openai.RateLimitError) as caught:
            await runs.create(thread.id, assistant_id=assistant.id)
        assert caught.value.type == "tokens"
        wait_s = int(caught.value.response.headers["retry-after"])
        assert wait_s > 60
        fixed_clock.move(wait_s)
        await finished(client, await runs.create(thread.id, assistant_id=assistant.id))


async def finished(client: AsyncOpenAI, run: Any) -> Any:
    while run.status in ("queued", "in_progress"):
        await asyncio.sleep(0.01)
        run = await client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    assert run.status == "completed", run.last_error
    return run


async def remaining(server: TestServer) -> int:
    """Tokens that the key has left, asked of the limits themselves."""
    plugin = server.plugin("rate_limits")
    claims = plugin.policy.claims(Principal(id="one", project="acme"), tokens=0)
    [limit] = [claim.limit for claim in claims.claims if claim.what == "tokens"]
    outcome = await plugin.limits.take("acme", [limit])
    return round(outcome.standings[0].remaining)


async def test_an_answer_that_is_given_again_takes_no_tokens(
    fixed_clock: FixedClock,
) -> None:
    script = Script().says("Hello.")
    limits = {"tokens_per_minute": 5000, "requests_per_minute": 100}
    async with limited(fixed_clock, *ASSISTANTS, script=script, **limits) as server:
        client = client_of(server, max_retries=0)
        assistant = await client.beta.assistants.create(model="scripted")
        body = {"assistant_id": assistant.id, "thread": {}}
        headers = {"authorization": "Bearer acme.one", "idempotency-key": "once"}
        first, again = [
            await server.post("/v1/threads/runs", body, headers=headers) for _ in range(2)
        ]
        assert first.json()["id"] == again.json()["id"]
        assert again.headers["idempotent-replayed"] == "true"
        # It is a request all the same, and says how it stands now.
        assert of_headers(first, "requests")[1] == "98"
        assert of_headers(again, "requests")[1] == "97"
        run = first.json()
        async with asyncio.timeout(30):
            while run["status"] in ("queued", "in_progress"):
                await asyncio.sleep(0.01)
                path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
                run = (await server.get(path, headers=headers)).json()
            while await remaining(server) <= 3000:
                await asyncio.sleep(0)
