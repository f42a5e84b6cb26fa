"""Our server, fuzzed by OpenAI's document where it is given, else by its client's types.

`FAMULUS_CONFORMANCE=full` asks far more of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from famulus.testing import live_server, make_kernel
from famulus_conformance.findings import Finding
from famulus_conformance.fuzz import Fuzzing
from famulus_conformance.fuzz_judge import REACHED
from famulus_conformance.fuzz_profiles import FULL, chosen_profile
from famulus_conformance.oracles import find_oracle
from famulus_schemas.assistants import Assistant
from famulus_schemas.messages import Message
from famulus_schemas.runs import Run
from famulus_schemas.steps import RunStep
from famulus_schemas.threads import Thread

pytestmark = pytest.mark.timeout(3600)

KEY = "sk-the-key-of-the-fuzzer"
PLUGINS = (
    "assistants",
    "builtin",
    "chat",
    "events",
    "functions",
    "idempotency",
    "jobs",
    "keys",
    "models",
    "runs",
    "sqlite",
    "threads",
)
STORED: dict[str, Any] = {
    "assistant": Assistant,
    "message": Message,
    "run": Run,
    "step": RunStep,
    "thread": Thread,
}
"""The kinds of records whose bodies are what a client is sent."""

FULL_REQUESTS = 10_000
SEED = int(os.environ.get("FAMULUS_CONFORMANCE_SEED", "1"))


@contextmanager
def served(data_dir: Path) -> Iterator[str]:
    """The base URL of a server with its own loop, as a fuzzer that blocks needs it."""
    url: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        kernel = make_kernel(*PLUGINS, data_dir=data_dir, settings={"keys": {"api_key": KEY}})
        async with live_server(kernel) as found:
            await url.put(found)
            await stopping.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(url.get(), loop).result(60) + "/v1"
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the fuzzed server keeps its records."""
    return tmp_path_factory.mktemp("fuzzed")


@pytest.fixture(scope="module")
def fuzzing(data_dir: Path) -> Iterator[tuple[Fuzzing, list[Finding]]]:
    """One run of the fuzzer, and all that it found."""
    with served(data_dir) as url:
        fuzzing = Fuzzing(find_oracle(), url, KEY, profile=chosen_profile(), seed=SEED)
        yield fuzzing, [*fuzzing.findings()]


Fuzzed = tuple[Fuzzing, list[Finding]]


def test_fuzzing_finds_nothing(fuzzing: Fuzzed) -> None:
    run, found = fuzzing
    amiss = [f"{each.operation}: {each.what}\n{each.detail}" for each in found if not each.kept]
    assert not amiss, "\n\n".join(amiss)
    assert run.judge.requests >= (FULL_REQUESTS if chosen_profile() is FULL else 1000)


def test_everything_that_is_served_is_fuzzed(fuzzing: Fuzzed) -> None:
    run, found = fuzzing
    url = run.base_url.removesuffix("/v1")
    document = httpx.get(f"{url}/openapi.json", headers={"authorization": f"Bearer {KEY}"}).json()
    ours = {
        (method.upper(), nameless(path.removeprefix("/v1")))
        for path, methods in document["paths"].items()
        for method in methods
    }
    theirs = {(each.method, nameless(each.path)): each.id for each in find_oracle().operations()}
    served = {theirs[place] for place in ours & theirs.keys()}
    assert len(served) >= 29
    assert {each.id for each in run.operations} == served
    assert {each.operation for each in found if each.what == REACHED and each.kept} == served


def test_whatever_was_stored_reads_back_to_the_byte(fuzzing: Fuzzed, data_dir: Path) -> None:
    seen = set()
    (database,) = data_dir.rglob("famulus.sqlite3")
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as records:
        for kind, body in records.execute("select kind, body from record"):
            if kind in STORED:
                value = msgspec.json.decode(body, type=STORED[kind])
                assert msgspec.json.encode(value) == body
                seen.add(kind)
    assert seen == STORED.keys()


def test_objects_are_made_and_met_again(fuzzing: Fuzzed) -> None:
    run, _ = fuzzing
    succeeded = {id for id, status in run.judge.answers if status == 200}
    # A model is deleted only where it was tuned.
    assert succeeded == {each.id for each in run.operations} - {"deleteModel"}


def nameless(path: str) -> str:
    """A path, whatever its parameters are called."""
    return re.sub(r"\{[^}]*\}", "{}", path)
