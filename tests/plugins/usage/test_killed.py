"""A server that is killed at any moment of counting: nothing of a run is lost, or counted twice."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.e2e.scripted_model import scripted_server
from tests.e2e.serving import KEY, Served, serve
from tests.e2e.stores import execute, own_schema

from famulus.failpoints import POINTS

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/test"
ADMIN = "the admin key of the deployment"
QUIET = {
    "FAMULUS_OPENAI_COMPATIBLE__DISCOVER": "false",
    "FAMULUS_BUBBLEWRAP__ENABLED": "false",
    "FAMULUS_ADMIN_KEY": ADMIN,
    "FAMULUS_JOBS__HEARTBEAT_S": "0.4",
    "FAMULUS_JOBS__LEASE_S": "2.5",
    "FAMULUS_JOBS__POLL_S": "0.2",
    "FAMULUS_USAGE__WRITE_S": "0.1",
    "FAMULUS_USAGE__ADOPT_S": "1",
}
OURS = (
    "usage_before_written:2",
    "usage_written:2",
    "usage_before_rolled:4",
    "usage_rolled:4",
)
AROUND = ("model_answered:9", "journal_before_commit:9", "journal_committed:9", "run_over:9")
ALIAS = '[plugins.models.aliases]\nof_runs = "scripted"\n'
"""By which runs are told apart from chats, of which a second may be lost."""
LIFE_S = 90.0
REST_S = 90.0
CLIENTS = 4
OVER = ("completed", "failed", "cancelled", "incomplete", "expired")

Sum = tuple[int, int, int]
"""Tokens read and written, and requests."""


def test_every_point_of_usage_is_met() -> None:
    named = {point.partition(":")[0] for point in OURS}
    assert named == {name for name in POINTS if name.startswith("usage_")}


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    with scripted_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables that name the store."""
    if request.param == "sqlite":
        yield {}
        return
    dsn = os.environ.get("FAMULUS_TEST_POSTGRES") or LOCAL_POSTGRES
    try:
        anyio.run(execute, dsn, "select 1")
    except OSError:
        pytest.skip("NO POSTGRESQL: set FAMULUS_TEST_POSTGRES to the dsn of a server for tests")
    with own_schema(dsn) as variables:
        yield variables


class Client:
    """Makes runs and asks questions, and knows what it was told."""

    def __init__(self, served: Served) -> None:
        self._http = httpx.Client(base_url=f"{served.url}/v1", timeout=30)
        self._served = served

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, json: Any = None) -> Any:
        key = ADMIN if path.startswith("/organization") else KEY
        answer = self._http.request(
            method, path, json=json, headers={"authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def lives(self, threads: list[str], assistant: str) -> None:
        """Have threads run, and ask questions beside, until the server is gone."""
        until = time.monotonic() + LIFE_S
        while time.monotonic() < until and self._served.process.poll() is None:
            thread = self.ask("POST", "/threads", {"messages": _said("Say one two three")})["id"]
            threads.append(thread)
            run = self.ask("POST", f"/threads/{thread}/runs", {"assistant_id": assistant})
            self.ask("POST", "/chat/completions", {"model": "scripted", "messages": _said("Hi")})
            while run["status"] not in OVER:
                time.sleep(0.02)
                run = self.ask("GET", f"/threads/{thread}/runs/{run['id']}")

    def runs(self, threads: list[str]) -> list[Any]:
        """All runs of these threads, once they are over."""
        until = time.monotonic() + REST_S
        while True:
            found = [
                run for each in threads for run in self.ask("GET", f"/threads/{each}/runs")["data"]
            ]
            if all(run["status"] in OVER for run in found):
                return found
            assert time.monotonic() < until, Counter(run["status"] for run in found)
            time.sleep(0.1)

    def told(self, model: str) -> Sum:
        """What the administrator is told of a model."""
        since = (int(time.time()) // 86_400 - 1) * 86_400
        page = self.ask(
            "GET", f"/organization/usage/completions?start_time={since}&models[]={model}"
        )
        rows = [row for bucket in page["data"] for row in bucket["results"]]
        return (
            sum(row["input_tokens"] for row in rows),
            sum(row["output_tokens"] for row in rows),
            sum(row["num_model_requests"] for row in rows),
        )


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def settled(told: Callable[[], Sum]) -> Sum:
    """What is told once it has not changed for a while."""
    until, last, since = time.monotonic() + REST_S, told(), time.monotonic()
    while time.monotonic() - since < 2.5:
        assert time.monotonic() < until
        time.sleep(0.2)
        if (now := told()) != last:
            last, since = now, time.monotonic()
    return last


@pytest.mark.parametrize("point", [*OURS, *AROUND])
def test_what_is_told_after_a_kill_is_what_runs_say_of_themselves(
    tmp_path: Path, store: dict[str, str], model_url: str, point: str
) -> None:
    environment = {**QUIET, **store}
    config = tmp_path / "famulus.toml"
    config.write_text(ALIAS)
    arguments = ["--backend", model_url, "--config", str(config)]
    threads: list[str] = []
    deadly = {**environment, "FAMULUS_FAILPOINT": point}
    with (
        serve(tmp_path, arguments=arguments, environment=deadly) as served,
        Client(served) as client,
        suppress(httpx.HTTPError),
    ):
        assistant = client.ask("POST", "/assistants", {"model": "of_runs"})["id"]

        def live(_: int) -> None:
            with Client(served) as one, suppress(httpx.HTTPError):
                one.lives(threads, assistant)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(live, range(CLIENTS)))
    assert b"killed at failpoint" in (tmp_path / "server.log").read_bytes()

    with (
        serve(tmp_path, arguments=arguments, environment=environment) as served,
        Client(served) as client,
    ):
        runs = [run for run in client.runs(threads) if run["usage"] is not None]
        assert {run["status"] for run in runs} == {"completed"}
        due = (
            sum(run["usage"]["prompt_tokens"] for run in runs),
            sum(run["usage"]["completion_tokens"] for run in runs),
            len(runs),
        )
        assert settled(lambda: client.told("of_runs")) == due
        assert due[2] > 0
